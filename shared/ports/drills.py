"""Reports of drills, in Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.ports.json import Json
from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class StoredDrill:
    """One drill: ``started_at`` in UTC, ``report`` as it lies beside its point."""

    point: str
    started_at: datetime
    passed: bool
    rehearsed_restore_seconds: float
    report: Json


class DrillLog(Protocol):
    """Reports of drills. Same errors as :class:`~shared.ports.ledger.Ledger`."""

    def add(self, drill: StoredDrill, deadline: Deadline) -> None:
        """Store a report; the same one again changes nothing."""
        ...

    def newest(self, limit: int, deadline: Deadline) -> list[StoredDrill]:
        """The newest ``limit`` reports, newest first."""
        ...
