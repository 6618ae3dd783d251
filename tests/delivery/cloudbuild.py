"""Runs the steps of a ``cloudbuild.yaml`` on this machine, one process a step, without containers.

What is as in Cloud Build: substitutions (also of substitutions), ``$$``, ``script`` and ``entrypoint`` with
``args``, ``env``, ``secretEnv`` from ``availableSecrets``, ``dir``, ``waitFor``, ``allowFailure``, the folder
``/workspace`` that steps share, and the end of the build at the first step that fails. What is not: a step's
image is not started, its programs are those of this machine; and steps that are named in ``replaced`` are
done by the test, which says how.

Schema: https://cloud.google.com/build/docs/build-config-file-schema.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BUILT_IN = (
    *("PROJECT_ID", "PROJECT_NUMBER", "LOCATION", "BUILD_ID", "TRIGGER_NAME", "COMMIT_SHA", "SHORT_SHA"),
    *("REVISION_ID", "REPO_NAME", "REPO_FULL_NAME", "BRANCH_NAME", "TAG_NAME", "REF_NAME"),
    *("SERVICE_ACCOUNT_EMAIL", "SERVICE_ACCOUNT"),
)
_NAME = re.compile(r"\$(?:(\$)|\{(\w+)\}|([A-Z_][A-Z0-9_]*))")
_WORKSPACE = re.compile(r"/workspace\b")


class Mistake(Exception):
    """The file is wrong in ways that the schema does not see; a line for each."""


@dataclass(frozen=True)
class Replaced:
    """A step that is done otherwise here: ``how``, in a sentence, and what does it."""

    how: str
    work: Callable[[Mapping[str, str]], int]


@dataclass
class StepRun:
    """A step that ran: its id, how it ended (None: skipped), what it said, how it was replaced if it was."""

    id: str
    code: int
    said: str
    seconds: float
    replaced: str = ""


@dataclass
class CloudBuild:
    """One build. ``secrets`` are values by variable; ``environment`` is that of every step."""

    file: Path
    workspace: Path
    environment: Mapping[str, str]
    given: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, Replaced] = field(default_factory=dict)
    runs: list[StepRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.build = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        self.values = self._values()
        mistakes = [
            line for number, step in enumerate(self.build["steps"]) for line in self._mistakes(number, step)
        ]
        if mistakes:
            raise Mistake("\n".join(mistakes))

    def run(self, *, kill_in: str = "") -> bool:
        """Run the steps in the order of the file, which is one that ``waitFor`` allows; whether all went
        well.

        ``kill_in`` names a step that is not begun: the build ends before it, as one whose machine goes away.
        """
        for step in self.build["steps"]:
            if step.get("id") == kill_in and kill_in:
                return False
            done = self._step(step)
            self.runs.append(done)
            if done.code and not step.get("allowFailure") and done.code not in step.get("allowExitCodes", []):
                return False
        return True

    def run_step(self, name: str) -> StepRun:
        """Run one step alone."""
        return self._step(self._named(name))

    def environment_of(self, name: str) -> dict[str, str]:
        """The variables that a step gets."""
        return self._environment(self._named(name))

    def _named(self, name: str) -> dict[str, Any]:
        [step] = [one for one in self.build["steps"] if one.get("id") == name]
        return dict(step)

    def report(self) -> str:
        """A line for each step, for people."""
        return "\n".join(
            f"{one.id:<16} exit {one.code} after {one.seconds:5.1f} s"
            + (f"  REPLACED: {one.replaced}" if one.replaced else "")
            for one in self.runs
        )

    # ------------------------------------------------------------ reading

    def _values(self) -> dict[str, str]:
        values = dict.fromkeys(BUILT_IN, "")
        values |= {name: str(text) for name, text in (self.build.get("substitutions") or {}).items()}
        values |= self.given
        return {name: self._filled(text, values, set()) for name, text in values.items()}

    @staticmethod
    def _filled(text: str, values: Mapping[str, str], missing: set[str]) -> str:
        def one(found: re.Match[str]) -> str:
            if found[1]:
                return "$"
            name = found[2] or found[3]
            if name not in values:
                missing.add(name)
            return values.get(name, "")

        return _NAME.sub(one, text)

    def _mistakes(self, number: int, step: dict[str, Any]) -> list[str]:
        name, missing = step.get("id", f"step {number}"), set()
        earlier = {one.get("id") for one in self.build["steps"][:number]}
        lines = [] if step.get("name") else [f"{name}: it names no image"]
        if "script" in step and ("args" in step or "entrypoint" in step):
            lines.append(f"{name}: script excludes args and entrypoint")
        lines += [
            f"{name}: it waits for {one!r}, which is no earlier step"
            for one in step.get("waitFor", [])
            if one not in {*earlier, "-"}
        ]
        for text in (*step.get("args", []), *step.get("env", []), step.get("dir", "")):
            self._filled(text, self.values, missing)
        secrets = self.build.get("availableSecrets", {}).get("secretManager", [])
        available = {one["env"] for one in secrets}
        for one in secrets:
            self._filled(one["versionName"], self.values, missing)
        lines += [f"{name}: substitution ${one} is not defined" for one in sorted(missing)]
        lines += [
            f"{name}: secret {one} is not among availableSecrets"
            for one in step.get("secretEnv", [])
            if one not in available
        ]
        return lines

    # ------------------------------------------------------------ running

    def _step(self, step: dict[str, Any]) -> StepRun:
        name, started = step.get("id", "?"), time.monotonic()
        if name in self.replaced:
            other = self.replaced[name]
            code = other.work(self.values)
            return StepRun(name, code, "", time.monotonic() - started, other.how)
        done = subprocess.run(
            self._command(step),
            cwd=self.workspace / self._filled(step.get("dir", ""), self.values, set()),
            env=self._environment(step),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        return StepRun(name, done.returncode, done.stdout, time.monotonic() - started)

    def _command(self, step: dict[str, Any]) -> list[str]:
        if "script" in step:
            script = step["script"] if step["script"].startswith("#!") else "#!/bin/sh\n" + step["script"]
            path = self.workspace / f".script-{step.get('id', 'step')}"
            path.write_text(self._here(script), encoding="utf-8")
            path.chmod(0o755)
            return [str(path)]
        words = [self._here(self._filled(text, self.values, set())) for text in step.get("args", [])]
        program = step.get("entrypoint") or step["name"].rpartition("/")[2].partition(":")[0]
        return [program, *words]

    def _environment(self, step: dict[str, Any]) -> dict[str, str]:
        options = self.build.get("options") or {}
        found = dict(self.environment)
        if step.get("automapSubstitutions", options.get("automapSubstitutions")):
            found |= self.values
        for text in (*options.get("env", []), *step.get("env", [])):
            key, _, value = self._filled(text, self.values, set()).partition("=")
            found[key] = self._here(value)
        found |= {
            name: self.secrets[name] for name in (*options.get("secretEnv", []), *step.get("secretEnv", []))
        }
        return {key: str(value) for key, value in found.items()} | {"HOME": str(self.workspace / ".home")}

    def _here(self, text: str) -> str:
        return _WORKSPACE.sub(str(self.workspace), text)


def programs(folder: Path, **scripts: str) -> Path:
    """A folder for ``PATH`` with small programs that stand for what a step's image brings along."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    return folder
