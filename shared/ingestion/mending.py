"""Makes points again from what Postgres keeps of their passages, without the site.

A passage is stored with its listings; what was embedded is its prose. The prose is found by taking the
listings out, and it is the right one when its hash is the one that the ledger has: then embedding it gives
the vector that was lost. A page of which anything cannot be made again exactly is left to ingestion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from shared.errors import Garbled
from shared.ingestion.index_points import dense_text, page_points, text_hash
from shared.ingestion.inspection import is_whole
from shared.ports import ChunkRecord, Point
from shared.retrieval.chunks import Chunk
from shared.retrieval.layout import chunk_of
from shared.retrieval.statistics import Statistics

_LISTING = re.compile(r"(?:\A|(?<=\n\n))(`{3,})[^`\n]*\n(?:.*?\n)?\1(?:\n\n|\Z)", re.DOTALL)
_RULE = re.compile(r"^---(?: \| ---)+\n", re.MULTILINE)

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts to vectors, in order."""


def page_again(
    passages: Sequence[Point], records: Sequence[ChunkRecord], statistics: Statistics, embed: Embed | None
) -> list[Point] | None:
    """All points of one page, from its passages in Postgres; None when they cannot be made exactly."""
    chunks = _chunks(passages)
    wanted = {record.id: record.text_hash for record in records}
    if chunks is None or {chunk.id for chunk in chunks} != wanted.keys():
        return None
    whole = [with_prose(chunk, wanted[chunk.id]) for chunk in chunks]
    if any(chunk is None for chunk in whole):
        return None
    ready = [chunk for chunk in whole if chunk is not None]
    texts = {chunk.id: dense_text(chunk) for chunk in ready if wanted[chunk.id]}
    if texts and embed is None:
        return None
    vectors: Mapping[str, Sequence[float]] = {}
    if texts and embed is not None:
        vectors = dict(zip(texts, embed(list(texts.values())), strict=True))
    return list(page_points(headings_of(ready), ready, statistics, vectors))


def _chunks(passages: Sequence[Point]) -> list[Chunk] | None:
    """The passages in the order of the page; None when one of them was changed."""
    try:
        chunks = [chunk_of(passage) for passage in passages]
    except Garbled:
        return None
    return sorted(chunks, key=lambda chunk: chunk.position) if all(map(is_whole, chunks)) else None


def with_prose(chunk: Chunk, hashed: str) -> Chunk | None:
    """The passage with the prose of which ``hashed`` was made; without one when that is empty. None when it
    cannot be told from the text.
    """
    if not hashed:
        return chunk
    for prose in _proses(chunk.text):
        candidate = replace(chunk, prose=prose)
        text = dense_text(candidate)
        if text and text_hash(text) == hashed:
            return candidate
    return None


def _proses(text: str) -> Iterator[str]:
    """What of a text may be its prose: without listings, tables without or with the line under their head."""
    without = _LISTING.sub("", text).removesuffix("\n\n")
    yield _RULE.sub("", without)
    yield without
    yield text


def headings_of(chunks: Sequence[Chunk]) -> str:
    """What BM25 counts for the page's headings: as :func:`~shared.ingestion.index_points.headings_text`."""
    sections = dict.fromkeys((chunk.headings, chunk.anchor) for chunk in chunks)
    own = [headings[-1] for headings, _ in sections if headings]
    return "\n".join((chunks[0].title, *own)) if chunks else ""
