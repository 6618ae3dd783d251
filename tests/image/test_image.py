"""What the image holds, started as Cloud Run starts it, as far as that goes without a container engine.

The buildpacks' work is done by hand: the files that project.toml leaves in, an environment with
requirements.txt and nothing else, and the process `functions-framework` with the variables of a release. Not
shown here: the layers, the launcher that puts them on the path, and Python 3.13 of the run image.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pathspec import GitIgnoreSpec

from shared.delivery.platform import FUNCTIONS, members, service_name
from shared.delivery.platform_file import load_platform
from shared.delivery.template import LAUNCHER, function_template, job_template
from shared.ports import Template
from shared.settings import CONFIG_FOLDER, ROOT, Settings
from tests.delivery.place import write_golden
from tests.local_stack import filled_stack, free_port, write_site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
IMAGE = f"r/lectern@sha256:{'0' * 64}"
READY = {"chat": ("/ready", 200), "health": ("/health", 200)}


@dataclass(frozen=True, slots=True)
class Image:
    """``workspace`` is /workspace of the image, ``python`` the interpreter of its layers."""

    workspace: Path
    python: Path

    def environ(self, template: Template, stack: Settings) -> dict[str, str]:
        """Variables of a revision; the services are those of this machine."""
        secrets = dict.fromkeys(template.secrets, "unused")
        own = {
            "DATABASE_URL": stack.database_url,
            "QDRANT_URL": stack.qdrant_url,
            "STORAGE_BUCKET": stack.storage_bucket,
            "LECTERN_BACKUP_BUCKET": f"{stack.storage_bucket}/points",
            # Neither Google's accounts nor keys nor buckets are here.
            "LECTERN_BACKUP_KMS_KEY": "",
            "LECTERN_GOLDEN_QUESTIONS": str(Path(stack.home).parent / "golden"),
            "LECTERN_CALLER_MODE": "open",
            "LECTERN_GENERATOR": "none",
            "LECTERN_EMBEDDER": "none",
            "PYTHONPATH": str(self.workspace),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
        }
        return {**secrets, **template.environment, **own}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, folder / "layers"], check=True, timeout=60)
    python = folder / "layers" / "bin" / "python"
    subprocess.run(
        [
            *(*uv, "pip", "install", "-q", "--python", python, "--no-deps", "--require-hashes"),
            *("-r", ROOT / "requirements.txt"),
        ],
        check=True,
        timeout=500,
    )
    return Image(copied(folder / "workspace"), python)


def copied(workspace: Path) -> Path:
    """The files that project.toml does not exclude."""
    described = tomllib.loads((ROOT / "project.toml").read_text())
    left_out = GitIgnoreSpec.from_lines(described["io"]["buildpacks"]["exclude"])
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if not left_out.match_file(name) and (ROOT / name).is_file():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, workspace / name)
    return workspace


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("image-stack")
    write_golden(folder / "golden")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        yield ready


@contextmanager
def serving(image: Image, environ: dict[str, str], log: Path) -> Iterator[str]:
    """The image's own process: what the buildpack of functions starts."""
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [image.python.parent / "functions-framework"],
            cwd=image.workspace,
            env={**environ, "PORT": str(port), "HOST": "127.0.0.1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def answer(url: str, path: str, wanted: int, log: Path) -> httpx.Response:
    """The answer once it has the status that is wanted."""
    ends = time.monotonic() + 40
    while True:
        try:
            found = httpx.get(f"{url}{path}", timeout=10, trust_env=False)
            if found.status_code == wanted:
                return found
            last = found.text
        except httpx.TransportError as error:
            last = str(error)
        assert time.monotonic() < ends, f"{path}: {last}\n{log.read_text()[-3000:]}"
        time.sleep(0.05)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_starts_from_what_ships(image: Image, stack: Settings, tmp_path: Path, name: str) -> None:
    """A release would end at its start: a package that only tests have, a file that the image leaves out."""
    environment = load_platform("staging", CONFIG_FOLDER)
    member = members(environment.platform)[service_name(name)]
    release = function_template(environment, member, IMAGE, "r", "abc1234")
    log = tmp_path / "log"
    with serving(image, image.environ(release, stack), log) as url:
        assert answer(url, release.startup.path if release.startup else "/live", 200, log).json()
        path, status = READY.get(name, ("/live", 200))
        answer(url, path, status, log)
        if name == "chat":
            asked = httpx.post(
                f"{url}/chat", json={"question": "When do I pick a Bramley?"}, timeout=20, trust_env=False
            )
            assert asked.status_code == 200, asked.text
            assert asked.json()["citations"], asked.text


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("ingest", ["ingest", "{site}", "--json"]),
        ("backup_neon", ["status", "--json"]),
        ("drill", ["backups", "--json"]),
    ],
)
def test_a_job_runs_from_what_ships(
    image: Image, stack: Settings, tmp_path: Path, job: str, arguments: list[str]
) -> None:
    """Ingestion or a backup would end at its first line, at night, with nobody looking."""
    release = job_template(load_platform("staging", CONFIG_FOLDER), job, IMAGE, "abc1234")
    site = write_site(tmp_path / "site")
    launcher, program, *rest = release.command
    assert (launcher, program) == (LAUNCHER, "python")
    command = [image.python, *rest, *(one.format(site=site) for one in arguments)]
    done = subprocess.run(
        command,
        cwd=image.workspace,
        env=image.environ(release, stack),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    json.loads(done.stdout)


def test_the_image_leaves_out_what_neither_function_nor_job_reads(image: Image) -> None:
    """Every instance would carry tests, the handbook and the state of Terraform."""
    assert sorted(path.name for path in image.workspace.iterdir() if path.is_dir()) == [
        "config",
        "functions",
        "shared",
    ]
