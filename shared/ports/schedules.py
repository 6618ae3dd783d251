"""What starts by the clock: the schedules of ingestion, backups and drills."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.resilience.deadline import Deadline

ScheduleState = Literal["enabled", "paused", "disabled"]
"""``disabled``: the service itself switched it off, after a failed update or for want of its target."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule: its short name, such as ``lectern-ingest``, its cron line, and whether it runs."""

    name: str
    cron: str
    state: ScheduleState


class Schedules(Protocol):
    """The schedules of this deployment. Cloud Scheduler; none on one machine.

    Errors: ``Missing``, ``AccessDenied``, ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``,
    ``Garbled``, ``Rejected``.
    """

    def list(self, deadline: Deadline) -> builtins.list[Schedule]:
        """Every schedule of Lectern's, by name; those of others are left out."""
        ...

    def pause(self, name: str, deadline: Deadline) -> None:
        """Start nothing by this schedule from now on; nothing happens when it is paused already."""
        ...

    def resume(self, name: str, deadline: Deadline) -> None:
        """Let it run again; nothing happens when it runs."""
        ...
