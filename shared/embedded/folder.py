"""A folder as object store, with the promises of :class:`~shared.ports.ObjectStore`.

Layout under the root::

    lock                           flock of the store; its content is the last generation given out
    objects/<encoded name>@/<generation>/{data, facts.json, deleted}
    tmp/<random>/{data, facts.json}

A version is a directory that is complete before one rename puts it in its place, and that one rename
takes away again; so a process killed at any moment leaves the old object or the new one. The live
version is the one with the highest generation, unless it carries the ``deleted`` mark. Readers take
no lock. Whatever a killed process left in ``tmp`` goes when the folder is opened next: a writer holds
a flock on its file for as long as it lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from shared.embedded.folder_files import (
    SERVICE,
    encode,
    facts,
    generations,
    in_use,
    open_version,
    os_errors,
    sync_folder,
    try_lock,
    write_durably,
)
from shared.errors import Missing, PreconditionFailed, Rejected, TimedOut
from shared.objects import CheckedReader, Crc32c, check_name
from shared.ports import ObjectInfo, ObjectReader, ObjectWriter
from shared.resilience.deadline import Deadline

_MICROSECONDS = 1_000_000
_LOCK_POLL_SECONDS = 0.005

Infos = list[ObjectInfo]


class FolderStore:
    """Implements :class:`~shared.ports.ObjectStore` in ``root``, which is made when it does not exist.

    Any number of threads and processes may share a root. ``keep_versions`` keeps replaced and
    deleted versions, as a bucket with versioning does. ``clock`` gives Unix seconds; generations
    follow it but grow with each write even when it stands still or goes back.
    """

    def __init__(
        self, root: Path, *, keep_versions: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self._root = Path(root)
        self._objects = self._root / "objects"
        self._tmp = self._root / "tmp"
        self._keep_versions = keep_versions
        self._clock = clock
        with os_errors("open", self._root):
            self._objects.mkdir(parents=True, exist_ok=True)
            self._tmp.mkdir(exist_ok=True)
            with self._locked(Deadline.after(10.0)):
                self._sweep()

    # ---- writing

    def put(
        self,
        name: str,
        data: bytes,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        with self.open_write(
            name, deadline, if_generation_match=if_generation_match, metadata=metadata
        ) as writer:
            writer.write(data)
        return writer.info

    def open_write(
        self,
        name: str,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ObjectWriter]:
        check_name(SERVICE, "write", name)
        return self._writing(name, deadline, if_generation_match, dict(metadata or {}))

    @contextmanager
    def _writing(
        self, name: str, deadline: Deadline, match: int | None, metadata: dict[str, str]
    ) -> Iterator[ObjectWriter]:
        _check_time("write", name, deadline)
        with os_errors("write", self._root / name):
            self._require_generation("write", name, match)
            folder, file = self._start_version(deadline)
        try:
            writer = _Writer(name, self._root / name, file, deadline)
            yield writer
            _check_time("write", name, deadline)
            with os_errors("write", self._root / name):
                writer.info = self._commit(writer, folder, match, metadata)
        finally:
            # Errors of closing (a full disk once more) must not hide the first one.
            with suppress(OSError):
                file.close()
            shutil.rmtree(folder, ignore_errors=True)

    def _start_version(self, deadline: Deadline) -> tuple[Path, IO[bytes]]:
        folder = self._tmp / secrets.token_hex(8)
        with self._locked(deadline):  # so that no sweep sees the file before it is locked
            folder.mkdir()
            file = (folder / "data").open("wb", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX)
        return folder, file

    def _commit(
        self, writer: _Writer, folder: Path, match: int | None, metadata: dict[str, str]
    ) -> ObjectInfo:
        os.fsync(writer.file.fileno())
        draft = ObjectInfo(writer.name, writer.size, 0, writer.checksum.text(), self._clock(), metadata)
        recorded = {key: value for key, value in asdict(draft).items() if key != "generation"}
        write_durably(folder / "facts.json", json.dumps(recorded).encode())
        sync_folder(folder)
        home = self._home(writer.name)
        with self._locked(writer.deadline) as lock:
            self._require_generation("write", writer.name, match)
            generation = self._next_generation(lock, home)
            self._make_folder(home)
            folder.rename(home / str(generation))
            sync_folder(home)
            if not self._keep_versions:
                self._discard(home, below=generation)
        return replace(draft, generation=generation)

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        check_name(SERVICE, "delete", name)
        _check_time("delete", name, deadline)
        home = self._home(name)
        with os_errors("delete", self._root / name), self._locked(deadline):
            live = self._live(home)
            if live is None:
                raise _missing("delete", name)
            self._require_generation("delete", name, if_generation_match)
            if self._keep_versions:
                write_durably(home / str(live) / "deleted", b"")
                sync_folder(home / str(live))
            else:
                self._discard(home, below=live + 1)
                self._prune(home)

    # ---- reading

    def get(self, name: str, deadline: Deadline) -> tuple[bytes, ObjectInfo]:
        with self.open_read(name, deadline) as reader:
            return reader.read(), reader.info

    def open_read(
        self, name: str, deadline: Deadline, *, generation: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        check_name(SERVICE, "read", name)
        return self._reading(name, deadline, generation)

    @contextmanager
    def _reading(self, name: str, deadline: Deadline, generation: int | None) -> Iterator[ObjectReader]:
        _check_time("read", name, deadline)
        file, info = self._open_version(name, generation)

        def pull(size: int) -> bytes:
            _check_time("read", name, deadline)
            with os_errors("read", self._root / name):
                return file.read(size)

        with file:
            yield CheckedReader(SERVICE, info, pull)

    def _open_version(self, name: str, generation: int | None) -> tuple[IO[bytes], ObjectInfo]:
        home = self._home(name)
        with os_errors("read", self._root / name):
            while wanted := self._live(home) if generation is None else generation:
                try:
                    return open_version(home / str(wanted))
                except FileNotFoundError:
                    # A writer replaced the version between the two looks: look again.
                    if generation is not None:
                        break
        raise _missing("read", name)

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        with self.open_read(name, deadline) as reader:
            return reader.info

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        _check_time("list", prefix, deadline)
        found: Infos = []
        with os_errors("list", self._root / prefix):
            for home in self._homes(prefix):
                found += self._versions_at(home, every=versions)
        wanted = [info for info in found if info.name.startswith(prefix)]
        # Cloud Storage orders by UTF-8 bytes; so do code points.
        yield from sorted(wanted, key=lambda info: (info.name, info.generation))

    def _homes(self, prefix: str) -> Iterator[Path]:
        start = self._objects / encode(prefix.rpartition("/")[0]) if "/" in prefix else self._objects
        for folder, names, _ in os.walk(start):
            for name in names:
                if name.endswith("@"):
                    yield Path(folder) / name
            names[:] = [name for name in names if not name.endswith("@")]

    def _versions_at(self, home: Path, *, every: bool) -> Infos:
        if every and self._keep_versions:
            return [facts(home / str(generation)) for generation in generations(home)]
        while live := self._live(home):
            try:
                return [facts(home / str(live))]
            except FileNotFoundError:
                continue  # a writer replaced it between the two looks
        return []

    # ---- the folder

    def _home(self, name: str) -> Path:
        return self._objects / (encode(name) + "@")

    def _live(self, home: Path) -> int | None:
        newest = max(generations(home), default=None)
        return None if newest is None or (home / str(newest) / "deleted").exists() else newest

    def _require_generation(self, operation: str, name: str, match: int | None) -> None:
        found = None if match is None else (self._live(self._home(name)) or 0)
        if found != match:
            wanted = f"generation {match}" if match else "no such object"
            raise PreconditionFailed(
                SERVICE,
                operation,
                f"{name} is at generation {found or 'none'}, expected {wanted}",
                hint="Read it again and decide anew.",
            )

    def _next_generation(self, lock: int, home: Path) -> int:
        text = os.pread(lock, 32, 0).strip()
        last = max(int(text) if text.isdigit() else 0, *generations(home), 0)
        generation = max(last + 1, int(self._clock() * _MICROSECONDS))
        os.pwrite(lock, b"%020d\n" % generation, 0)
        return generation

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            sync_folder(folder.parent)

    def _discard(self, home: Path, *, below: int) -> None:
        # Oldest first: were the live one to go first, a kill would bring an older one back.
        for generation in sorted(g for g in generations(home) if g < below):
            grave = self._tmp / secrets.token_hex(8)
            (home / str(generation)).rename(grave)
            shutil.rmtree(grave, ignore_errors=True)
        sync_folder(home)

    def _prune(self, folder: Path) -> None:
        with suppress(OSError):  # stops at the first that is not empty
            while folder != self._objects:
                folder.rmdir()
                folder = folder.parent

    def _sweep(self) -> None:
        for folder in self._tmp.iterdir():
            if not in_use(folder / "data"):
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[int]:
        lock = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while not try_lock(lock):
                if deadline.expired():
                    detail = f"another process holds {self._root / 'lock'}"
                    raise TimedOut(SERVICE, "lock", detail, hint="Try again.")
                time.sleep(_LOCK_POLL_SECONDS)
            yield lock
        finally:
            # Not left to close(): a child forked meanwhile shares the open file and would keep the lock.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


class _Writer:
    """Implements :class:`~shared.ports.ObjectWriter`: an unbuffered file and what is known of it."""

    def __init__(self, name: str, target: Path, file: IO[bytes], deadline: Deadline) -> None:
        self.name = name
        self.file = file
        self.deadline = deadline
        self.size = 0
        self.checksum = Crc32c()
        self._target = target
        self._info: ObjectInfo | None = None

    def write(self, data: bytes) -> None:
        _check_time("write", self.name, self.deadline)
        view = memoryview(data)
        with os_errors("write", self._target):
            while view:
                view = view[self.file.write(view) :]
        self.checksum.update(data)
        self.size += len(data)

    @property
    def info(self) -> ObjectInfo:
        if self._info is None:
            raise Rejected(SERVICE, "write", f"{self.name} is not committed", hint="Leave the context first.")
        return self._info

    @info.setter
    def info(self, info: ObjectInfo) -> None:
        self._info = info


def _check_time(operation: str, name: str, deadline: Deadline) -> None:
    if deadline.expired():
        raise TimedOut(SERVICE, operation, f"no time left for {name}", hint="Give it more time.")


def _missing(operation: str, name: str) -> Missing:
    return Missing(
        SERVICE, operation, f"there is no object {name}", hint="List the store to see what is there."
    )
