"""What ingestion leaves for the time when Qdrant is away: the passages in Postgres, and the lifeboat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from shared.errors import DependencyError, Rejected
from shared.ingestion.steps import Steps
from shared.ports import Json, PassageStore
from shared.resilience.deadline import Deadline
from shared.retrieval.candidates import passage_text
from shared.retrieval.chunks import Chunk
from shared.retrieval.lifeboat_file import write
from shared.retrieval.lifeboat_store import LifeboatStore

BATCH_PAGES = 64
LIFEBOAT_SECONDS = 900.0
"""Longest time for writing a lifeboat: all passages are read for it."""

Pages = Mapping[str, Sequence[Chunk]]
"""Passages by the URL of their page."""


@dataclass(frozen=True, slots=True)
class Contents:
    """A whole generation: how many passages it has, a digest of what they say, all of them in the order of
    their ids, and the payload of its reserved point.
    """

    generation: str
    passages: int
    digest: str
    chunks: Callable[[], Iterable[Chunk]]
    facts: Callable[[], Json]


class Failover:
    """Keeps both in step with the index. Either may be None: then that rung is not there."""

    def __init__(self, passages: PassageStore | None = None, boats: LifeboatStore | None = None) -> None:
        self._passages = passages
        self._boats = boats

    def begin(self, generation: str, facts: Json, deadline: Deadline) -> None:
        """Store what a new generation's words weigh: the payload of its reserved point."""
        if self._passages:
            self._passages.save_facts(generation, facts, deadline)

    def save(self, generation: str, pages: Pages, deadline: Deadline) -> None:
        """Write the passages of these pages, in place of what was there; the ledger must know the pages."""
        if self._passages:
            rows = [passage_text(chunk) for chunks in pages.values() for chunk in chunks]
            self._passages.save_pages(generation, list(pages), rows, deadline)

    def settle(self, contents: Contents, steps: Steps) -> tuple[str, ...]:
        """Bring both to the whole index, at the end of a run; what went wrong with the lifeboat.

        Nothing is written where nothing differs; an index from before there was a failover gets one.
        """
        generation = contents.generation
        if self._passages and self._passages.count(generation, steps.one()) != contents.passages:
            self._passages.save_facts(generation, contents.facts(), steps.one())
            for pages in _pages(contents.chunks()):
                self.save(generation, pages, steps.one())
        return self._keep_boat(contents, steps)

    def _keep_boat(self, contents: Contents, steps: Steps) -> tuple[str, ...]:
        if not self._boats:
            return ()
        most = self._boats.most_bytes

        def make(path: Path) -> None:
            write(path, contents.chunks(), contents.facts(), most_bytes=most)

        try:
            limit = steps.within(LIFEBOAT_SECONDS)
            self._boats.keep(contents.generation, contents.digest, make, limit)
        except Rejected as error:
            return (f"the lifeboat was not written: {error}{self._withdrawn(self._boats, steps.one())}",)
        except DependencyError as error:
            return (f"the lifeboat was not written: {error}",)
        return ()

    def _withdrawn(self, boats: LifeboatStore, deadline: Deadline) -> str:
        """The next run can write none either: the old one would show removed pages for ever."""
        try:
            return "; the one before was withdrawn" if boats.withdraw(deadline) else ""
        except DependencyError as error:
            return f"; the one before, which may hold removed pages, could not be withdrawn: {error}"


def _pages(chunks: Iterable[Chunk]) -> Iterator[dict[str, list[Chunk]]]:
    """Batches of whole pages: the passages of a page follow one another, because their ids begin alike."""
    batch: dict[str, list[Chunk]] = {}
    for url, own in groupby(chunks, key=lambda chunk: chunk.page_url):
        batch[url] = list(own)
        if len(batch) == BATCH_PAGES:
            yield batch
            batch = {}
    if batch:
        yield batch
