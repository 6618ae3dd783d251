"""Passages in Postgres: what is searched while Qdrant is away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.ports.json import Json
from shared.ports.vectors import Condition, Point
from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class PassageText:
    """A passage for full-text search: its point's id and payload, and its words as the index counts them,
    in order.
    """

    id: str
    payload: Json
    words: tuple[str, ...]


class PassageStore(Protocol):
    """The passages of each generation, in Postgres, as ingestion writes them. Same errors as :class:`Ledger`.

    A page's passages go when the ledger removes the page, and a generation's when it forgets that.
    """

    def save_facts(self, generation_id: str, payload: Json, deadline: Deadline) -> None:
        """Store the payload of the generation's reserved point."""
        ...

    def save_pages(
        self, generation_id: str, urls: Sequence[str], passages: Sequence[PassageText], deadline: Deadline
    ) -> None:
        """Make ``passages`` the ones of the pages ``urls``, which the ledger must know; idempotent."""
        ...

    def count(self, generation_id: str, deadline: Deadline) -> int:
        """Number of passages; 0 too when the facts are missing."""
        ...

    def read(
        self,
        generation_id: str,
        deadline: Deadline,
        *,
        urls: Sequence[str] | None = None,
        after: str = "",
        limit: int = 1_000,
    ) -> list[Point]:
        """At most ``limit`` passages (of these pages) with an id above ``after``, in the order of ids."""
        ...


class FullText(Protocol):
    """The same passages, as questions search them. Same errors as :class:`Ledger`; ``Missing`` for none."""

    def live(self, deadline: Deadline) -> str:
        """The id of the live generation."""
        ...

    def facts(self, generation_id: str, deadline: Deadline) -> Json:
        """The payload of its reserved point."""
        ...

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
        """Passages that hold all ``words``, and where they are fewer than ``limit``, those that hold one of
        ``some``; at most ``limit``, those that the words, which come with their weights, rank first.
        """
        ...
