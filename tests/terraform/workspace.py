"""A copy of ``terraform/`` in which the real Terraform runs against the stub provider."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOW_TO_GET = (
    "terraform is not installed. These checks need the real one, 1.11 or later: "
    "https://developer.hashicorp.com/terraform/install"
)
IMAGE = f"europe-west1-docker.pkg.dev/lectern-staging/lectern/lectern@sha256:{'0' * 64}"
_IMAGE = ("-var", f"image={IMAGE}")
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "staging": ("-var", "environment=staging", *_IMAGE),
    "production": ("-var", "environment=production", *_IMAGE),
    "everything": (
        *("-var", "environment=production", "-var", "config_folder=../tests/terraform/everything"),
        *_IMAGE,
    ),
}
"""What is planned: each environment as it stands, and production with every option switched on."""
_LOCAL = 'terraform {\n  backend "local" {}\n}\n'


class Spent:
    """Seconds of each check, and what else a run should say at its end."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._said: list[str] = []

    def add(self, what: str, seconds: float) -> None:
        self._seconds[what] = self._seconds.get(what, 0.0) + seconds

    def say(self, line: str) -> None:
        self._said.append(line)

    def lines(self) -> list[str]:
        if not self._seconds:
            return self._said
        timed = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in self._seconds.items())
        three = sum(self._seconds.get(what, 0.0) for what in ("validate", "plan", "test"))
        return [f"terraform: {timed}; validate, plan and test {three:.1f} s", *self._said]


SPENT = Spent()


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of Terraform: exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Workspace:
    """Where it lies, and the variables that Terraform needs. ``timed``: its times are told at the end."""

    folder: Path
    environ: Mapping[str, str]
    timed: bool = False

    @property
    def root(self) -> Path:
        return self.folder / "terraform"

    def run(self, *arguments: str) -> Ran:
        program = shutil.which("terraform")
        assert program, HOW_TO_GET
        own = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull}
        started = time.monotonic()
        done = subprocess.run(
            [program, *arguments],
            cwd=self.root,
            env={**os.environ, **own, **self.environ},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if self.timed:
            SPENT.add(arguments[0], time.monotonic() - started)
        return Ran(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: str) -> str:
        """What it wrote; a failure is shown."""
        ran = self.run(*arguments, "-no-color")
        assert ran.code == 0, f"terraform {' '.join(arguments)}\n{ran.out}\n{ran.err}"
        return ran.out

    def plan(self, *variables: str) -> dict[str, Any]:
        """The plan as JSON."""
        file = self.folder / f"{len(list(self.folder.glob('*.plan')))}.plan"
        self.must("plan", "-input=false", "-lock=false", f"-out={file}", *variables)
        return dict(json.loads(self.must("show", "-json", str(file))))


def lay_out(folder: Path, environ: Mapping[str, str]) -> Workspace:
    """Copy what Terraform reads into ``folder``, with the state in a file in place of a bucket."""
    ignore = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(ROOT / "terraform", folder / "terraform", ignore=ignore)
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "tests/terraform/everything", folder / "tests/terraform/everything")
    (folder / "terraform" / "backend_override.tf").write_text(_LOCAL)
    return Workspace(folder, environ)
