"""Where passages come from: four ways, each with less behind it than the one before.

``hybrid`` asks the embedding service and Qdrant, ``sparse`` Qdrant alone, ``fulltext`` Postgres alone,
``lifeboat`` a file that lies in the bucket. All rank by the same frozen statistics of one generation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from shared.answering.guarded import GuardedEmbedder, GuardedFullText, GuardedSearch, Guards
from shared.errors import NoRungHeld
from shared.ports import Condition, Embedder, FullText, ObjectStore, VectorSearch
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.ladder import Held, Ladder, Rung
from shared.retrieval.fulltext import FullTextSearch
from shared.retrieval.layout import LIVE_ALIAS, Facts
from shared.retrieval.lifeboat import Lifeboat
from shared.retrieval.lifeboat_store import LifeboatStore
from shared.retrieval.results import Retrieval
from shared.retrieval.retriever import Others, Retriever

T = TypeVar("T")
HYBRID, SPARSE, FULLTEXT, LIFEBOAT = "hybrid", "sparse", "fulltext", "lifeboat"
MOST_SECONDS = {HYBRID: 4.0, SPARSE: 3.0, FULLTEXT: 4.0}
"""A search takes a tenth of this when all is well; a database that wakes up takes half a second."""
LOOK_SECONDS = dict.fromkeys((HYBRID, SPARSE, FULLTEXT), 1.5)
"""The same for finding the index: what hangs must leave time to fetch the lifeboat."""


class SearchLadder:
    """Finds passages as long as anything that holds them answers.

    ``embedder`` None: the site is searched by words, and ``sparse`` is no degradation. ``passages`` and
    ``objects`` None leave out their rungs. ``others`` gives the embedder of another model, for an index that
    was made with it. Safe to share among threads.
    """

    def __init__(
        self,
        vectors: VectorSearch,
        embedder: Embedder | None,
        passages: FullText | None,
        objects: ObjectStore | None,
        *,
        guards: Guards,
        clock: Clock,
        alias: str = LIVE_ALIAS,
        others: Others = lambda _model: None,
    ) -> None:
        self._guards = guards
        self._embeds = embedder is not None

        def guarded(model: str) -> Embedder | None:
            other = others(model)
            return GuardedEmbedder(other, guards.embedding) if other else None

        self._retriever = Retriever(
            GuardedSearch(vectors, guards.vectors),
            GuardedEmbedder(embedder, guards.embedding) if embedder else None,
            clock,
            alias=alias,
            others=guarded,
        )
        self._fulltext = (
            FullTextSearch(GuardedFullText(passages, guards.database), clock) if passages else None
        )
        self._lifeboat = Lifeboat(LifeboatStore(objects, guards.bucket), clock) if objects else None

    def search(
        self,
        question: str,
        deadline: Deadline,
        *,
        conditions: tuple[Condition, ...] = (),
        limit: int = 8,
    ) -> Held[Retrieval]:
        """What was found, on which rung, and why not on a better one.

        Raises ``Missing`` when nothing was ever ingested, and :class:`~shared.errors.NoRungHeld`.
        """

        def words(limit_of_rung: Deadline) -> Retrieval:
            return self._retriever.retrieve(
                question, limit_of_rung, dense=False, conditions=conditions, limit=limit
            )

        def vectors(limit_of_rung: Deadline) -> Retrieval:
            return self._retriever.retrieve(question, limit_of_rung, conditions=conditions, limit=limit)

        rungs = [self._rung(HYBRID, vectors)] if self._embeds else []
        rungs.append(self._rung(SPARSE, words))
        for name, place in ((FULLTEXT, self._fulltext), (LIFEBOAT, self._lifeboat)):
            if place:
                rungs.append(self._rung(name, _asking(place, question, conditions, limit)))
        return _named(_held(Ladder("The search", rungs), deadline))

    def live_facts(self, deadline: Deadline) -> Held[Facts]:
        """What is answered from, and the rung on which the instance stands now.

        Raises as :meth:`search` does.
        """
        top = HYBRID if self._embeds and self._guards.embedding.breaker.admits() else SPARSE
        rungs = [self._rung(top, self._retriever.live_facts, LOOK_SECONDS)]
        for name, place in ((FULLTEXT, self._fulltext), (LIFEBOAT, self._lifeboat)):
            if place:
                rungs.append(self._rung(name, place.live_facts, LOOK_SECONDS))
        return _held(Ladder("Finding the index", rungs), deadline)

    def _rung(
        self, name: str, climb: Callable[[Deadline], T], most: Mapping[str, float] = MOST_SECONDS
    ) -> Rung[T]:
        guards = self._guards
        needs = {
            HYBRID: (guards.embedding.breaker, guards.vectors.breaker),
            SPARSE: (guards.vectors.breaker,),
            FULLTEXT: (guards.database.breaker,),
            # A lifeboat that is aboard needs no bucket.
            LIFEBOAT: (),
        }
        return Rung(name, climb, needs[name], most.get(name, float("inf")))


def _asking(
    place: FullTextSearch | Lifeboat, question: str, conditions: tuple[Condition, ...], limit: int
) -> Callable[[Deadline], Retrieval]:
    return lambda own: place.retrieve(question, own, conditions=conditions, limit=limit)


def _held(ladder: Ladder[T], deadline: Deadline) -> Held[T]:
    try:
        return ladder.hold(deadline)
    except NoRungHeld as error:
        if error.causes and all(reason.endswith(": missing") for reason in error.reasons):
            raise error.causes[0] from error
        raise


def _named(held: Held[Retrieval]) -> Held[Retrieval]:
    """A hybrid search of an index whose vectors are another model's was one by words."""
    if held.rung == HYBRID and not held.value.embedded:
        return replace(held, rung=SPARSE, reasons=(*held.reasons, *held.value.reasons))
    return held
