"""A site as ingestion sees it: its pages one at a time, each with a cheap hash of what it was read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.retrieval.chunks import Page

Known = Mapping[str, str]
"""Source hashes of an earlier run by the addresses of their pages."""
Share = Callable[[str], bool]
"""Whether a page belongs to this reader; asked of :attr:`Item.place` before anything is read."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""

EVERYTHING: Share = lambda _place: True  # noqa: E731 - the plainest form of a default


@dataclass(frozen=True, slots=True)
class Item:
    """One page of a site.

    ``place`` is where it was found: a file, an object or an address; it is the same in every run.
    ``hash`` stands for what it was read from: the manifest's hash, an ETag or a digest of the bytes;
    empty where the source has none that can be trusted, so that the page is read again next time.
    ``page`` is None when ``hash`` is the one that was known: nothing was parsed, for some sources not even
    fetched.
    """

    place: str
    url: str
    hash: str
    page: Page | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A page that could not be read, and why; the others go on.

    ``url`` is its address, where that is known: what was indexed of it earlier should stay, because the page
    may well be there.
    """

    source: str
    reason: str
    url: str = ""

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class Source(Protocol):
    """Where the pages of a site come from. Memory stays bounded: no more than a few pages are held.

    Errors: :class:`~shared.errors.SourceError` for a place without pages or a damaged list of them; those of
    the port behind it when nothing can be read at all.
    """

    @property
    def name(self) -> str:
        """What the site is called in the ledger: its address, or the place where its files lie."""
        ...

    def items(
        self, known: Known, *, share: Share = EVERYTHING, progress: Progress = lambda *_step: None
    ) -> Iterator[Item | Refused]:
        """Every page that readers may find, in an order that depends on the site alone.

        Drafts, unlisted pages and lists of pages give nothing. Two pages with one address: the second is
        refused.
        """
        ...


def unique(items: Iterator[Item | Refused]) -> Iterator[Item | Refused]:
    """Of two pages with one address the second is refused."""
    places: dict[str, str] = {}
    for item in items:
        if isinstance(item, Refused) or item.url not in places:
            if isinstance(item, Item):
                places[item.url] = item.place
            yield item
        else:
            yield Refused(item.place, f"{places[item.url]} has the same address, {item.url}")
