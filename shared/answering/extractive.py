"""An answer without a language model: the passages themselves, quoted with their links."""

from __future__ import annotations

from collections.abc import Sequence

from shared.answering.answers import Citation, NearPage
from shared.retrieval.chunks import Chunk

MOST_PASSAGES = 5
MOST_OF_ONE_PAGE = 1
"""Measured: one passage a page shows a page that answers more often than two (.77 against .67)."""
MOST_NEAR_PAGES = 3


def choose(ranked: Sequence[Chunk]) -> tuple[Citation, ...]:
    """Citations of the best passages, at most one of a page; a heading without text is no passage."""
    chosen: list[Chunk] = []
    for chunk in ranked:
        of_page = sum(one.page_url == chunk.page_url for one in chosen)
        if chunk.text.strip() and of_page < MOST_OF_ONE_PAGE and len(chosen) < MOST_PASSAGES:
            chosen.append(chunk)
    return tuple(cite(number, chunk) for number, chunk in enumerate(chosen, 1))


def cite(number: int, chunk: Chunk) -> Citation:
    """The citation of one passage."""
    return Citation(number, chunk.title, chunk.headings, chunk.link, chunk.text)


def lead_in(citations: Sequence[Citation]) -> str:
    """The sentence above the quoted passages."""
    pages = len({citation.title for citation in citations})
    places = "one place" if len(citations) == 1 else f"{len(citations)} places"
    return f"The documentation answers this in {places}" + (f" on {pages} pages:" if pages > 1 else ":")


def not_found(nearest: Sequence[NearPage]) -> str:
    """What is said when the documentation does not answer."""
    if not nearest:
        return "The documentation does not say."
    return (
        "The documentation does not say. The nearest pages are: " + ", ".join(p.title for p in nearest) + "."
    )


def near_pages(ranked: Sequence[Chunk]) -> tuple[NearPage, ...]:
    """The first pages of the ranking, each once."""
    pages = dict.fromkeys(NearPage(chunk.title, chunk.page_url) for chunk in ranked)
    return tuple(pages)[:MOST_NEAR_PAGES]
