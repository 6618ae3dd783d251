"""Which execution of a job works on which run: a run is started once, however often it is asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class RunStart:
    """The last start of a run: the execution's name, empty while that is not known, and the start's age in
    seconds by the database's clock.
    """

    execution: str
    age: float


class RunStarts(Protocol):
    """The starts of runs, in Postgres. Same errors as :class:`~shared.ports.Ledger`."""

    def alone(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Be the only one that starts a run; others wait, within their deadlines."""
        ...

    def record(self, run_id: str, execution: str, deadline: Deadline) -> None:
        """Store that the run is being started (``execution`` empty), or by which execution it was."""
        ...

    def find(self, run_id: str, deadline: Deadline) -> RunStart | None:
        """The last start of the run; None when there was none."""
        ...

    def forget(self, run_id: str, deadline: Deadline) -> None:
        """Forget a start that certainly failed."""
        ...
