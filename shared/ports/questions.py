"""What readers asked, for the writers' report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question and what became of it. ``asked_at`` is Unix seconds; ``coverage`` None where the answer was
    recorded before that was kept; ``rating`` is ``up``, ``down`` or empty, ``comment`` the reader's words
    with it; ``pages`` are title and URL of the pages that were cited or named as nearest.
    """

    question: str
    asked_at: float
    kind: str  # extractive, generated, not_found
    coverage: float | None = None
    rating: str = ""
    comment: str = ""
    pages: tuple[tuple[str, str], ...] = ()


class Questions(Protocol):
    """Questions in Postgres. Same errors as :class:`~shared.ports.Ledger`."""

    def gaps(
        self, since: float, until: float, low_coverage: float, limit: int, deadline: Deadline
    ) -> list[AskedQuestion]:
        """The newest ``limit`` questions of the time from ``since`` up to ``until`` (Unix seconds) that were
        not answered, answered from passages of less than ``low_coverage``, or rated down; newest first.
        """
        ...

    def asked(self, starts: Sequence[float], until: float, deadline: Deadline) -> list[int]:
        """How many questions were asked in each span that begins at one of ``starts`` (ascending Unix
        seconds) and ends where the next one begins, the last one at ``until``.
        """
        ...
