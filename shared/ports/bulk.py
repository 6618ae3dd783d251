"""Vectors in bulk: what recovery reads of a collection and writes into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.ports.json import Json
from shared.ports.vectors import CollectionSpec
from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class PackedSparse:
    """A sparse vector as bytes, little-endian: term ids as uint32, weights as float32, in the same order."""

    indices: bytes
    values: bytes


PackedVector = bytes | PackedSparse
"""A dense vector is its float32 numbers, little-endian: exactly what Qdrant keeps."""


@dataclass(frozen=True, slots=True)
class PackedPoint:
    """A point as it is exported: its UUID as text, its vectors as bytes, its payload."""

    id: str
    vectors: Mapping[str, PackedVector] = field(default_factory=dict)
    payload: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackedPage:
    """One page of a collection in the order of ids, and the id that the next one begins with; None at the
    end.
    """

    points: tuple[PackedPoint, ...]
    next_offset: str | None


@dataclass(frozen=True, slots=True)
class CollectionFacts:
    """How a collection is set up: its vectors and payload indexes; ``config`` and ``indexes`` in the
    service's own words, so that tuning (HNSW, quantization) comes back, too.
    """

    spec: CollectionSpec
    config: Json
    indexes: Mapping[str, Json | str]


class VectorBulk(Protocol):
    """Whole collections over plain REST, much faster than :class:`~shared.ports.vectors.VectorAdmin`, and
    without qdrant-client. Same errors; nothing is tried again.
    """

    def facts(self, collection: str, deadline: Deadline) -> CollectionFacts:
        """How the collection is set up; ``Missing`` when there is none."""
        ...

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        """Every alias and the collection behind it."""
        ...

    def count(self, collection: str, deadline: Deadline) -> int:
        """Exact number of points."""
        ...

    def read(
        self, collection: str, deadline: Deadline, *, offset: str | None = None, limit: int = 256
    ) -> PackedPage:
        """At most ``limit`` points with everything they hold, from the id ``offset`` on."""
        ...

    def create(self, collection: str, facts: CollectionFacts, deadline: Deadline) -> None:
        """Make a collection that is set up like ``facts``; ``PreconditionFailed`` when it exists."""
        ...

    def index(self, collection: str, facts: CollectionFacts, deadline: Deadline) -> None:
        """Make the payload indexes of ``facts``; nothing happens to those that are there."""
        ...

    def write(self, collection: str, points: Sequence[PackedPoint], deadline: Deadline) -> None:
        """Insert or replace the points, in one request that waits until they are applied."""
        ...

    def delete(self, collection: str, ids: Sequence[str], deadline: Deadline) -> None:
        """Delete these points, in one request that waits until it is applied; unknown ids are left out."""
        ...
