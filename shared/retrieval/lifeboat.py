"""Questions answered from the lifeboat: the rung for when neither Qdrant nor Postgres answers."""

from __future__ import annotations

import threading

from shared.errors import Corrupt, DeadlineExceeded, DependencyError, Missing, TimedOut
from shared.ports import Condition
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.candidates import query_words, rank_candidates
from shared.retrieval.layout import Facts
from shared.retrieval.lifeboat_file import SERVICE, LifeboatFile
from shared.retrieval.lifeboat_store import LifeboatStore, Pointer
from shared.retrieval.results import Retrieval

CHECK_SECONDS = 30.0
PROPOSED = 120
LOOK_SECONDS = 1.0
"""Longest time to look for a newer lifeboat while there is one aboard."""


class Lifeboat:
    """Fetched at the first question that needs it, once an instance, and kept until the pointer changes,
    which is looked at every ``check_seconds``; kept also while the bucket does not answer, and let go of when
    it was withdrawn. Safe to share among threads.
    """

    def __init__(self, store: LifeboatStore, clock: Clock, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._check_seconds = check_seconds
        self._loading = threading.Lock()
        self._aboard: tuple[Pointer, LifeboatFile] | None = None
        self._check_at = 0.0
        self._spoilt: tuple[Pointer, Corrupt, float] | None = None

    def retrieve(
        self, question: str, deadline: Deadline, *, conditions: tuple[Condition, ...] = (), limit: int = 8
    ) -> Retrieval:
        """The best ``limit`` passages.

        Raises ``Missing`` when no lifeboat was written, or it was withdrawn, ``Corrupt`` when it is damaged,
        and what the bucket raises when there is none aboard yet.
        """
        boat = self._boat(deadline)
        words = query_words(question, boat.index.statistics)
        chunks = boat.find(words.every, deadline, limit=PROPOSED, conditions=conditions)
        return rank_candidates(question, chunks, boat.index, limit)

    def live_facts(self, deadline: Deadline) -> Facts:
        """The facts of the generation in the lifeboat."""
        return self._boat(deadline).index.facts

    def _boat(self, deadline: Deadline) -> LifeboatFile:
        aboard = self._aboard
        if aboard and self._clock() < self._check_at:
            return aboard[1]
        if not self._loading.acquire(timeout=0 if aboard else deadline.remaining()):
            if aboard:
                return aboard[1]  # another question is looking already
            raise TimedOut(SERVICE, "fetch", "it did not arrive in the time given")
        try:
            return self._looked_up(deadline)
        finally:
            self._loading.release()

    def _looked_up(self, deadline: Deadline) -> LifeboatFile:
        if self._aboard is None:
            self._aboard = self._fetched(deadline, None)
            self._check_at = self._clock() + self._check_seconds
        elif self._clock() >= self._check_at:
            self._check_at = self._clock() + self._check_seconds
            try:
                self._aboard = self._fetched(deadline.within(LOOK_SECONDS), self._aboard)
            except (DependencyError, DeadlineExceeded):
                if self._aboard is None:  # let go of
                    raise
        return self._aboard[1]

    def _fetched(
        self, deadline: Deadline, aboard: tuple[Pointer, LifeboatFile] | None
    ) -> tuple[Pointer, LifeboatFile]:
        try:
            pointer = self._store.pointer(deadline)
        except Missing:
            self._aboard = None
            raise
        if aboard and aboard[0] == pointer:
            return aboard
        if self._spoilt and self._spoilt[0] == pointer and self._clock() < self._spoilt[2]:
            raise self._spoilt[1]
        try:
            return pointer, LifeboatFile(self._store.fetch(pointer, deadline))
        except Corrupt as error:
            # Remembered, so that not every question fetches the same damaged file.
            self._spoilt = (pointer, error, self._clock() + self._check_seconds)
            raise
