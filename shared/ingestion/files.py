"""The files of a site: in a folder, or below a prefix of a bucket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import Missing, SourceError
from shared.ports import ObjectStore
from shared.resilience.deadline import Deadline

LARGEST_FILE = 5 * 2**20
"""Bytes; a larger page is refused, because no reader's page is so long."""
STEP_SECONDS = 60.0
"""Longest time for one call to the bucket."""

_SKIPPED = frozenset(("node_modules", "__pycache__"))


@dataclass(frozen=True, slots=True)
class File:
    """``name`` is relative, with slashes. ``stamp`` stands for the content; it may be empty."""

    name: str
    size: int
    stamp: str = ""


class Files(Protocol):
    """Files to read. Hidden ones, ``node_modules`` and links to other places are not among them."""

    @property
    def place(self) -> str:
        """Where they lie, for messages."""
        ...

    @property
    def readers(self) -> int:
        """How many files are best read at a time."""
        ...

    def list(self) -> list[File]:
        """All files by name."""
        ...

    def read(self, file: File, most: int = LARGEST_FILE) -> bytes:
        """The content. Raises :class:`~shared.errors.SourceError` for a file that is larger than ``most``
        bytes or cannot be read.
        """
        ...


class FolderFiles:
    """Implements :class:`Files` for a folder.

    Raises :class:`~shared.errors.SourceError` when it is none.
    """

    readers = 1  # reading takes less than parsing, and threads parse no faster

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise SourceError(
                f"{root} is not a folder.",
                hint="Name a folder of Markdown or of a built site, or an https:// address.",
            )
        self._root = root

    @property
    def place(self) -> str:
        return str(self._root)

    def list(self) -> list[File]:
        return sorted(self._walk(), key=lambda file: file.name.split("/"))

    def _walk(self) -> Iterator[File]:
        for folder, folders, names in os.walk(self._root, followlinks=False):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _SKIPPED]
            for name in names:
                path = Path(folder, name)
                if not name.startswith(".") and path.is_file() and not path.is_symlink():
                    yield File(path.relative_to(self._root).as_posix(), path.stat().st_size)

    def read(self, file: File, most: int = LARGEST_FILE) -> bytes:
        try:
            # A link that took the file's place since it was listed is not followed.
            handle = os.open(self._root / file.name, os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(handle, "rb") as opened:
                data = opened.read(most + 1)
        except (OSError, ValueError) as error:
            raise _unreadable(file.name, getattr(error, "strerror", None) or str(error)) from error
        return _bounded(file.name, data, most)


class BucketFiles:
    """Implements :class:`Files` for the objects below ``prefix``. Errors are also those of the bucket."""

    readers = 8

    def __init__(self, store: ObjectStore, prefix: str, place: str) -> None:
        self._store = store
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._place = place

    @property
    def place(self) -> str:
        return self._place

    def list(self) -> list[File]:
        found = self._store.list(self._prefix, self._step())
        files = (File(info.name[len(self._prefix) :], info.size, info.crc32c) for info in found)
        return sorted((file for file in files if _is_seen(file.name)), key=lambda file: file.name.split("/"))

    def read(self, file: File, most: int = LARGEST_FILE) -> bytes:
        if file.size > most:
            raise _too_large(file.name, most)
        try:
            with self._store.open_read(self._prefix + file.name, self._step()) as reader:
                return _bounded(file.name, _up_to(reader.read, most + 1), most)
        except Missing as error:
            raise _unreadable(file.name, "it is gone") from error

    def _step(self) -> Deadline:
        return Deadline.after(STEP_SECONDS)


def _up_to(read: Callable[[int], bytes], most: int) -> bytes:
    data = bytearray()
    while len(data) < most and (block := read(most - len(data))):
        data += block
    return bytes(data)


def _is_seen(name: str) -> bool:
    parts = name.split("/")
    return bool(parts[-1]) and not any(part.startswith(".") or part in _SKIPPED for part in parts)


def _bounded(name: str, data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise _too_large(name, most)
    return data


def _too_large(name: str, most: int) -> SourceError:
    return SourceError(f"{name} is larger than {most // 2**20} MiB.", hint="Split the page.")


def _unreadable(name: str, problem: str) -> SourceError:
    return SourceError(f"{name} cannot be read: {problem}.", hint="Check the file.")
