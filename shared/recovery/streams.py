"""One object of a part: plain bytes -> zstd -> AES-256-GCM -> SHA-256 -> the bucket, and back.

Nothing touches the disk, and memory holds a chunk or two. An object that is not encrypted is a zstd file.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

import zstandard

from shared.errors import AccessDenied
from shared.ports import ObjectReader, ObjectStore, ObjectWriter
from shared.recovery.crypto import Encryptor, PointCipher, Pull, corrupt
from shared.recovery.point import SERVICE, ObjectEntry
from shared.resilience.deadline import Deadline

LEVEL = 3
BLOCK_BYTES = 1 << 18
_READ_BYTES = 1 << 20
_MOST_WINDOW = 1 << 27


class PartWriter:
    """Writes one object. Set ``rows`` or ``points`` inside its context; after it, ``entry`` describes it."""

    def __init__(
        self, name: str, out: ObjectWriter, encryptor: Encryptor | None, key_id: str, level: int = LEVEL
    ) -> None:
        self.name = name
        self.rows = 0
        self.points = 0
        self._out = out
        self._encryptor = encryptor
        self._key_id = key_id
        self._compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._plain, self._stored = hashlib.sha256(), hashlib.sha256()
        self._plain_bytes = self._stored_bytes = 0
        self._entry: ObjectEntry | None = None
        if encryptor:
            self._store(encryptor.header)

    def write(self, data: bytes) -> None:
        """Add plain bytes; small ones are gathered."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= BLOCK_BYTES:
            self._push()

    @property
    def entry(self) -> ObjectEntry:
        """What was written; only after the context was left without an error."""
        assert self._entry is not None, "leave the context first"
        return self._entry

    def finish(self) -> None:
        """Write what is held; the context does it."""
        self._push()
        self._seal(self._compressor.flush())
        if self._encryptor:
            self._store(self._encryptor.finish())

    def describe(self) -> None:
        """Make the entry, once the object is there; the context does it."""
        self._entry = ObjectEntry(
            name=self.name,
            sha256=self._stored.hexdigest(),
            bytes=self._stored_bytes,
            plain_sha256=self._plain.hexdigest(),
            plain_bytes=self._plain_bytes,
            key_id=self._key_id,
            rows=self.rows,
            points=self.points,
        )

    def _push(self) -> None:
        block = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held, self._held_bytes = [], 0
        self._plain.update(block)
        self._plain_bytes += len(block)
        self._seal(self._compressor.compress(block))

    def _seal(self, compressed: bytes) -> None:
        if not compressed:
            return
        if self._encryptor is None:
            self._store(compressed)
            return
        for chunk in self._encryptor.update(compressed):
            self._store(chunk)

    def _store(self, data: bytes) -> None:
        self._stored.update(data)
        self._stored_bytes += len(data)
        self._out.write(data)


@contextmanager
def part_writer(
    store: ObjectStore,
    name: str,
    cipher: PointCipher | None,
    deadline: Deadline,
    *,
    level: int = LEVEL,
) -> Iterator[PartWriter]:
    """Stream one object of a part. With an exception no object appears. ``cipher`` None leaves it plain;
    ``level`` is that of zstd.

    Errors: those of :class:`~shared.ports.ObjectStore` and :class:`~shared.ports.KeyWrapper`.
    """
    encryptor = cipher.encryptor(name, deadline) if cipher else None
    with store.open_write(name, deadline) as out:
        writer = PartWriter(name, out, encryptor, cipher.key_id if cipher else "", level)
        yield writer
        writer.finish()
    writer.describe()


def part_reader(
    store: ObjectStore, entry: ObjectEntry, cipher: PointCipher | None, deadline: Deadline
) -> Iterator[bytes]:
    """The plain blocks of an object, at most 1 MiB each.

    Raises :class:`~shared.errors.Corrupt` at the first chunk that was changed when the object is encrypted,
    at the latest after the last block when it is not: use :func:`check_object` before acting on any of it.
    Raises :class:`~shared.errors.AccessDenied` when it is encrypted and there is no key.
    """
    if entry.key_id and cipher is None:
        raise AccessDenied(
            SERVICE,
            "decrypt",
            f"{entry.name} is encrypted with key {entry.key_id}, and no key is configured",
            hint="Set LECTERN_BACKUP_KEY_FILE or LECTERN_BACKUP_KMS_KEY.",
        )
    with store.open_read(entry.name, deadline) as reader:
        stored = _Stored(reader, entry)
        source: Pull = stored.read
        if entry.key_id and cipher:
            source = _Chunks(cipher.decrypted(entry.name, stored.read, deadline)).read
        yield from _plain_blocks(source, entry)
        stored.check_end()


def check_object(
    store: ObjectStore, entry: ObjectEntry, cipher: PointCipher | None, deadline: Deadline
) -> None:
    """Read an object to its end. Raises what :func:`part_reader` raises."""
    for _ in part_reader(store, entry, cipher, deadline):
        pass


class _Stored:
    """The stored bytes, counted and hashed on their way."""

    def __init__(self, reader: ObjectReader, entry: ObjectEntry) -> None:
        self._reader = reader
        self._entry = entry
        self._digest = hashlib.sha256()
        self._bytes = 0
        if reader.info.size != entry.bytes:
            raise corrupt(entry.name, f"it has {reader.info.size} bytes, {entry.bytes} were written")

    def read(self, size: int) -> bytes:
        data = self._reader.read(size)
        self._digest.update(data)
        self._bytes += len(data)
        return data

    def check_end(self) -> None:
        while self.read(_READ_BYTES):
            pass
        if self._bytes != self._entry.bytes or self._digest.hexdigest() != self._entry.sha256:
            raise corrupt(self._entry.name, "its bytes are not those that were written (SHA-256)")


class _Chunks:
    """Decrypted chunks, read in pieces."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


class _File(io.RawIOBase):
    """A file over a function, as the decompressor wants it."""

    def __init__(self, pull: Pull) -> None:
        super().__init__()
        self._pull = pull

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._pull(size)


def _plain_blocks(source: Pull, entry: ObjectEntry) -> Iterator[bytes]:
    """What the frame holds, in bounded blocks however well it was compressed."""
    digest, size = hashlib.sha256(), 0
    file = cast("IO[bytes]", _File(source))
    frame = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW).stream_reader(file, _READ_BYTES)
    while block := _decompressed(frame, entry):
        digest.update(block)
        size += len(block)
        if size > entry.plain_bytes:
            break
        yield block
    if size != entry.plain_bytes or digest.hexdigest() != entry.plain_sha256:
        raise corrupt(entry.name, "what it holds is not what went in (SHA-256)")


def _decompressed(frame: zstandard.ZstdDecompressionReader, entry: ObjectEntry) -> bytes:
    try:
        return frame.read(_READ_BYTES)
    except zstandard.ZstdError as error:
        raise corrupt(entry.name, f"it does not decompress ({error})") from None
