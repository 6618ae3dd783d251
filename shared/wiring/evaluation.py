"""Golden folders through the production path: production chunking, a temporary collection, real searches."""

from __future__ import annotations

import re
from pathlib import Path

from shared.evaluation.evaluate import Progress, evaluate
from shared.evaluation.golden import GoldenSet, read_golden
from shared.evaluation.scores import Scores
from shared.ingestion.build import build_collection
from shared.ingestion.markdown import read_markdown
from shared.ports import Embedder, VectorAdmin, VectorSearch
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.chunks import Page
from shared.retrieval.retriever import Retriever

_BUILD_SECONDS = 3_600.0
_CLEAN_UP_SECONDS = 30.0


def evaluate_folder(
    folder: Path,
    *,
    admin: VectorAdmin,
    search: VectorSearch,
    embedder: Embedder | None,
    clock: Clock,
    suffix: str = "",
    progress: Progress | None = None,
) -> Scores:
    """Scores of a golden folder that brings its documents.

    They are indexed into a collection of their own, named after the folder and ``suffix`` (tell
    simultaneous runs apart by it), which is dropped at the end. A folder without documents is asked of
    the live index. Raises :class:`~shared.errors.SourceError` for a mistake in the folder, and what
    the ports raise.
    """
    golden = read_golden(folder)
    retriever = Retriever(search, embedder, clock)
    if not golden.pages:
        return evaluate(retriever, golden, clock, dense=embedder is not None, progress=progress)
    collection = re.sub(r"[^a-z0-9]+", "-", f"lectern-eval-{golden.name}{suffix}".lower()).strip("-")
    admin.drop(collection, Deadline.after(_CLEAN_UP_SECONDS, clock))
    try:
        until = Deadline.after(_BUILD_SECONDS, clock)
        build_collection(admin, embedder, golden_pages(golden), collection, until, progress=progress)
        return evaluate(retriever, golden, clock, collection=collection, progress=progress)
    finally:
        admin.drop(collection, Deadline.after(_CLEAN_UP_SECONDS, clock))


def golden_pages(golden: GoldenSet) -> list[Page]:
    """The documents read as ingestion reads a folder; the title is the one given."""
    return [read_markdown(page.text, url=page.url, title=page.title, source=page.id) for page in golden.pages]
