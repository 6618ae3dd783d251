r"""The lines of an object of exported points: JSON, one a line, in UTF-8.

::

    {"lectern":"points","format":1,"collection":"lectern-g0007","first":null,"vectors":{"dense":"…"}}
    {"id":"…","vectors":{"dense":"<base64>","passages":{"indices":"<base64>","values":"<base64>"}},"payload":{…}}
    {"points":4096,"digest":"<32 hex digits>","next":"<id>"}

The first line says where the object begins (the id from which the collection was read on, null for its
start), the last one what it holds and where the next object begins (null after the last). Vectors are the
base64 of little-endian numbers: float32, and uint32 for the term ids of sparse ones. Any program reads that:
``zstd -dc points-00000.jsonl.zst | jq .payload.url``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from shared.ports import PackedPoint
from shared.recovery.crypto import corrupt
from shared.retrieval.digest import RunningDigest

T = TypeVar("T")
FORMAT = 1
_LONGEST = 64 << 20  # bytes of one line; Qdrant takes 32 MB in a request


class Head(msgspec.Struct, frozen=True):
    """The first line. ``vectors`` says in words what each vector is, for whoever reads the file by hand."""

    lectern: Literal["points"]
    format: int
    collection: str
    first: str | None
    vectors: dict[str, str]


class End(msgspec.Struct, frozen=True):
    """The last line: number and order-free digest of the points, and the id that comes next."""

    points: int
    digest: str
    next: str | None


class LinesWriter:
    """Writes one object through ``write``."""

    def __init__(self, write: Callable[[bytes], object], head: Head) -> None:
        self._write = write
        self._encoder = msgspec.json.Encoder()
        self._digest = RunningDigest()
        self.points = 0
        self.plain_bytes = 0
        self._put(self._encoder.encode(head) + b"\n")

    def add(self, points: Iterable[PackedPoint]) -> None:
        """Write these points, together."""
        held = list(points)
        for point in held:
            self._digest.add(point)
        self.points += len(held)
        self._put(self._encoder.encode_lines(held))

    def end(self, following: str | None) -> End:
        """Write the last line; what it says."""
        end = End(self.points, self._digest.text, following)
        self._put(self._encoder.encode(end) + b"\n")
        return end

    def _put(self, data: bytes) -> None:
        self.plain_bytes += len(data)
        self._write(data)


class LinesReader:
    """The points of one object, from its plain blocks; ``head`` and ``end`` are there after the points.

    Raises :class:`~shared.errors.Corrupt`, naming ``name``: for lines that are not of this format, and at
    the end when the points are not those that the last line counts.
    """

    def __init__(self, name: str, blocks: Iterable[bytes]) -> None:
        self._name = name
        self._blocks = blocks
        self.head: Head | None = None
        self.end: End | None = None

    def __iter__(self) -> Iterator[PackedPoint]:
        lines = _lines(self._name, self._blocks)
        self.head = self._read_head(next(lines, b""))
        decoder = msgspec.json.Decoder(PackedPoint)
        digest, count = RunningDigest(), 0
        line = next(lines, b"")
        for after in lines:
            point = self._decoded(decoder, line)
            self._add(digest, point)
            count += 1
            yield point
            line = after
        self.end = self._decoded(msgspec.json.Decoder(End), line)
        if (count, digest.text) != (self.end.points, self.end.digest):
            raise corrupt(self._name, f"it holds {count} points that are not the {self.end.points} it counts")

    def _add(self, digest: RunningDigest, point: PackedPoint) -> None:
        try:
            digest.add(point)
        except struct.error as error:
            raise corrupt(self._name, f"a vector of point {point.id[:36]} is cut ({error})") from None

    def _read_head(self, line: bytes) -> Head:
        head = self._decoded(msgspec.json.Decoder(Head), line)
        if head.format != FORMAT:
            raise corrupt(self._name, f"its format is {head.format}, this release reads {FORMAT}")
        return head

    def _decoded(self, decoder: msgspec.json.Decoder[T], line: bytes) -> T:
        try:
            return decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise corrupt(self._name, f"a line is not of this format ({error})") from None


def _lines(name: str, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, without their ends."""
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST:
            raise corrupt(name, "a line does not end")
    if rest:
        raise corrupt(name, "its last line does not end")
