"""Pages, sections and chunks: what ingestion reads and retrieval gives back."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

BlockKind = Literal["prose", "label", "code", "table"]

STATISTICS_ID = str(uuid.UUID(int=0))
"""The reserved point that carries a collection's statistics and facts."""


@dataclass(frozen=True, slots=True)
class Block:
    """The smallest piece of a page that is never cut without need: a paragraph, a list item with what
    it holds, a table, a code listing. ``text`` is what the reader sees; ``language`` is that of a listing.

    A label says what the next block is: the kind and title of an admonition, the name of a tab, the summary
    of details, the file that a listing stands in.
    """

    kind: BlockKind
    text: str
    language: str = ""

    @property
    def verbatim(self) -> str:
        """The text as it is quoted: a listing stands in a fence and a table has its rule under the first
        row, so that they can be told from prose.
        """
        if self.kind == "table":
            return _with_rule(self.text)
        if self.kind in ("prose", "label"):
            return self.text
        fence = "```"
        while fence in self.text:
            fence += "`"
        return f"{fence}{self.language}\n{self.text}\n{fence}"


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, up to the next heading of any level.

    ``headings`` runs from below the page's title down to the heading itself; empty for the text before
    the first heading. ``anchor`` is the heading's id in the page, empty for that first text.
    """

    headings: tuple[str, ...]
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a site, read. ``source`` is the file it came from, for messages."""

    url: str
    title: str
    sections: tuple[Section, ...]
    version: str = ""
    locale: str = ""
    description: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: one section, or a part of a long one.

    ``text`` is quoted verbatim; ``prose`` is the same without listings, for the dense vector (empty
    where there is no prose). ``position`` counts from 0 in the page.
    """

    id: str
    page_url: str
    title: str
    headings: tuple[str, ...]
    anchor: str
    text: str
    prose: str
    position: int
    version: str = ""
    locale: str = ""

    @property
    def breadcrumb(self) -> str:
        """``title > h2 > h3``."""
        return " > ".join((self.title, *self.headings))

    @property
    def link(self) -> str:
        """The address of the heading that the passage stands under."""
        return f"{self.page_url}#{self.anchor}" if self.anchor else self.page_url


def point_id(page_url: str, kind: str, headings: Iterable[str], content: str) -> str:
    """A UUID that depends on nothing but what it names.

    The first 8 bytes are the page's (see :func:`page_key`), the last 8 those of kind, headings and
    content: the same passage keeps its id through every run, and a changed one gets another.
    """
    own = "\x00".join((kind, *headings, "", content))
    return str(uuid.UUID(bytes=_digest(page_url) + _digest(own)))


def page_key(identifier: str) -> str:
    """The part of a point's id that all points of a page share; no map is needed to group hits."""
    return identifier[:18]


def key_of_page(url: str) -> str:
    """The key that :func:`page_key` gives for every point of the page at ``url``."""
    return page_key(str(uuid.UUID(bytes=_digest(url) + bytes(8))))


def _with_rule(rows: str) -> str:
    first, _, rest = rows.partition("\n")
    columns = first.count(" | ") + 1
    return f"{first}\n{' | '.join(['---'] * columns)}\n{rest}" if rest and columns > 1 else rows


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
