"""Builds a whole collection from pages, in one go and without a ledger: for evaluation and drills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from shared.ingestion.chunking import chunk_page
from shared.ingestion.index_points import (
    count_statistics,
    dense_text,
    fingerprint,
    headings_text,
    page_points,
)
from shared.ports import Embedder, Point, VectorAdmin
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Chunk, Page
from shared.retrieval.layout import Facts, collection_spec, statistics_point
from shared.retrieval.statistics import Statistics

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


def build_collection(
    admin: VectorAdmin,
    embedder: Embedder | None,
    pages: Iterable[Page],
    collection: str,
    deadline: Deadline,
    *,
    progress: Progress | None = None,
) -> int:
    """Create ``collection`` with the points of ``pages``; the number of passages.

    The statistics point is written last: a collection without it was not finished.
    """
    chunked = [(page, chunk_page(page)) for page in pages]
    statistics = count_statistics(chunked)
    dimensions = embedder.dimensions if embedder else 0
    model = embedder.model if embedder else ""
    admin.create(collection, collection_spec(dimensions), deadline)
    total = len(chunked)

    def points() -> Iterator[Point]:
        for done, (page, chunks) in enumerate(chunked, 1):
            vectors = embed_passages(embedder, chunks, deadline) if embedder else {}
            yield from page_points(headings_text(page), chunks, statistics, vectors)
            if progress:
                progress("indexing", done, total)

    admin.upsert(collection, points(), deadline)
    _finish(admin, collection, statistics, Facts(collection, fingerprint(model), model, dimensions), deadline)
    return sum(len(chunks) for _, chunks in chunked)


def embed_passages(
    embedder: Embedder, chunks: Sequence[Chunk], deadline: Deadline
) -> dict[str, tuple[float, ...]]:
    """Dense vectors by passage id, of those passages that have prose enough."""
    texts = {chunk.id: text for chunk in chunks if (text := dense_text(chunk))}
    made = embedder.embed_documents(list(texts.values()), deadline) if texts else None
    return dict(zip(texts, made.vectors, strict=True)) if made else {}


def _finish(
    admin: VectorAdmin, collection: str, statistics: Statistics, facts: Facts, deadline: Deadline
) -> None:
    admin.upsert(collection, [statistics_point(statistics, facts)], deadline)
