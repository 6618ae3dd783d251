"""Compares what the ledger says a generation holds with what is in the index and in Postgres: pure.

A passage's id follows from its address, headings and text, and its words' weights follow from its text and
the frozen statistics. So a point tells by itself whether it is what ingestion wrote; the ledger tells which
points there must be. Of a dense vector only its presence and form can be told that way.
"""

from __future__ import annotations

import heapq
import math
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from shared.errors import Garbled
from shared.ports import (
    ChunkRecord,
    Json,
    PackedPoint,
    PackedSparse,
    PackedVector,
    PageRecord,
    Point,
    SparseVector,
)
from shared.retrieval.candidates import lexical_text
from shared.retrieval.chunks import STATISTICS_ID, Chunk, point_id
from shared.retrieval.digest import in_order
from shared.retrieval.layout import DENSE, HEADINGS, PASSAGES, chunk_of
from shared.retrieval.statistics import Statistics

_UNIT = 1e-3
"""How far the length of a dense vector may be from 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A point that is not as it should be, the page that it belongs to, and why."""

    id: str
    url: str
    problem: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    ``checked`` counts the passages that the ledger knows. ``missing`` and ``altered`` points must be made
    again, ``extra`` ones be removed. ``stale`` are pages whose passages in Postgres are not those of the
    index. ``unknown`` are pages of which the ledger does not know the passages, ``pending`` those that an
    ingestion has begun to write: both are for ingestion to write.
    """

    checked: int = 0
    missing: tuple[Finding, ...] = ()
    altered: tuple[Finding, ...] = ()
    extra: tuple[Finding, ...] = ()
    stale: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.missing or self.altered or self.extra or self.stale or self.unknown or self.pending)


class Judge:
    """Tells whether a point is what ingestion wrote. ``dimensions`` are those of dense vectors."""

    def __init__(self, statistics: Statistics, dimensions: int) -> None:
        self._statistics = statistics
        self._dimensions = dimensions

    def problem(self, point: PackedPoint, record: ChunkRecord) -> str:
        """Why the point is not the passage of ``record``; empty when it is."""
        try:
            chunk = chunk_of(Point(point.id, {}, point.payload))
        except Garbled as error:
            return error.detail
        if chunk.page_url != record.url or not is_whole(chunk):
            return "its text is not the one that it was made of"
        if _ordered(point.vectors.get(PASSAGES)) != _ordered(self._words(chunk)):
            return "the weights of its words are not those of its text"
        if self._lacks_headings(chunk, point) or (chunk.position and HEADINGS in point.vectors):
            return "its headings are not where a page begins"
        return self._dense_problem(point.vectors.get(DENSE), wanted=bool(record.text_hash))

    def _words(self, chunk: Chunk) -> PackedSparse | None:
        return packed_sparse(self._statistics.passages.document_vector(lexical_text(chunk)))

    def _lacks_headings(self, chunk: Chunk, point: PackedPoint) -> bool:
        """A title without words leaves open whether there are headings with some."""
        counts = self._statistics.headings.document_vector(chunk.title) is not None
        return chunk.position == 0 and counts and HEADINGS not in point.vectors

    def _dense_problem(self, vector: object, *, wanted: bool) -> str:
        if (vector is not None) != wanted:
            return (
                "it has no dense vector" if wanted else "it has a dense vector that nothing was embedded for"
            )
        if vector is None:
            return ""
        if not isinstance(vector, bytes) or len(vector) != 4 * self._dimensions:
            return f"its dense vector does not have {self._dimensions} numbers"
        length = math.hypot(*struct.unpack(f"<{self._dimensions}f", vector))
        return "" if abs(length - 1) <= _UNIT else "its dense vector is not of length 1"


def _ordered(vector: PackedVector | None) -> bytes | None:
    return None if vector is None else in_order(vector)


def is_whole(chunk: Chunk) -> bool:
    """Whether the passage's id is the one that its address, headings and text give."""
    return chunk.id == point_id(chunk.page_url, "passage", (*chunk.headings, chunk.anchor), chunk.text)


