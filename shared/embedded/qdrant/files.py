"""Changes on disk that are there whole or not at all, also after a ``kill -9``."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from shared.errors import StackError


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: a reader finds the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def hold(path: Path) -> BinaryIO:
    """An exclusive lock on ``path``, released by closing the file or by the death of the process.

    Raises :class:`StackError` when somebody holds it.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StackError(
            f"The vector store in {path.parent} is in use by another process.",
            hint="Stop the other `lectern run`, or set LECTERN_HOME to another folder.",
        ) from None
    return file
