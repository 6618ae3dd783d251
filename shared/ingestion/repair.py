"""Makes whole again what is missing or damaged of the live generation, and leaves the rest as it is.

In this order: what the index lacks comes from a recovery point, when one is given; then from the passages in
Postgres, embedded anew; the pages that are left are marked in the ledger, and the next ingestion writes them
as if they had changed. Every page that is touched is pending in the ledger meanwhile, so a repair that is
killed leaves nothing that looks whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from shared.ingestion.examination import BATCH, Diagnosis, Progress, RepairPorts, every_record
from shared.ingestion.inspection import Judge
from shared.ingestion.mending import Embed, page_again
from shared.ingestion.steps import Steps
from shared.ports import ChunkRecord, Embedder, PackedPoint, PageRecord, Point
from shared.retrieval.candidates import passage_text
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.digest import packed
from shared.retrieval.layout import chunk_of, read_statistics

T = TypeVar("T")
PAGES = 32
"""Pages that are made again together."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did. ``from_point`` and ``from_postgres`` are points that were made again, ``embedded``
    texts that were turned into vectors for that, ``removed`` points that should not have been there,
    ``reserved`` whether the reserved point was written. ``passages`` are pages whose passages in Postgres
    were written again, ``left`` those that the next ingestion must read from the site.
    """

    generation: str
    checked: int = 0
    from_point: int = 0
    from_postgres: int = 0
    embedded: int = 0
    removed: int = 0
    reserved: bool = False
    passages: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Repair:
    """Repairs what an :class:`~shared.ingestion.examination.Examiner` found.

    The caller holds the ingestion lease, taken through the ledger. ``stale`` is told the pages whose answers
    must no longer be given. Errors: those of the ports.
    """

    def __init__(
        self,
        ports: RepairPorts,
        embedder: Embedder | None,
        steps: Steps,
        *,
        stale: Callable[[Sequence[str]], object] = lambda _urls: None,
    ) -> None:
        self._ports = ports
        self._embedder = embedder
        self._steps = steps
        self._stale = stale

    def mend(
        self,
        diagnosis: Diagnosis,
        recorded: Iterable[PackedPoint] = (),
        progress: Progress = lambda _what, _done, _total: None,
    ) -> Repaired:
        """Make again what can be. ``recorded`` are the points of a recovery point of the same generation."""
        mending = _Mending(self._ports, self._embedder, self._steps, diagnosis, progress)
        pages = mending.begin()
        self._stale(sorted(pages))
        mending.reserved()
        mending.from_point(recorded)
        mending.from_postgres()
        mending.remove()
        return mending.end(pages)


class _Mending:
    """One repair under way; ``_wanted`` shrinks as points are made again."""

    def __init__(
        self,
        ports: RepairPorts,
        embedder: Embedder | None,
        steps: Steps,
        diagnosis: Diagnosis,
        progress: Progress,
    ) -> None:
        self._ports = ports
        self._steps = steps
        self._diagnosis = diagnosis
        self._found = diagnosis.inspection
        self._progress = progress
        self._statistics, self._facts = read_statistics(diagnosis.reserved)
        fits = embedder is not None and embedder.model == self._facts.model
        self._embedder = embedder if fits else None
        damaged = (*self._found.missing, *self._found.altered)
        self._wanted = {finding.id: finding.url for finding in damaged}
        self._total = len(self._wanted)
        self._done = Repaired(diagnosis.generation, checked=self._found.checked)
        self._records: dict[str, list[ChunkRecord]] = {}

    def begin(self) -> dict[str, PageRecord]:
        """Mark the pages that are about to be touched; their rows as they were."""
        found = self._found
        urls = {*self._wanted.values(), *(one.url for one in found.extra), *found.stale, *found.unknown}
        known = self._ports.ledger.pages(self._diagnosis.generation, self._steps.one())
        pages = {url: known[url] for url in urls if url in known}
        self._save([replace(page, content_hash="") for page in pages.values()])
        self._records = self._records_of({*self._wanted.values(), *found.stale})
        return pages

    def reserved(self) -> None:
        """Write the reserved point where it is lost: it is in Postgres, too."""
        reserved, generation = self._diagnosis.reserved, self._diagnosis.generation
        if self._diagnosis.reserved_problem:
            self._write([PackedPoint(STATISTICS_ID, {}, reserved.payload)])
            self._done = replace(self._done, reserved=True)
        if self._diagnosis.facts_lost:
            self._ports.passages.save_facts(generation, reserved.payload, self._steps.one())
            self._done = replace(self._done, reserved=True)

    def from_point(self, recorded: Iterable[PackedPoint]) -> None:
        """Write the points that the recovery point has as the ledger wants them."""
        if not self._wanted:
            return
        judge = Judge(self._statistics, self._facts.dimensions)
        records = {record.id: record for rows in self._records.values() for record in rows}
        fitting = (
            point
            for point in recorded
            if point.id in self._wanted and not judge.problem(point, records[point.id])
        )
        for batch in _batches(fitting, BATCH):
            self._write(batch)
            self._done = replace(self._done, from_point=self._done.from_point + len(batch))
            self._tell(batch)

    def from_postgres(self) -> None:
        """Make the points of whole pages again from their passages, and write those that are wanted."""
        for urls in _batches(sorted(set(self._wanted.values())), PAGES):
            passages = self._passages_of(urls)
            made = [self._made(url, passages.get(url, [])) for url in urls]
            points = [point for page in made for point in page if point.id in self._wanted]
            for batch in _batches(points, BATCH):
                self._write([packed(point) for point in batch])
                self._done = replace(self._done, from_postgres=self._done.from_postgres + len(batch))
                self._tell(batch)

    def _made(self, url: str, passages: Sequence[Point]) -> list[Point]:
        embed: Embed | None = self._embed if self._embedder else None
        return page_again(passages, self._records.get(url, []), self._statistics, embed) or []

    def remove(self) -> None:
        """Delete what the ledger does not know."""
        for batch in _batches((finding.id for finding in self._found.extra), BATCH):
            self._delete(batch)
            self._done = replace(self._done, removed=self._done.removed + len(batch))

    def end(self, pages: Mapping[str, PageRecord]) -> Repaired:
        """Write the passages of Postgres again, then let the ledger say which pages are whole."""
        left = {*self._wanted.values(), *self._found.unknown}
        again = sorted(set(self._found.stale) - left)
        for urls in _batches(again, PAGES):
            self._save_passages(urls)
        self._save([page for url, page in pages.items() if url not in left])
        left |= set(self._found.pending)
        return replace(self._done, passages=tuple(again), left=tuple(sorted(left)))

    # ------------------------------------------------------------ single steps

    def _save_passages(self, urls: Sequence[str]) -> None:
        ids = [record.id for url in urls for record in self._records[url]]
        rows = []
        for batch in _batches(ids, BATCH):
            found = self._ports.search.retrieve(self._diagnosis.collection, batch, self._steps.one())
            rows += [passage_text(chunk_of(point)) for point in found]
        self._ports.passages.save_pages(self._diagnosis.generation, urls, rows, self._steps.one())

    def _passages_of(self, urls: Sequence[str]) -> dict[str, list[Point]]:
        found: defaultdict[str, list[Point]] = defaultdict(list)
        generation, after = self._diagnosis.generation, ""
        while rows := self._ports.passages.read(generation, self._steps.one(), urls=urls, after=after):
            for row in rows:
                found[row.payload["url"]].append(row)
            after = rows[-1].id
        return found

    def _records_of(self, urls: set[str]) -> dict[str, list[ChunkRecord]]:
        found: defaultdict[str, list[ChunkRecord]] = defaultdict(list)
        if urls:
            for record in every_record(self._ports.chunks, self._diagnosis.generation, self._steps):
                if record.url in urls:
                    found[record.url].append(record)
        return found

    def _embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        assert self._embedder is not None
        embedder = self._embedder
        made = self._steps.patiently(lambda limit: embedder.embed_documents(texts, limit))
        self._done = replace(self._done, embedded=self._done.embedded + len(texts))
        return made.vectors

    def _write(self, points: Sequence[PackedPoint]) -> None:
        collection = self._diagnosis.collection
        self._steps.patiently(lambda limit: self._ports.vectors.write(collection, points, limit))

    def _delete(self, ids: Sequence[str]) -> None:
        collection = self._diagnosis.collection
        self._steps.patiently(lambda limit: self._ports.vectors.delete(collection, ids, limit))

    def _save(self, pages: Sequence[PageRecord]) -> None:
        if pages:
            self._ports.ledger.save_pages(self._diagnosis.generation, pages, self._steps.one())

    def _tell(self, made: Sequence[PackedPoint] | Sequence[Point]) -> None:
        for point in made:
            del self._wanted[point.id]
        self._progress("repairing", self._total - len(self._wanted), self._total)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
