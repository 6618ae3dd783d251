"""Who may work on the index: one ingestion alone, or any number of backups together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from shared.resilience.deadline import Deadline

Kind = Literal["ingestion", "backup"]

Waiting = Callable[[str], object]
"""Told who is waited for, in words for a person, each time that this changes."""


class Holding(Protocol):
    """A lease while it is held."""

    def check(self, deadline: Deadline) -> None:
        """Raise PreconditionFailed when it was lost: the holder was cut off for longer than a lease lasts,
        and another has taken its place. Ask before what was made under the lease is called whole.
        """
        ...


class Leases(Protocol):
    """Keeps ingestion and backups apart.

    Backups hold together; an ingestion holds alone, but for holders of the same name, which are the tasks of
    one run. A holding is kept by a heartbeat and ends with its context; that of a killed process ends by
    itself, by the database's clock alone.

    Errors: ``PreconditionFailed`` (others hold it, and naming them), ``Unreachable``, ``TimedOut``,
    ``Overloaded``, ``AccessDenied``.
    """

    def hold(
        self,
        kind: Kind,
        holder: str,
        deadline: Deadline,
        *,
        wait_seconds: float = 0.0,
        waiting: Waiting = lambda _who: None,
    ) -> AbstractContextManager[Holding]:
        """Hold a lease as ``holder``: a name that is shown to whoever waits, and unique to the run.

        ``wait_seconds`` of the deadline may be spent waiting for others to end; each of them is told to
        ``waiting``. The deadline is for taking the lease, not for holding it.
        """
        ...

    def is_held(self, kind: Kind, deadline: Deadline) -> bool:
        """Whether anybody holds a lease of this kind now."""
        ...
