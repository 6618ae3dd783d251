"""Ports behind their guards: every call passes the breaker and the retry budget of its service."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.ports import (
    AnswerCache,
    AnswerLog,
    AnswerRecord,
    CacheEntry,
    Condition,
    Embedder,
    Embeddings,
    Feedback,
    FullText,
    Hit,
    Json,
    Kept,
    Point,
    Search,
    VectorSearch,
)
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.guard import Guard

EMBEDDING_SECONDS = 2.0
EMBEDDING_SHARE = 0.5
"""Most of a rung's time that the embedding may take: the search must still fit in the rest."""


@dataclass(frozen=True, slots=True)
class Guards:
    """One guard for each service that an answer needs; one set for each instance."""

    vectors: Guard
    embedding: Guard
    database: Guard
    bucket: Guard
    generation: Guard

    @classmethod
    def usual(
        cls, clock: Clock, jitter: random.Random, *, embedding: str = "gemini", bucket: str = "gcs"
    ) -> Guards:
        """Guards with the usual numbers, named as the adapters name themselves in their errors. Embedding
        and generation are two: they have quotas of their own and fail apart.
        """
        names = ("qdrant", embedding, "neon", bucket, "gemini")
        return cls(*(Guard.of(name, clock, jitter) for name in names))


class GuardedSearch:
    """A :class:`~shared.ports.VectorSearch` behind ``guard``."""

    def __init__(self, inner: VectorSearch, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def search(self, collection: str, searches: Sequence[Search], deadline: Deadline) -> list[list[Hit]]:
        return self._guard.call(lambda limit: self._inner.search(collection, searches, limit), deadline)

    def retrieve(self, collection: str, ids: Sequence[str], deadline: Deadline) -> list[Point]:
        return self._guard.call(lambda limit: self._inner.retrieve(collection, ids, limit), deadline)

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        return self._guard.call(self._inner.aliases, deadline)

    def ping(self, deadline: Deadline) -> None:
        self._guard.call(self._inner.ping, deadline)


class GuardedEmbedder:
    """An :class:`~shared.ports.Embedder` behind ``guard``, held to its share of the time for questions."""

    def __init__(self, inner: Embedder, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    @property
    def model(self) -> str:
        return self._inner.model

    @property
    def dimensions(self) -> int:
        return self._inner.dimensions

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        own = deadline.within(min(EMBEDDING_SECONDS, EMBEDDING_SHARE * deadline.remaining()))
        return self._guard.call(lambda limit: self._inner.embed_query(text, limit), own)

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        return self._guard.call(lambda limit: self._inner.embed_documents(texts, limit), deadline)


class GuardedFullText:
    """A :class:`~shared.ports.FullText` behind ``guard``."""

    def __init__(self, inner: FullText, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def live(self, deadline: Deadline) -> str:
        return self._guard.call(self._inner.live, deadline)

    def facts(self, generation_id: str, deadline: Deadline) -> Json:
        return self._guard.call(lambda limit: self._inner.facts(generation_id, limit), deadline)

    def find(
        self,
        generation_id: str,
        words: Mapping[str, float],
        some: Sequence[str],
        deadline: Deadline,
        *,
        limit: int,
        conditions: Sequence[Condition] = (),
    ) -> list[Point]:
        def ask(own: Deadline) -> list[Point]:
            return self._inner.find(generation_id, words, some, own, limit=limit, conditions=conditions)

        return self._guard.call(ask, deadline)


class GuardedCache:
    """An :class:`~shared.ports.AnswerCache` behind ``guard``."""

    def __init__(self, inner: AnswerCache, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def get(self, key: str, deadline: Deadline) -> Kept:
        return self._guard.call(lambda limit: self._inner.get(key, limit), deadline)

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:
        return self._guard.call(lambda limit: self._inner.put(key, entry, epoch, seconds, limit), deadline)

    def forget_pages(self, urls: Sequence[str], deadline: Deadline) -> int:
        return self._guard.call(lambda limit: self._inner.forget_pages(urls, limit), deadline)


class GuardedLog:
    """An :class:`~shared.ports.AnswerLog` behind ``guard``."""

    def __init__(self, inner: AnswerLog, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def record(self, answer: AnswerRecord, deadline: Deadline) -> None:
        self._guard.call(lambda limit: self._inner.record(answer, limit), deadline)

    def give_feedback(self, feedback: Feedback, deadline: Deadline) -> None:
        self._guard.call(lambda limit: self._inner.give_feedback(feedback, limit), deadline)

    def detail(self, answer_id: str, deadline: Deadline) -> Json | None:
        return self._guard.call(lambda limit: self._inner.detail(answer_id, limit), deadline)

    def spent_this_month(self, deadline: Deadline) -> float:
        return self._guard.call(self._inner.spent_this_month, deadline)

    def ping(self, deadline: Deadline) -> None:
        self._guard.call(self._inner.ping, deadline)
