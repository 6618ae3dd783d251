"""Questions answered from the passages in Postgres: the rung for when Qdrant is away."""

from __future__ import annotations

from shared.ports import Condition, FullText, Point
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.candidates import CANDIDATES, FrozenIndex, query_words, rank_candidates
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import Facts, chunk_of, read_statistics
from shared.retrieval.results import Retrieval


class FullTextSearch:
    """Like :class:`~shared.retrieval.retriever.Retriever`, without vectors and without Qdrant.

    The live generation is looked up again after ``live_seconds``. Safe to share among threads.
    """

    def __init__(self, passages: FullText, clock: Clock, *, live_seconds: float = 5.0) -> None:
        self._passages = passages
        self._clock = clock
        self._live_seconds = live_seconds
        self._live: tuple[str, float] | None = None
        self._index: tuple[str, FrozenIndex] | None = None

    def retrieve(
        self, question: str, deadline: Deadline, *, conditions: tuple[Condition, ...] = (), limit: int = 8
    ) -> Retrieval:
        """The best ``limit`` passages. Raises what :class:`~shared.ports.FullText` raises."""
        generation = self._generation(deadline)
        index = self._facts(generation, deadline)
        words = query_words(question, index.statistics)
        points: list[Point] = []
        if words.every:
            points = self._passages.find(
                generation, words.weights, words.rare, deadline, limit=CANDIDATES, conditions=conditions
            )
        return rank_candidates(question, [chunk_of(point) for point in points], index, limit)

    def live_facts(self, deadline: Deadline) -> Facts:
        """The facts of the live generation. Raises ``Missing`` when there is none."""
        return self._facts(self._generation(deadline), deadline).facts

    def _generation(self, deadline: Deadline) -> str:
        now = self._clock()
        if self._live and now < self._live[1]:
            return self._live[0]
        generation = self._passages.live(deadline)
        self._live = (generation, now + self._live_seconds)
        return generation

    def _facts(self, generation: str, deadline: Deadline) -> FrozenIndex:
        known = self._index
        if known and known[0] == generation:
            return known[1]
        payload = self._passages.facts(generation, deadline)
        index = FrozenIndex(*read_statistics(Point(STATISTICS_ID, {}, payload)))
        self._index = (generation, index)
        return index
