"""Writes what a run has read into one generation: a part at a time, by one writer.

Safe to kill by its order: a page's row is in the ledger without its hash before its points are written, and
with it after; ids follow from content, so doing anything twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.ingestion.economy import Economy
from shared.ingestion.failover import Failover
from shared.ingestion.index_points import dense_text, page_points, text_hash
from shared.ingestion.parts import Work
from shared.ingestion.reading import count_page
from shared.ingestion.stage import CutPage
from shared.ports import ChunkRecord, Condition, PageRecord, Point
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Chunk
from shared.retrieval.statistics import FieldCounter, Statistics

REMOVED_AT_ONCE = 256
"""Pages that one request removes."""

Stale = Callable[[Sequence[str]], object]
"""Told the pages whose answers must no longer be given."""


@dataclass(frozen=True, slots=True)
class Target:
    """The generation that is written, its collection, and the statistics that are frozen with it."""

    generation: str
    collection: str
    statistics: Statistics


class Writer:
    """Writes what a run has staged into the generation ``target``."""

    def __init__(
        self,
        work: Work,
        target: Target,
        economy: Economy,
        failover: Failover,
        on_stale: Stale,
    ) -> None:
        self._work = work
        self._ports = work.ports
        self._steps = work.steps
        self._target = target.generation
        self._collection = target.collection
        self._statistics = target.statistics
        self._economy = economy
        self._failover = failover
        self._on_stale = on_stale

    def write(self, progress: Callable[[int], object]) -> None:
        """Write every page that differs from the generation's. ``progress`` is told the pages written."""
        written = 0
        for part in self._work.parts(self._target):
            wanted = self._work.urls(self._target, part)
            pages = [page for page in self._work.stage.pages(*part).pages if page.url in wanted]
            self._write(pages, {url for url, there in wanted.items() if there})
            written += len(pages)
            progress(written)

    def remove(self, urls: Sequence[str]) -> None:
        """Take pages out of the generation."""
        for start in range(0, len(urls), REMOVED_AT_ONCE):
            some = urls[start : start + REMOVED_AT_ONCE]
            gone = (Condition("url", tuple(some)),)
            self._delete(gone)
            self._on_stale(some)
            self._ports.ledger.remove_pages(self._target, some, self._steps.one())

    def _delete(self, conditions: Sequence[Condition], keep_ids: Sequence[str] = ()) -> None:
        def delete(limit: Deadline) -> None:
            self._ports.chunks.check_lease(limit)
            self._ports.vectors.delete(self._collection, limit, conditions=conditions, keep_ids=keep_ids)

        self._steps.patiently(delete)

    def _upsert(self, points: Sequence[Point]) -> None:
        """The lease was checked before the pages were embedded, which may have taken long."""

        def upsert(limit: Deadline) -> None:
            self._ports.chunks.check_lease(limit)
            self._ports.vectors.upsert(self._collection, points, limit)

        self._steps.patiently(upsert)

    def _write(self, pages: Sequence[CutPage], known: set[str]) -> None:
        self._save([_record(page, pending=True) for page in pages])
        found = self._economy.vectors(pages)
        chunks = [chunk for page in pages for chunk in page.chunks]
        texts = {chunk.id: text_hash(text) for chunk in chunks if (text := dense_text(chunk))}
        dense = {chunk: found[hashed] for chunk, hashed in texts.items() if hashed in found}
        points = [
            point
            for page in pages
            for point in page_points(page.headings, page.chunks, self._statistics, dense)
        ]
        self._upsert(points)
        self._delete_old(pages, known)
        self._failover.save(self._target, {page.url: page.chunks for page in pages}, self._steps.one())
        # Before the ledger says that it is done: a run that is killed here forgets them again.
        self._on_stale([page.url for page in pages if page.url in known])
        rows = [_chunk(chunk, texts[chunk.id] if chunk.id in dense else "") for chunk in chunks]
        self._save([_record(page, pending=False) for page in pages], rows)

    def _save(self, pages: Sequence[PageRecord], chunks: Sequence[ChunkRecord] | None = None) -> None:
        self._steps.patiently(
            lambda limit: self._ports.ledger.save_pages(self._target, pages, limit, chunks=chunks)
        )

    def _delete_old(self, pages: Sequence[CutPage], known: set[str]) -> None:
        """Passages that the pages had and no longer have."""
        changed = [page for page in pages if page.url in known]
        if changed:
            own = (Condition("url", tuple(page.url for page in changed)),)
            self._delete(own, [chunk.id for page in changed for chunk in page.chunks])


def staged_statistics(work: Work) -> Statistics:
    """The statistics of everything that a run has staged, from the counts of its parts."""
    passages, headings = FieldCounter(), FieldCounter()
    for place in work.parts(""):
        part, wanted = work.stage.pages(*place), work.urls("", place)
        if len(wanted) == len(part.pages):
            passages.add_counts(part.passages)
            headings.add_counts(part.headings)
            continue
        for page in part.pages:  # some of them were read again later, or are gone
            if page.url in wanted:
                count_page(page, passages, headings)
    return Statistics(passages.statistics(), headings.statistics())


def _record(page: CutPage, *, pending: bool) -> PageRecord:
    hashed = "" if pending else page.content_hash
    return PageRecord(page.url, page.title, hashed, len(page.chunks), page.source_hash)


def _chunk(chunk: Chunk, hashed: str) -> ChunkRecord:
    return ChunkRecord(chunk.id, chunk.page_url, hashed)
