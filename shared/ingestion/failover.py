"""What ingestion leaves for the time when Qdrant is away: the passages in Postgres, and the lifeboat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

from shared.errors import DependencyError
from shared.ports import Json, PassageStore
from shared.resilience.deadline import Deadline
from shared.retrieval.candidates import passage_text
from shared.retrieval.chunks import Chunk
from shared.retrieval.lifeboat_file import build
from shared.retrieval.lifeboat_store import LifeboatStore

BATCH_PAGES = 64

Pages = Mapping[str, Sequence[Chunk]]
"""Passages by the URL of their page."""


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

    def settle(
        self,
        generation: str,
        pages: Pages,
        hashes: Iterable[str],
        facts: Callable[[], Json],
        step: Callable[[], Deadline],
    ) -> tuple[str, ...]:
        """Bring both to ``pages``, the whole site, at the end of a run; what went wrong with the lifeboat.

        ``hashes`` are those of the pages' contents, ``facts`` gives the payload of the reserved point.
        Nothing is written where nothing differs; an index from before there was a failover gets one.
        """
        if self._passages and self._passages.count(generation, step()) != _size(pages):
            self._save_all(generation, pages, facts(), step)
        if not self._boats:
            return ()
        try:
            chunks = (chunk for url in sorted(pages) for chunk in pages[url])
            self._boats.keep(generation, _content(hashes), lambda: build(chunks, facts()), step())
        except DependencyError as error:
            return (f"the lifeboat was not written: {error}",)
        return ()

    def _save_all(self, generation: str, pages: Pages, facts: Json, step: Callable[[], Deadline]) -> None:
        assert self._passages is not None
        self._passages.save_facts(generation, facts, step())
        urls = sorted(pages)
        for start in range(0, len(urls), BATCH_PAGES):
            self.save(generation, {url: pages[url] for url in urls[start : start + BATCH_PAGES]}, step())


def _size(pages: Pages) -> int:
    return sum(len(chunks) for chunks in pages.values())


def _content(hashes: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for one in sorted(hashes):
        digest.update(one.encode())
    return digest.hexdigest()
