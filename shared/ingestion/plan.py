"""What differs between a site and one generation of the index: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import SourceError
from shared.ingestion.chunking import chunk_page
from shared.ingestion.index_points import content_hash
from shared.ports import PageRecord
from shared.retrieval.chunks import Chunk, Page

BATCH_PASSAGES = 48
"""Passages that are embedded and written together: the most that a killed run does again."""


@dataclass(frozen=True, slots=True)
class Read:
    """A page, cut, with the hash that tells whether its points must change."""

    page: Page
    chunks: tuple[Chunk, ...]
    hash: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs between the site and one generation of the index."""

    added: tuple[Read, ...]
    changed: tuple[Read, ...]
    unchanged: tuple[Read, ...]
    removed: tuple[str, ...]

    @property
    def drift(self) -> float:
        before = len(self.changed) + len(self.unchanged) + len(self.removed)
        return (len(self.added) + len(self.changed) + len(self.removed)) / max(before, 1)


def cut(pages: Sequence[Page], source: str) -> list[Read]:
    """Pages with their passages, by URL: the order of writing does not depend on the order of reading."""
    unique = {page.url: page for page in pages}
    if not unique:
        raise SourceError(
            f"There is no page to ingest in {source}.",
            hint="Give a folder with Markdown (.md, .mdx) or with a built Docusaurus site.",
        )
    read = []
    for url in sorted(unique):
        chunks = chunk_page(unique[url])
        read.append(Read(unique[url], chunks, content_hash(chunks, unique[url])))
    return read


def compare(read: Sequence[Read], known: Mapping[str, PageRecord]) -> Plan:
    """What must be written and removed, where ``known`` are the pages that the ledger has, by URL."""
    urls = {one.page.url for one in read}
    old = [one for one in read if one.page.url in known]
    same = {one.page.url for one in old if known[one.page.url].content_hash == one.hash}
    return Plan(
        added=tuple(one for one in read if one.page.url not in known),
        changed=tuple(one for one in old if one.page.url not in same),
        unchanged=tuple(one for one in old if one.page.url in same),
        removed=tuple(sorted(known.keys() - urls)),
    )


def passages_of(read: Sequence[Read]) -> dict[str, tuple[Chunk, ...]]:
    """Passages by the URL of their page."""
    return {one.page.url: one.chunks for one in read}


def record(one: Read, *, pending: bool) -> PageRecord:
    """The ledger's row of a page; ``pending`` while its points are being written."""
    return PageRecord(one.page.url, one.page.title, "" if pending else one.hash, len(one.chunks))


def batches(read: Sequence[Read]) -> Iterator[list[Read]]:
    """Runs of whole pages of about :data:`BATCH_PASSAGES` passages."""
    batch: list[Read] = []
    size = 0
    for one in read:
        batch.append(one)
        size += len(one.chunks)
        if size >= BATCH_PASSAGES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
