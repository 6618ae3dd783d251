"""Reads one share of a site into the stage: page by page, cut, in parts of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import msgspec

from shared.ingestion.chunking import chunk_page
from shared.ingestion.digests import place_alone
from shared.ingestion.index_points import content_hash, dense_text, headings_text, text_hash
from shared.ingestion.parts import Progress, Work
from shared.ingestion.site import EVERYTHING, Item, Refused, Share, Source
from shared.ingestion.stage import CutPage, Part
from shared.ports import RunShare, StagedPage
from shared.retrieval.candidates import lexical_text
from shared.retrieval.chunks import Chunk, Page
from shared.retrieval.statistics import FieldCounter

PART_PASSAGES = 256
"""Passages in a part: what is held in memory, and what a killed run does again at most."""
PART_PAGES = 64
KEPT_PAGES = 512
"""Unchanged pages that are recorded together."""
MOST_REFUSED = 1_000
"""Lines about refused pages that are kept."""


def share_of(task: int, tasks: int) -> Share:
    """The places that fall to one of ``tasks``: always the same ones."""
    if tasks == 1:
        return EVERYTHING
    return lambda place: _number(place) % tasks == task


def _number(place: str) -> int:
    return int.from_bytes(blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@dataclass
class _Part:
    """A part that is being filled."""

    pages: list[CutPage] = field(default_factory=list)
    passages: FieldCounter = field(default_factory=FieldCounter)
    headings: FieldCounter = field(default_factory=FieldCounter)
    size: int = 0

    @property
    def full(self) -> bool:
        return self.size >= PART_PASSAGES or len(self.pages) >= PART_PAGES

    def add(self, page: CutPage) -> None:
        self.pages.append(page)
        self.size += len(page.chunks)
        count_page(page, self.passages, self.headings)

    def part(self) -> Part:
        return Part(tuple(self.pages), self.passages.counts(), self.headings.counts())


def count_page(page: CutPage, passages: FieldCounter, headings: FieldCounter) -> None:
    """Count the words of one page."""
    headings.add(page.headings)
    for chunk in page.chunks:
        passages.add(lexical_text(chunk))


def cut_page(page: Page, place: str, source_hash: str) -> CutPage:
    """The page as the stage has it."""
    chunks = chunk_page(page)
    hashed = content_hash(chunks, page)
    return CutPage(page.url, page.title, headings_text(page), place, source_hash, hashed, chunks)


def _storable(page: CutPage) -> bool:
    """Neither Postgres nor JSON takes NUL in an address or title, or half of a surrogate pair anywhere."""
    try:
        msgspec.msgpack.encode(page)
    except UnicodeEncodeError:
        return False
    return "\x00" not in page.url + page.title


def texts_of(chunks: tuple[Chunk, ...]) -> dict[str, str]:
    """The texts that are embedded for these passages, by their hash."""
    return {text_hash(text): text for chunk in chunks if (text := dense_text(chunk))}


class ShareReader:
    """Reads one share of a run. ``embeds`` says whether there is an embedding model to claim texts for,
    ``live`` names the generation that readers see.
    """

    def __init__(
        self,
        work: Work,
        task: int,
        *,
        embeds: bool,
        live: str = "",
        on_refused: Callable[[str], object] = lambda _line: None,
    ) -> None:
        self._work = work
        self._live = live
        self._task = task
        self._embeds = embeds
        self._on_refused = on_refused
        self._filling = _Part()
        self._kept: list[str] = []
        self._met: set[str] = set()
        self._refused: list[str] = []
        self._number = work.stage.next_number(task, "pages")

    def read(self, source: Source, progress: Progress) -> RunShare:
        """Bring the stage to what the site says now, and tell what was read.

        What an earlier attempt has staged is read again only if it changed since; what it staged and the
        site no longer has is forgotten.
        """
        run, pages = self._work.run, self._work.ports.pages
        known = self._known()
        share = share_of(self._task, run.tasks)

        def told(_what: str, done: int, total: int) -> None:
            progress(done, total)

        for item in source.items(known, share=share, progress=told):
            if isinstance(item, Refused):
                self._refuse(item)
            else:
                self._take(item)
        self._flush()
        self._flush_kept()
        pages.close(run.id, self._task, sorted(self._met), self._work.steps.one())
        return self._share()

    def _known(self) -> dict[str, str]:
        """For a new generation everything is read: what readers have tells the addresses alone."""
        run, pages, steps = self._work.run, self._work.ports.pages, self._work.steps
        known = pages.known(run.id, run.generation, steps.one())
        if not run.generation and self._live:
            others = pages.known(run.id, self._live, steps.one())
            alone = {url: place_alone(hashed) for url, hashed in others.items() if url not in known}
            known |= {url: hashed for url, hashed in alone.items() if hashed}
        return known

    def _take(self, item: Item) -> None:
        if item.url in self._met:
            return
        self._met.add(item.url)
        if item.page is None:
            self._keep(item.url)
            return
        page = cut_page(item.page, item.place, item.hash)
        if _storable(page):
            self._filling.add(page)
        else:
            self._refuse(Refused(item.place, "it has characters that cannot be stored", item.url))
        if self._filling.full:
            self._flush()

    def _refuse(self, refused: Refused) -> None:
        """What was indexed of the page earlier stays, because it may well be there. A new generation cannot
        take it over: there it is counted as lost.
        """
        self._on_refused(str(refused))
        if len(self._refused) < MOST_REFUSED:
            self._refused.append(str(refused).replace("\x00", ""))
        if refused.url:
            self._met.add(refused.url)
            self._keep(refused.url)

    def _keep(self, url: str) -> None:
        self._kept.append(url)
        if len(self._kept) >= KEPT_PAGES:
            self._flush_kept()

    def _flush_kept(self) -> None:
        if not self._kept:
            return
        work, kept, of = self._work, self._kept, self._work.run.generation or self._live
        self._kept = []
        work.steps.patiently(lambda limit: work.ports.pages.keep(work.run.id, of, self._task, kept, limit))
        work.save_share(self._share())

    def _flush(self) -> None:
        """The object first: what the rows say is there, whatever moment the run is killed at."""
        if not self._filling.pages:
            return
        work, part, number = self._work, self._filling.part(), self._number
        self._filling = _Part()
        self._number += 1
        work.stage.put_pages(self._task, number, part)
        rows = [self._row(page) for page in part.pages]
        work.steps.patiently(
            lambda limit: work.ports.pages.stage(work.run.id, self._task, number, rows, limit)
        )
        work.save_share(self._share())

    def _row(self, page: CutPage) -> StagedPage:
        texts = texts_of(page.chunks) if self._embeds else {}
        lengths = {hashed: len(text) for hashed, text in texts.items()}
        return StagedPage(
            page.url, page.place, page.source_hash, page.content_hash, len(page.chunks), lengths
        )

    def _share(self) -> RunShare:
        before = next((one for one in self._work.run.shares if one.task == self._task), RunShare(self._task))
        return RunShare(
            task=self._task,
            done=before.done,
            read=len(self._met),
            embedded=before.embedded,
            calls=before.calls,
            tokens=before.tokens,
            refused=tuple(self._refused),
        )
