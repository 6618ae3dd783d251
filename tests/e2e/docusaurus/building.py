"""Builds the site with Docusaurus itself; packages and builds are kept in `.cache` between runs.

Needs npm from apt, and its registry the first time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.settings import ROOT

SITE = Path(__file__).parent / "site"
PLUGIN = ROOT / "widget" / "plugin"
CACHE = ROOT / ".cache" / "docusaurus"
INSTALL_SECONDS = 600
BUILD_SECONDS = 400


def build(name: str, edit: Sequence[tuple[str, str, str]] = ()) -> Path:
    """The folder that `docusaurus build` wrote for the site after these edits: a file, what is taken out of
    it, what comes instead. Nothing to take out makes the file, nothing at all removes it.
    """
    with packages() as home:
        built = home / f"{name}-{_digest(SITE, PLUGIN, str(edit))}"
        if not (built / "build" / "sitemap.xml").is_file():
            for older in home.glob(f"{name}-*"):
                shutil.rmtree(older)
            shutil.copytree(
                SITE, built, ignore=shutil.ignore_patterns("node_modules", ".docusaurus", "build")
            )
            for file, old, new in edit:
                _edit(built / file, old, new)
            _run(
                ["node", "../node_modules/@docusaurus/core/bin/docusaurus.mjs", "build"], built, BUILD_SECONDS
            )
        return built / "build"


def _edit(file: Path, old: str, new: str) -> None:
    if not old and not new:
        file.unlink()
    elif not old:
        file.write_text(new, encoding="utf-8")
    else:
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")


@contextmanager
def packages() -> Iterator[Path]:
    """A folder with the packages of the lock file; nobody else builds in it meanwhile."""
    lock_file = (SITE / "package-lock.json").read_bytes()
    home = CACHE / hashlib.sha256(lock_file).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".installed").exists():
            for one in ("package.json", "package-lock.json"):
                shutil.copy(SITE / one, home / one)
            _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home, INSTALL_SECONDS)
            (home / ".installed").touch()
        yield home


def _run(command: list[str], folder: Path, seconds: float) -> None:
    environ = {**os.environ, "CI": "1", "NODE_ENV": "production", "LECTERN_PLUGIN": str(PLUGIN)}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def _digest(*parts: Path | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for file in sorted(part.rglob("*")) if isinstance(part, Path) else ():
            if file.is_file():
                digest.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
        digest.update(str(part).encode() if isinstance(part, str) else b"\0")
    return digest.hexdigest()[:12]
