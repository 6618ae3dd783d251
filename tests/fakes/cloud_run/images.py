"""Images: a reference by digest, and the source tree that it stands for.

What is replaced: a container image. Its root is a folder with the application's code, its packages are those
of the environment that the tests run in, and its entry point is what the buildpack for functions starts.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = "europe-west1-docker.pkg.dev/lectern-staging/lectern/lectern"
PARTS = ("functions", "shared", "config")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class Images:
    """A registry: digests that were pushed, and where their trees lie."""

    def __init__(self) -> None:
        self._trees: dict[str, Path] = {}

    def push(self, tree: Path) -> str:
        """The reference of a tree by the digest of its contents."""
        reference = f"{REPOSITORY}@sha256:{digest_of(tree)}"
        self._trees[reference] = tree
        return reference

    def tree(self, reference: str) -> Path | None:
        """The tree of an image; None for one that was never pushed."""
        return self._trees.get(reference)


def digest_of(tree: Path) -> str:
    """SHA-256 over every file's name and content."""
    digest = hashlib.sha256()
    for path in sorted(one for one in tree.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
        digest.update(str(path.relative_to(tree)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(source: Path, target: Path, changes: Mapping[str, str]) -> Path:
    """A tree like ``source``'s application, with ``changes`` (path -> whole new text) laid over it."""
    for part in PARTS:
        shutil.copytree(source / part, target / part, ignore=_LEFT_OUT)
    for name, text in changes.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return target


def entry_point(port: int, threads: str) -> list[str]:
    """What the image starts: functions-framework under gunicorn."""
    command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--threads", threads, "--timeout", "0"]
    command += ["--preload", "--no-control-socket", "--bind", f"127.0.0.1:{port}"]
    return [*command, "functions_framework:create_app()"]
