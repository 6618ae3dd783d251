"""One ingestion by many tasks: as a job, whose progress is read from the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from shared.errors import TasksFailed
from shared.ingestion.parts import Hooks
from shared.ingestion.report import Report
from shared.ports import Run
from shared.ports.jobs import Execution
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.ingestion import Wanted, begin
from shared.wiring.jobs import jobs
from shared.wiring.parts import Parts

CALL_SECONDS = 60.0
LOOK_SECONDS = 0.5


def run_tasks(
    settings: Settings, wanted: Wanted, hooks: Hooks, *, sleep: Callable[[float], object] = time.sleep
) -> Report:
    """Ingest with ``wanted.tasks`` tasks, and wait for them.

    Raises :class:`~shared.errors.TasksFailed` with what the run says; errors of ledger and jobs.
    """
    with Parts(settings) as parts:
        run = begin(parts, wanted)
        own, close = jobs(settings)
        try:
            args = ["ingest", "--run", run.id, *(["--allow-removal"] if wanted.allow_removal else [])]
            name = own.start("ingest", args, Deadline.after(CALL_SECONDS), tasks=run.tasks)
            while (execution := own.execution(name, Deadline.after(CALL_SECONDS))).state == "running":
                _tell(parts.runs.get(run.id, Deadline.after(CALL_SECONDS)), hooks)
                sleep(LOOK_SECONDS)
        finally:
            close()
        return _outcome(parts.runs.get(run.id, Deadline.after(CALL_SECONDS)), execution, hooks)


def _tell(run: Run, hooks: Hooks) -> None:
    """How far all tasks are together; how many pages a site has is not known before they were read."""
    if run.plan is None:
        read = sum(share.read for share in run.shares)
        hooks.reading(read, max(read, 1))
    else:
        hooks.writing(run.written, max(run.to_write, 1))


def _outcome(run: Run, execution: Execution, hooks: Hooks) -> Report:
    for share in run.shares:
        for line in share.refused:
            hooks.refused(line)
    if run.status == "succeeded" and run.report is not None:
        return msgspec.convert(run.report, Report)
    told = run.error or execution.message or f"the run is {run.status}"
    raise TasksFailed(
        f"{execution.failed_tasks} of {execution.tasks} tasks of run {run.id} failed: {told}",
        hint=f"Go on with it: lectern ingest --run {run.id}",
    )
