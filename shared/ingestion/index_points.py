"""Passages to points: the lexical texts, the frozen statistics, the vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b

from shared.ingestion.chunking import DEFAULT_SIZE, ChunkSize
from shared.ports import Point, SparseVector
from shared.retrieval.candidates import BREADCRUMB_COUNT, lexical_text
from shared.retrieval.chunks import Chunk, Page
from shared.retrieval.layout import DENSE, HEADINGS, PASSAGES, payload_of
from shared.retrieval.statistics import K1, B, FieldCounter, Statistics

LEAST_PROSE = 20
"""A passage with less prose than so many characters gets no dense vector."""
_RULES = 3  # raise it when reading, chunking or tokens change: it stands in every fingerprint


def fingerprint(model: str, size: ChunkSize = DEFAULT_SIZE) -> str:
    """Stands for everything that decides about vectors and statistics but the pages themselves.

    Equal fingerprints mean that pages may change inside a generation; another one needs a new generation.
    """
    rules = (_RULES, size, BREADCRUMB_COUNT, LEAST_PROSE, K1, B, model)
    return blake2b(repr(rules).encode(), digest_size=8).hexdigest()


def headings_text(page: Page) -> str:
    """What BM25 counts for the page's headings."""
    own = (section.headings[-1] for section in page.sections if section.headings)
    return "\n".join((page.title, *own))


def dense_text(chunk: Chunk) -> str:
    """What is embedded: breadcrumb and prose; empty when there is too little prose to mean something."""
    return f"{chunk.breadcrumb}\n{chunk.prose}" if len(chunk.prose) >= LEAST_PROSE else ""


def text_hash(text: str) -> str:
    """Stands for a text that is embedded: with the same model it has the same vector, on whatever page."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def count_statistics(pages: Iterable[tuple[Page, Sequence[Chunk]]]) -> Statistics:
    """The statistics to freeze with a generation, of pages and their passages."""
    passages, headings = FieldCounter(), FieldCounter()
    for page, chunks in pages:
        headings.add(headings_text(page))
        for chunk in chunks:
            passages.add(lexical_text(chunk))
    return Statistics(passages.statistics(), headings.statistics())


def page_points(
    headings: str,
    chunks: Sequence[Chunk],
    statistics: Statistics,
    vectors: Mapping[str, Sequence[float]],
) -> Iterator[Point]:
    """The points of a page. ``headings`` is its :func:`headings_text`; ``vectors`` holds dense vectors by
    passage id; those it lacks stay lexical.
    """
    for chunk in chunks:
        found: dict[str, Sequence[float] | SparseVector | None] = {
            PASSAGES: statistics.passages.document_vector(lexical_text(chunk)),
            HEADINGS: statistics.headings.document_vector(headings) if chunk is chunks[0] else None,
            DENSE: vectors.get(chunk.id),
        }
        present = {name: vector for name, vector in found.items() if vector is not None}
        yield Point(chunk.id, present, payload_of(chunk))


def content_hash(chunks: Sequence[Chunk], page: Page) -> str:
    """Changes when, and only when, the page's points would."""
    digest = blake2b(digest_size=16)
    for part in (headings_text(page), *(repr(payload_of(chunk)) + chunk.prose for chunk in chunks)):
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\x00")
    return digest.hexdigest()
