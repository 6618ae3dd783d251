"""Vectors: what questions, ingestion and recovery need of Qdrant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.ports.json import Json
from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids (unique, 0..2**32-1) and their weights (finite, not zero), in the same order."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a collection: a UUID as text, named vectors (dense or sparse), a payload."""

    id: str
    vectors: Mapping[str, Sequence[float] | SparseVector] = field(default_factory=dict)
    payload: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A point's id and its score for one search; higher is better."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Condition:
    """``key`` of the payload equals one of ``any_of``. Conditions of one search are joined by AND."""

    key: str
    any_of: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """One ranked list: the ``limit`` points whose vector ``using`` is nearest to ``vector``."""

    using: str
    vector: Sequence[float] | SparseVector
    limit: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Named vectors of a collection: dense ones with their size (cosine), and sparse ones.

    ``indexed`` are payload keys (keywords) that get a payload index.
    """

    dense: Mapping[str, int]
    sparse: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PointPage:
    """One page of a scroll and the offset (a point id) of the next one; None at the end."""

    points: tuple[Point, ...]
    next_offset: str | None


class VectorSearch(Protocol):
    """What a question needs of Qdrant. Implemented over plain REST, because importing
    qdrant-client costs more than a second of a cold start.

    Errors: :class:`~shared.errors.Missing` (no such collection), ``Rejected`` (a vector that is
    not finite, found before it is sent, or of the wrong size, found by the service), ``Throttled``,
    ``Overloaded``, ``Unreachable`` (also an answer cut in the middle), ``TimedOut``, ``Garbled``,
    ``AccessDenied``.
    """

    def search(self, collection: str, searches: Sequence[Search], deadline: Deadline) -> list[list[Hit]]:
        """All ``searches`` in one round trip: a list of hits for each, best first, ids and scores only."""
        ...

    def retrieve(self, collection: str, ids: Sequence[str], deadline: Deadline) -> list[Point]:
        """The points with their payloads (no vectors), in the order asked; unknown ids are left out."""
        ...

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        """Every alias and the collection behind it."""
        ...

    def ping(self, deadline: Deadline) -> None:
        """Return when the service answers an authenticated request."""
        ...


class VectorAdmin(Protocol):
    """What ingestion and recovery need of Qdrant; may import qdrant-client.

    Same errors as :class:`VectorSearch`. Every write waits until it is applied. Vectors are
    checked (finite, right size, sparse indices unique) before the batch that holds them is sent.
    """

    def create(self, collection: str, spec: CollectionSpec, deadline: Deadline) -> None:
        """Make the collection; nothing happens when it exists with the same vectors."""
        ...

    def drop(self, collection: str, deadline: Deadline) -> None:
        """Delete the collection; nothing happens when it does not exist."""
        ...

    def collections(self, deadline: Deadline) -> list[str]:
        """Names of all collections, sorted."""
        ...

    def upsert(self, collection: str, points: Iterable[Point], deadline: Deadline) -> int:
        """Write the points in bounded batches; the number written."""
        ...

    def delete(
        self,
        collection: str,
        deadline: Deadline,
        *,
        conditions: Sequence[Condition],
        keep_ids: Sequence[str] = (),
    ) -> None:
        """Delete the points that meet all ``conditions`` (at least one), but for ``keep_ids``."""
        ...

    def scroll(
        self,
        collection: str,
        deadline: Deadline,
        *,
        offset: str | None = None,
        limit: int = 256,
        with_vectors: bool = False,
    ) -> PointPage:
        """One page of points in the order of their ids."""
        ...

    def count(self, collection: str, deadline: Deadline) -> int:
        """Exact number of points."""
        ...

    def switch_alias(self, alias: str, collection: str, deadline: Deadline) -> None:
        """Point ``alias`` at ``collection`` in one request, then read it back.

        Raises :class:`~shared.errors.PreconditionFailed` when the alias reads otherwise.
        """
        ...


class StoredVectors(Protocol):
    """Vectors that a collection holds. Same errors as :class:`VectorAdmin`."""

    def dense(
        self, collection: str, using: str, ids: Sequence[str], deadline: Deadline
    ) -> dict[str, tuple[float, ...]]:
        """The dense vector ``using`` of these points, as the engine keeps it, by id; points that do not exist
        or have none are left out.
        """
        ...
