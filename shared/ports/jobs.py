"""Work that takes longer than a request: a command of Lectern's, run aside by one or many tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.resilience.deadline import Deadline

ExecutionState = Literal["running", "succeeded", "failed"]

JOBS = ("ingest", "backup-neon", "backup-qdrant", "drill")
"""What may be started. Terraform makes a Cloud Run job for each: ``lectern-<job>-job``."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One start of a job. Times are Unix seconds; ``message`` is empty unless the service or a task that
    failed said something.
    """

    name: str
    state: ExecutionState
    tasks: int
    failed_tasks: int
    started_at: float | None
    finished_at: float | None
    message: str = ""


class Jobs(Protocol):
    """Starts commands that go on after the request which started them.

    Errors: ``Missing`` (no such job or execution), ``AccessDenied``, ``Throttled``, ``Overloaded``,
    ``PreconditionFailed``, ``Rejected``, ``Unreachable``, ``TimedOut``, ``Garbled``. After ``Unreachable``,
    ``TimedOut`` and ``Garbled`` a start may have happened: what a job does must be safe to be started twice.
    """

    def start(self, job: str, args: Sequence[str], deadline: Deadline, *, tasks: int = 1) -> str:
        """Run ``lectern`` with these arguments, ``tasks`` times side by side; the execution's name.

        Every task is told by ``CLOUD_RUN_TASK_INDEX`` and ``CLOUD_RUN_TASK_COUNT`` which one it is.
        """
        ...

    def execution(self, name: str, deadline: Deadline) -> Execution:
        """How an execution is doing; any process may ask."""
        ...