def packed_sparse(vector: SparseVector | None) -> PackedSparse | None:
    """The vector as bytes, by term."""
    if vector is None:
        return None
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    terms = struct.pack(f"<{len(pairs)}I", *(term for term, _ in pairs))
    return PackedSparse(terms, struct.pack(f"<{len(pairs)}f", *(weight for _, weight in pairs)))


def inspect(
    pages: Mapping[str, PageRecord],
    records: Iterable[ChunkRecord],
    points: Iterable[PackedPoint],
    passages: Iterable[Point],
    judge: Judge,
) -> Inspection:
    """Compare, where ``records``, ``points`` and ``passages`` come in the order of their ids. Memory grows
    with what is wrong alone.
    """
    tally = _Tally(pages, judge)
    for identity, record, point, passage in _merged(records, points, passages):
        if identity != STATISTICS_ID:
            tally.add(record, point, passage)
    return tally.inspection()


class _Tally:
    def __init__(self, pages: Mapping[str, PageRecord], judge: Judge) -> None:
        self._pages = pages
        self._judge = judge
        self._pending = {url for url, page in pages.items() if not page.content_hash}
        self._known: Counter[str] = Counter()
        self._missing: list[Finding] = []
        self._altered: list[Finding] = []
        self._strays: list[Finding] = []
        self._stale: set[str] = set()

    def add(self, record: ChunkRecord | None, point: PackedPoint | None, passage: Point | None) -> None:
        if record is None:
            self._stray(point, passage)
            return
        self._known[record.url] += 1
        if record.url in self._pending:
            return
        if passage is None:
            self._stale.add(record.url)
        if point is None:
            self._missing.append(Finding(record.id, record.url, "it is not in the index"))
            return
        problem = self._judge.problem(point, record)
        if problem:
            self._altered.append(Finding(record.id, record.url, problem))
        elif passage is not None and not _same(point.payload, passage.payload):
            self._stale.add(record.url)

    def _stray(self, point: PackedPoint | None, passage: Point | None) -> None:
        """Something that the ledger does not know."""
        if point is not None:
            url = str(point.payload.get("url", ""))
            self._strays.append(Finding(point.id, url, "the ledger does not know it"))
        elif passage is not None:
            self._stale.add(str(passage.payload.get("url", "")))

    def inspection(self) -> Inspection:
        unknown = {
            url
            for url, page in self._pages.items()
            if url not in self._pending and self._known[url] != page.chunks
        }
        untouched = unknown | self._pending
        return Inspection(
            checked=self._known.total(),
            missing=_but(self._missing, untouched),
            altered=_but(self._altered, untouched),
            extra=_but(self._strays, untouched),
            stale=tuple(sorted((self._stale & self._pages.keys()) - untouched)),
            unknown=tuple(sorted(unknown)),
            pending=tuple(sorted(self._pending)),
        )


def _but(findings: Iterable[Finding], untouched: set[str]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.url not in untouched)


def _same(payload: Json, passage: Json) -> bool:
    """Whether Postgres holds the passage of the index; it stores no NUL."""
    return all(_clean(payload.get(key)) == value for key, value in passage.items())


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    return [_clean(each) for each in value] if isinstance(value, list) else value


def _merged(
    records: Iterable[ChunkRecord], points: Iterable[PackedPoint], passages: Iterable[Point]
) -> Iterator[tuple[str, ChunkRecord | None, PackedPoint | None, Point | None]]:
    """What each of the three has of an id, by id."""
    streams: list[Iterable[Any]] = [records, points, passages]
    tagged = [_tagged(number, stream) for number, stream in enumerate(streams)]
    for identity, group in groupby(heapq.merge(*tagged, key=lambda one: one[:2]), key=lambda one: one[0]):
        found = {number: item for _, number, item in group}
        yield identity, found.get(0), found.get(1), found.get(2)


def _tagged(number: int, stream: Iterable[Any]) -> Iterator[tuple[str, int, Any]]:
    before = ""
    for item in stream:
        if item.id < before:
            names = ("ledger", "index", "passages")
            raise Garbled(names[number], "reading in order", f"{item.id} comes after {before}")
        before = item.id
        yield item.id, number, item
