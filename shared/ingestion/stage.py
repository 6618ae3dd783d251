"""The stage: what a run has read, cut and embedded lies in the bucket until the index has it.

So a run holds no more than one part in memory, a killed one finds again what it had, and many tasks can work
for the one that writes::

    ingestion/<run>/<task>/pages-<number>.zst     pages, cut, with the counts of their words
    ingestion/<run>/<task>/vectors-<number>.zst   vectors by the hash of the text they were made of
    ingestion/<run>/removal.zst                   pages that were shown to go, and those that may
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import zstandard

from shared.errors import Corrupt, Missing
from shared.ingestion.steps import Steps
from shared.ports import ObjectStore
from shared.retrieval.chunks import Chunk
from shared.retrieval.statistics import FieldCounts

S = TypeVar("S", bound=msgspec.Struct)
SERVICE = "stage"
PREFIX = "ingestion"
_HINT = "Run the ingestion again: it reads the site anew."
_MOST_BYTES = 512 * 2**20  # opened; far more than any part has
_VECTORS_KEPT = 4


class CutPage(msgspec.Struct, frozen=True, array_like=True):
    """A page, cut. ``headings`` is what BM25 counts for them; ``place`` and ``source_hash`` say what it was
    read from, ``content_hash`` stands for its points.
    """

    url: str
    title: str
    headings: str
    place: str
    source_hash: str
    content_hash: str
    chunks: tuple[Chunk, ...]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Some pages, and the counts of the words of all of them."""

    pages: tuple[CutPage, ...]
    passages: FieldCounts
    headings: FieldCounts


class Removal(msgspec.Struct, frozen=True, array_like=True):
    """Addresses of pages: those that a person was shown to go, and those that were allowed to."""

    shown: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


class _Vectors(msgspec.Struct, frozen=True, array_like=True):
    """Vectors of one length, as float32 one after the other, and the hashes of their texts."""

    hashes: tuple[str, ...]
    dimensions: int
    data: bytes


class Stage:
    """The parts of one run. Errors: those of the bucket; ``Corrupt`` for a part that is damaged or gone."""

    def __init__(self, objects: ObjectStore, run_id: str, steps: Steps) -> None:
        self._objects = objects
        self._prefix = f"{PREFIX}/{run_id}/"
        self._removal = f"{self._prefix}removal.zst"
        self._steps = steps
        self._recent: dict[tuple[int, int], dict[str, tuple[float, ...]]] = {}

    # ------------------------------------------------------------ pages

    def put_pages(self, task: int, number: int, part: Part) -> None:
        self._put(self._name(task, "pages", number), part)

    def pages(self, task: int, number: int) -> Part:
        return self._get(self._name(task, "pages", number), Part)

    # ------------------------------------------------------------ vectors

    def put_vectors(self, task: int, number: int, vectors: Mapping[str, Sequence[float]]) -> None:
        dimensions = len(next(iter(vectors.values()), ()))
        numbers = [number for vector in vectors.values() for number in vector]
        data = struct.pack(f"<{len(numbers)}f", *numbers)
        self._put(self._name(task, "vectors", number), _Vectors(tuple(vectors), dimensions, data))

    def vectors(self, places: Mapping[str, tuple[int, int]]) -> dict[str, tuple[float, ...]]:
        """The vectors of texts, by hash, from the objects that ``places`` says."""
        found: dict[str, tuple[float, ...]] = {}
        for place in sorted(set(places.values())):
            held = self._held(place)
            found.update({one: held[one] for one, where in places.items() if where == place and one in held})
        return found

    def _held(self, place: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        if place not in self._recent:
            read = self._get(self._name(place[0], "vectors", place[1]), _Vectors)
            vectors = struct.iter_unpack(f"<{read.dimensions}f", read.data)
            kept = list(self._recent.items())[1 - _VECTORS_KEPT :]
            self._recent = {**dict(kept), place: dict(zip(read.hashes, vectors, strict=True))}
        return self._recent[place]

    # ------------------------------------------------------------ removals

    def put_removal(self, removal: Removal) -> None:
        self._put(self._removal, removal)

    def removal(self) -> Removal:
        """What was shown last, and allowed so far."""
        name = self._removal
        return self._get(name, Removal) if name in self._names(name) else Removal()

    # ------------------------------------------------------------ objects

    def next_number(self, task: int, kind: str) -> int:
        """The first number that no object ``pages`` or ``vectors`` of the task has."""
        names = self._names(f"{self._prefix}{task:04d}/{kind}-")
        numbers = [int(found[1]) for name in names if (found := re.search(r"-(\d+)\.zst$", name))]
        return max(numbers, default=-1) + 1

    def clear_read(self) -> None:
        """Delete what was read; what was shown to go, and allowed, stays, unless it is damaged."""
        try:
            self.removal()
        except Corrupt:
            self.clear()
        else:
            self._clear(kept=self._removal)

    def clear(self) -> None:
        """Delete every object of the run."""
        self._clear()

    def _clear(self, kept: str = "") -> None:
        for name in [one for one in self._names(self._prefix) if one != kept]:
            try:
                self._objects.delete(name, self._steps.one())
            except Missing:
                continue

    def _names(self, prefix: str) -> Iterable[str]:
        return [info.name for info in self._objects.list(prefix, self._steps.one())]

    def _name(self, task: int, kind: str, number: int) -> str:
        return f"{self._prefix}{task:04d}/{kind}-{number:06d}.zst"

    def _put(self, name: str, value: msgspec.Struct) -> None:
        packed = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(
            msgspec.msgpack.encode(value)
        )
        self._steps.patiently(lambda limit: self._objects.put(name, packed, limit))

    def _get(self, name: str, kind: type[S]) -> S:
        try:
            packed, _ = self._steps.patiently(lambda limit: self._objects.get(name, limit))
            opened = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST_BYTES)
            return msgspec.msgpack.decode(opened, type=kind)
        except Missing as error:
            raise Corrupt(SERVICE, f"read {name}", "it is gone from the bucket", hint=_HINT) from error
        except (zstandard.ZstdError, msgspec.DecodeError, struct.error) as error:
            raise Corrupt(SERVICE, f"read {name}", f"it is damaged, {error}", hint=_HINT) from error
