"""A question to ranked pages and the passages to quote: one batch of three searches, one retrieval."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.errors import Missing
from shared.ports import Condition, Embedder, Hit, Point, Search, SparseVector, VectorSearch
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import DENSE, HEADINGS, LIVE_ALIAS, PASSAGES, Facts, chunk_of, read_statistics
from shared.retrieval.profiles import Profile, profile_for
from shared.retrieval.ranking import RankedPage, rank_pages
from shared.retrieval.results import Passage, Retrieval
from shared.retrieval.statistics import FieldStatistics, Statistics
from shared.retrieval.tokens import function_words, term_counts

LIST_LENGTH = 300
PAGES_READ = 8
PASSAGES_OF_PAGE = 3
_KEPT_COLLECTIONS = 4
_T = TypeVar("_T")
Others = Callable[[str], Embedder | None]
"""The embedder of a model by its name."""


@dataclass(frozen=True, slots=True)
class _Index:
    """A collection and what its reserved point says."""

    collection: str
    statistics: Statistics
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call's arguments."""

    question: str
    dense: bool
    conditions: tuple[Condition, ...]
    limit: int
    deadline: Deadline


class Retriever:
    """Answers :meth:`retrieve` from the collection behind ``alias``.

    ``embedder`` is the one in use; ``others`` gives that of another model, None for one that cannot be had:
    while a new generation is built with another model, questions are embedded with the live one's.
    The alias is looked up again after ``alias_seconds`` of ``clock``, and at once when its collection is
    gone. ``profile`` defaults to that of the collection's embedding model. Safe to share among threads.
    """

    def __init__(
        self,
        search: VectorSearch,
        embedder: Embedder | None,
        clock: Clock,
        *,
        alias: str = LIVE_ALIAS,
        alias_seconds: float = 5.0,
        profile: Profile | None = None,
        others: Others = lambda _model: None,
    ) -> None:
        self._search = search
        self._embedder = embedder
        self._others = others
        self._clock = clock
        self._alias = alias
        self._alias_seconds = alias_seconds
        self._profile = profile
        self._resolved: tuple[str, float] | None = None
        self._indexes: dict[str, _Index] = {}

    def retrieve(
        self,
        question: str,
        deadline: Deadline,
        *,
        dense: bool = True,
        conditions: tuple[Condition, ...] = (),
        collection: str | None = None,
        limit: int = 8,
    ) -> Retrieval:
        """The best ``limit`` passages for the question, and all ranked pages.

        ``dense=False`` asks no embedder: the way down when it fails. ``collection`` passes the alias by.
        Raises what the embedder and :class:`~shared.ports.VectorSearch` raise; ``Missing`` when there
        is no index yet.
        """
        ask = _Ask(question, dense, conditions, limit, deadline)
        if collection is not None:
            return self._answer(ask, self._index(collection, deadline))
        return self._on_live(lambda index: self._answer(ask, index), deadline)

    def live_facts(self, deadline: Deadline) -> Facts:
        """The facts of the generation behind the alias. Raises ``Missing`` when there is none."""
        return self._on_live(lambda index: index.facts, deadline)

    def _on_live(self, use: Callable[[_Index], _T], deadline: Deadline) -> _T:
        """``use`` the live index, once more if its collection went away under an old alias."""
        known = self._resolved
        try:
            return use(self._index(self._resolve(deadline), deadline))
        except Missing:
            if known is None:
                raise
            self._resolved = None
            return use(self._index(self._resolve(deadline), deadline))

    def _resolve(self, deadline: Deadline) -> str:
        now = self._clock()
        if self._resolved and now < self._resolved[1]:
            return self._resolved[0]
        collection = self._search.aliases(deadline).get(self._alias)
        if not collection:
            detail = f"no collection stands behind the alias {self._alias}"
            raise Missing("qdrant", "finding the index", detail, hint="Run `lectern ingest` first.")
        self._resolved = (collection, now + self._alias_seconds)
        return collection

    def _index(self, collection: str, deadline: Deadline) -> _Index:
        """The collection's statistics, read once; the few newest collections are kept."""
        known = self._indexes.get(collection)
        if known:
            return known
        points = self._search.retrieve(collection, [STATISTICS_ID], deadline)
        if not points:
            detail = f"collection {collection} has no statistics point"
            raise Missing("qdrant", "reading the statistics", detail, hint="Run `lectern ingest` again.")
        index = _Index(collection, *read_statistics(points[0]))
        kept = list(self._indexes.items())[1 - _KEPT_COLLECTIONS :]
        self._indexes = {**dict(kept), collection: index}
        return index

    def _answer(self, ask: _Ask, index: _Index) -> Retrieval:
        vector, reasons = self._embed(ask, index.facts)
        terms = term_counts(ask.question)
        lists = self._lists(ask, index, terms, vector)
        profile = self._profile or profile_for(index.facts.model if vector else None)
        pages = rank_pages(*lists, dense_weight=profile.dense_weight)
        passages = self._passages(ask, index, terms, pages)
        return Retrieval(
            question=ask.question,
            passages=passages[: ask.limit],
            pages=pages,
            coverage=max((passage.coverage for passage in passages), default=0.0),
            cosine=max((hit.score for hit in lists[2]), default=0.0) if vector else None,
            embedded=vector is not None,
            collection=index.collection,
            facts=index.facts,
            profile=profile,
            reasons=reasons,
            idf=index.statistics.passages.idf,
        )

    def _embed(self, ask: _Ask, facts: Facts) -> tuple[Sequence[float] | None, tuple[str, ...]]:
        """The question's vector, or why there is none."""
        if not ask.dense:
            return None, ("vectors were not asked for",)
        if self._embedder is None:
            return None, ("there is no embedding model",)
        embedder: Embedder | None = self._embedder
        if self._embedder.model != facts.model:
            embedder = self._others(facts.model) if facts.model else None
        if embedder is None:
            made = facts.model or "no vectors"
            return None, (f"the index was made with {made}, the model is {self._embedder.model}",)
        return embedder.embed_query(ask.question, ask.deadline), ()

    def _lists(
        self, ask: _Ask, index: _Index, terms: Iterable[int], vector: Sequence[float] | None
    ) -> tuple[list[Hit], list[Hit], list[Hit]]:
        """Hits of passages, headings and vectors, in one round trip; a list that cannot be asked is empty."""
        terms = tuple(terms)
        vectors: dict[str, Sequence[float] | SparseVector | None] = {
            PASSAGES: index.statistics.passages.query_vector(terms),
            HEADINGS: index.statistics.headings.query_vector(terms),
            DENSE: vector,
        }
        searches = [
            Search(name, one, LIST_LENGTH, ask.conditions) for name, one in vectors.items() if one is not None
        ]
        hits = self._search.search(index.collection, searches, ask.deadline) if searches else []
        found = {search.using: one for search, one in zip(searches, hits, strict=True)}
        return found.get(PASSAGES, []), found.get(HEADINGS, []), found.get(DENSE, [])

    def _passages(
        self, ask: _Ask, index: _Index, terms: Iterable[int], pages: Sequence[RankedPage]
    ) -> tuple[Passage, ...]:
        """The best passages of the best pages, read and ordered by page and own score together."""
        wanted = {
            hit.id: page.score + hit.score
            for page in pages[:PAGES_READ]
            for hit in page.points[:PASSAGES_OF_PAGE]
        }
        points = self._search.retrieve(index.collection, list(wanted), ask.deadline) if wanted else []
        terms = tuple(terms)
        passages = [_passage(point, wanted[point.id], terms, index.statistics) for point in points]
        return tuple(sorted(filter(_quotable, passages), key=lambda one: (-one.score, one.chunk.id)))


def _quotable(passage: Passage) -> bool:
    """A heading right above another helps to find the page, but there is nothing under it to quote."""
    return bool(passage.chunk.text)


def _passage(point: Point, score: float, terms: Sequence[int], statistics: Statistics) -> Passage:
    chunk = chunk_of(point)
    there = term_counts(f"{chunk.breadcrumb}\n{chunk.text}")
    return Passage(chunk, score, coverage(terms, there, statistics.passages))


def coverage(terms: Iterable[int], there: Container[int], statistics: FieldStatistics) -> float:
    """The share of the terms' IDF that ``there`` holds, 0..1, function words left out; 0 without terms."""
    weights = {term: statistics.idf(term) for term in set(terms) - function_words()}
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in there) / total if total else 0.0
