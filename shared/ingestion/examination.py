"""Finds what is missing or damaged of the live generation, in the index and in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shared.errors import Garbled, Missing
from shared.ingestion.inspection import Inspection, Judge, inspect
from shared.ingestion.steps import Steps
from shared.ports import (
    ChunkLedger,
    ChunkRecord,
    FullText,
    Ledger,
    PackedPage,
    PackedPoint,
    PassageStore,
    Point,
    VectorBulk,
    VectorSearch,
)
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import collection_name, read_statistics

BATCH = 256
ROWS = 10_000

Progress = Callable[[str, int, int], object]
"""Told what is being done, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class RepairPorts:
    """Ledger, index (in bulk, and point by point), and the passages in Postgres."""

    ledger: Ledger
    chunks: ChunkLedger
    vectors: VectorBulk
    search: VectorSearch
    passages: PassageStore
    full_text: FullText


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a generation. ``reserved`` is its reserved point, of the index or else of Postgres;
    ``reserved_problem`` says what is wrong with the index's, ``facts_lost`` that Postgres has none.
    """

    generation: str
    collection: str
    inspection: Inspection
    reserved: Point
    reserved_problem: str = ""
    facts_lost: bool = False

    @property
    def healthy(self) -> bool:
        """Whether nothing is to be done."""
        return self.inspection.healthy and not self.reserved_problem and not self.facts_lost


class Examiner:
    """Examines the generation behind ``alias`` that the ledger calls live.

    Errors: those of the ports; ``Missing`` when nothing is live, when the collection is gone, or when its
    reserved point is and nobody knows what it said.
    """

    def __init__(self, ports: RepairPorts, steps: Steps, *, alias: str) -> None:
        self._ports = ports
        self._steps = steps
        self._alias = alias

    def diagnose(self, progress: Progress = lambda _what, _done, _total: None) -> Diagnosis:
        """Compare ledger, index and Postgres. Nothing is changed."""
        generation = self._live()
        collection = collection_name(self._alias, generation)
        there = self._first(collection)
        kept = self._kept(generation)
        reserved, problem = _reserved(there, kept)
        statistics, facts = read_statistics(reserved)
        total = self._steps.patiently(lambda limit: self._ports.vectors.count(collection, limit))
        found = inspect(
            self._ports.ledger.pages(generation, self._steps.one()),
            self._records(generation),
            self._points(collection, lambda done: progress("comparing", done, total)),
            self._passages(generation),
            Judge(statistics, facts.dimensions),
        )
        return Diagnosis(generation, collection, found, reserved, problem, facts_lost=kept is None)

    def _live(self) -> str:
        for one in self._ports.ledger.generations(self._steps.one()):
            if one.status == "live":
                return one.id
        raise Missing("ledger", "repair", "nothing is indexed", hint="Run `lectern ingest`.")

    def _first(self, collection: str) -> PackedPoint | None:
        try:
            page = self._steps.patiently(lambda limit: self._ports.vectors.read(collection, limit, limit=1))
        except Missing as error:
            hint = "Restore a recovery point (`lectern restore --part qdrant`), or run `lectern ingest`."
            raise Missing("qdrant", "repair", f"the collection {collection} is gone", hint=hint) from error
        first = page.points[0] if page.points else None
        return first if first and first.id == STATISTICS_ID else None

    def _kept(self, generation: str) -> Point | None:
        """The reserved point as Postgres has it."""
        try:
            payload = self._ports.full_text.facts(generation, self._steps.one())
            read_statistics(kept := Point(STATISTICS_ID, {}, payload))
        except (Missing, Garbled):
            return None
        return kept

    def _records(self, generation: str) -> Iterator[ChunkRecord]:
        return every_record(self._ports.chunks, generation, self._steps)

    def _points(self, collection: str, progress: Callable[[int], object]) -> Iterator[PackedPoint]:
        offset: str | None = None
        done = 0
        while True:
            page = self._page(collection, offset)
            yield from page.points
            done += len(page.points)
            progress(done)
            offset = page.next_offset
            if offset is None:
                return

    def _page(self, collection: str, offset: str | None) -> PackedPage:
        return self._steps.patiently(
            lambda limit: self._ports.vectors.read(collection, limit, offset=offset, limit=BATCH)
        )

    def _passages(self, generation: str) -> Iterator[Point]:
        after = ""
        while rows := self._ports.passages.read(generation, self._steps.one(), after=after):
            yield from rows
            after = rows[-1].id


def every_record(chunks: ChunkLedger, generation: str, steps: Steps) -> Iterator[ChunkRecord]:
    """All passages that the ledger knows of a generation, in the order of their ids."""
    after = ""
    while rows := chunks.chunks(generation, steps.one(), after=after, limit=ROWS):
        yield from rows
        after = rows[-1].id


def _reserved(there: PackedPoint | None, kept: Point | None) -> tuple[Point, str]:
    """The reserved point, of the index or else of Postgres, and what is wrong with the index's."""
    try:
        if there is None:
            raise Garbled("qdrant", "repair", "it is not in the index")  # noqa: TRY301
        reserved = Point(there.id, {}, there.payload)
        read_statistics(reserved)
    except Garbled as error:
        if kept is None:
            hint = "Restore a recovery point (`lectern restore --part qdrant --replace`), or ingest anew."
            raise Missing("qdrant", "repair", f"the reserved point: {error.detail}", hint=hint) from error
        return kept, error.detail
    return reserved, ""
