"""Joins evaluation: golden questions asked of the production retrieval path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from shared.evaluation.evaluate import evaluate
from shared.evaluation.golden import GoldenSet, read_golden
from shared.ingestion.build import build_collection
from shared.ingestion.markdown import read_markdown
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Page
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring.parts import Parts

BUILD_SECONDS = 3600.0

Count = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Told how many pages are indexed and how many questions are asked, of how many."""

    indexing: Count = lambda _done, _total: None
    asking: Count = lambda _done, _total: None


def run(settings: Settings, folder: Path, progress: Progress = Progress()) -> dict[str, Any]:
    """Scores of a golden folder. With documents of its own it is asked of an index of its own, which
    goes away afterwards; without, of the live one.
    """
    golden = read_golden(folder)
    with Parts(settings) as parts:
        return _run(parts, golden, folder, progress)


def _run(parts: Parts, golden: GoldenSet, folder: Path, progress: Progress) -> dict[str, Any]:
    alias = parts.settings.qdrant_alias
    retriever = Retriever(parts.vector_search, parts.embedder, time.monotonic, alias=alias)

    def asked(_what: str, done: int, total: int) -> None:
        progress.asking(done, total)

    if not golden.pages:
        return evaluate(retriever, golden, time.perf_counter, progress=asked).as_json()
    with own_index(parts, golden, folder, progress) as collection:
        found = evaluate(retriever, golden, time.monotonic, collection=collection, progress=asked)
    return found.as_json()


@contextmanager
def own_index(parts: Parts, golden: GoldenSet, folder: Path, progress: Progress) -> Iterator[str]:
    """A collection of the folder's documents, as long as the context lasts."""

    def indexed(_what: str, done: int, total: int) -> None:
        progress.indexing(done, total)

    admin = parts.vector_admin
    collection = f"lectern-eval-{blake2b(str(folder.resolve()).encode(), digest_size=4).hexdigest()}"
    admin.drop(collection, Deadline.after(60))
    try:
        build_collection(
            admin, parts.embedder, _pages(golden), collection, Deadline.after(BUILD_SECONDS), progress=indexed
        )
        yield collection
    finally:
        admin.drop(collection, Deadline.after(60))


def _pages(golden: GoldenSet) -> list[Page]:
    return [
        replace(read_markdown(page.text, url=page.url, source=page.id), title=page.title)
        for page in golden.pages
    ]
