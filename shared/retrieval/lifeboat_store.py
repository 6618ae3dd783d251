"""Where lifeboats lie in the bucket, and the pointer that says which one is true.

::

    lifeboats/<generation>/<sha256 of the object>.sqlite.zst
    lifeboats/current.json        generation, object, sha256, size, opened_size, content; written last
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from shared.errors import Corrupt, DependencyError, Missing, Rejected
from shared.ports import ObjectStore
from shared.resilience.deadline import Deadline
from shared.resilience.guard import Guard
from shared.retrieval.lifeboat_file import SERVICE

T = TypeVar("T")
MOST_BYTES = 96 * 1024 * 1024
"""Largest opened lifeboat: an instance holds it in memory, beside everything else."""
_BLOCK = 1024 * 1024
_HINT = "Run `lectern ingest` again: it writes the lifeboat anew."


class Pointer(msgspec.Struct, frozen=True):
    """What ``current.json`` says. ``size`` is that of the object, ``opened_size`` that of the file in it;
    ``content`` stands for the pages that it was made of.
    """

    generation: str
    object: str
    sha256: str
    size: int
    opened_size: int
    content: str


class LifeboatStore:
    """Writes and fetches lifeboats. ``guard`` is that of the bucket, where questions share one."""

    def __init__(
        self,
        objects: ObjectStore,
        guard: Guard | None = None,
        *,
        prefix: str = "lifeboats",
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.most_bytes = most_bytes
        self._objects = objects
        self._guard = guard
        self._prefix = prefix
        self._pointer = f"{prefix}/current.json"

    # ------------------------------------------------------------ ingestion

    def keep(self, generation: str, content: str, make: Callable[[Path], object], deadline: Deadline) -> bool:
        """Make the current lifeboat the one of ``content``; whether one had to be written.

        ``make`` writes the file to a path that it is given. The lifeboat before stays, for instances that
        have just read the old pointer; older ones are removed. Raises what the bucket raises, and
        ``Rejected`` for a file that is too large for an instance.
        """
        before, version = self._read(deadline)
        if before and (before.generation, before.content) == (generation, content):
            return False
        with TemporaryDirectory(prefix="lectern-lifeboat-") as folder:
            file = Path(folder) / "lifeboat.sqlite"
            make(file)
            size = file.stat().st_size
            if size > self.most_bytes:
                detail = f"it has {size} bytes, {self.most_bytes} fit in an instance"
                raise Rejected(SERVICE, "write", detail, hint="Qdrant and Postgres answer without it.")
            pointer = self._put(generation, content, file, deadline)
        text = msgspec.json.encode(pointer)
        self._objects.put(self._pointer, text, deadline, if_generation_match=version)
        self._remove_all_but({pointer.object, before.object if before else ""}, deadline)
        return True

    def withdraw(self, deadline: Deadline) -> bool:
        """Take the current lifeboat out of use, with every file; whether there was one. Instances that have
        it aboard let go of it the next time that they look. Raises what the bucket raises.
        """
        try:
            self._objects.delete(self._pointer, deadline)
        except Missing:
            return False
        self._remove_all_but(set(), deadline)
        return True

    def _read(self, deadline: Deadline) -> tuple[Pointer | None, int]:
        """The pointer, None where there is none or a damaged one, and the generation of its object."""
        try:
            data, info = self._objects.get(self._pointer, deadline)
        except Missing:
            return None, 0
        try:
            return msgspec.json.decode(data, type=Pointer), info.generation
        except msgspec.DecodeError:
            return None, info.generation

    def _put(self, generation: str, content: str, file: Path, deadline: Deadline) -> Pointer:
        packed = file.with_suffix(".zst")
        _pack(file, packed)
        with packed.open("rb") as read:
            digest = file_digest(read, "sha256").hexdigest()
        name = f"{self._prefix}/{generation}/{digest}.sqlite.zst"
        with packed.open("rb") as read, self._objects.open_write(name, deadline) as written:
            while block := read.read(_BLOCK):
                written.write(block)
        return Pointer(generation, name, digest, packed.stat().st_size, file.stat().st_size, content)

    def _remove_all_but(self, kept: set[str], deadline: Deadline) -> None:
        """Tidy up; what cannot be removed now goes at the next writing."""
        with suppress(DependencyError):
            for info in list(self._objects.list(f"{self._prefix}/", deadline)):
                if info.name not in kept and info.name != self._pointer:
                    self._objects.delete(info.name, deadline)

    # ------------------------------------------------------------ questions

    def pointer(self, deadline: Deadline) -> Pointer:
        """The current pointer. Raises ``Missing`` and ``Corrupt``, and what the bucket raises."""
        data, _ = self._guarded(lambda limit: self._objects.get(self._pointer, limit), deadline)
        try:
            return msgspec.json.decode(data, type=Pointer)
        except msgspec.DecodeError as error:
            raise Corrupt(SERVICE, "find", f"{self._pointer} is damaged, {error}", hint=_HINT) from error

    def fetch(self, pointer: Pointer, deadline: Deadline) -> bytes:
        """The file that ``pointer`` names, checked. Raises ``Corrupt``, and what the bucket raises."""
        if not all(0 < size <= self.most_bytes for size in (pointer.size, pointer.opened_size)):
            raise Corrupt(SERVICE, "fetch", f"{self._pointer} names an impossible size", hint=_HINT)
        packed, _ = self._guarded(lambda limit: self._objects.get(pointer.object, limit), deadline)
        if len(packed) != pointer.size or sha256(packed).hexdigest() != pointer.sha256:
            raise Corrupt(SERVICE, "fetch", f"{pointer.object} does not match its digest", hint=_HINT)
        return _unpacked(packed, pointer)

    def _guarded(self, call: Callable[[Deadline], T], deadline: Deadline) -> T:
        return self._guard.call(call, deadline) if self._guard else call(deadline)


def _pack(file: Path, packed: Path) -> None:
    import zstandard

    with file.open("rb") as source, packed.open("wb") as target:
        zstandard.ZstdCompressor(level=3).copy_stream(source, target, size=file.stat().st_size)


def _unpacked(packed: bytes, pointer: Pointer) -> bytes:
    import zstandard

    try:
        file = zstandard.ZstdDecompressor().decompress(packed, max_output_size=pointer.opened_size)
    except zstandard.ZstdError as error:
        raise Corrupt(SERVICE, "fetch", f"{pointer.object} cannot be unpacked", hint=_HINT) from error
    if len(file) != pointer.opened_size:
        raise Corrupt(SERVICE, "fetch", f"{pointer.object} has another size than it should", hint=_HINT)
    return file
