"""One ingestion by many tasks: as a job, whose progress is read from the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from shared.errors import TasksFailed
from shared.ingestion.launch import Progress
from shared.ingestion.parts import Hooks
from shared.ingestion.report import Report
from shared.ports import Run
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.ingestion import Wanted, ingestion, launcher
from shared.wiring.parts import Parts

CALL_SECONDS = 60.0
LOOK_SECONDS = 0.5


def run_tasks(
    settings: Settings, wanted: Wanted, hooks: Hooks, *, sleep: Callable[[float], object] = time.sleep
) -> Report:
    """Ingest with ``wanted.tasks`` tasks, and wait for them. Where somebody works on a run of the site, they
    wait for its end; where one waits already, for that one.

    Raises :class:`~shared.errors.TasksFailed` with what the run says; :class:`~shared.errors.RunUnderWay`;
    errors of ledger and jobs.
    """
    with Parts(settings) as parts:
        own = launcher(parts)
        asked = wanted.run(ingestion(parts).fingerprint)
        if ahead := own.under_way(asked, _soon()):
            hooks.waiting(f"run {ahead.id} of this site is under way")
        run, _ = own.launch(asked, _soon())
        while (found := own.progress(parts.runs.get(run.id, _soon()), _soon())).works:
            _tell(found.run, hooks)
            sleep(LOOK_SECONDS)
        return _outcome(replace(found, run=parts.runs.get(run.id, _soon())), hooks)


def _soon() -> Deadline:
    return Deadline.after(CALL_SECONDS)


def _tell(run: Run, hooks: Hooks) -> None:
    """How far all tasks are together; how many pages a site has is not known before they were read."""
    if run.plan is None:
        read = sum(share.read for share in run.shares)
        hooks.reading(read, max(read, 1))
    else:
        hooks.writing(run.written, max(run.to_write, 1))


def _outcome(found: Progress, hooks: Hooks) -> Report:
    run, execution = found.run, found.execution
    for share in run.shares:
        for line in share.refused:
            hooks.refused(line)
    if run.status == "succeeded" and run.report is not None:
        return msgspec.convert(run.report, Report)
    which = f"{execution.failed_tasks} of {execution.tasks} tasks" if execution else "the tasks"
    raise TasksFailed(
        f"{which} of run {run.id} failed: {found.error or f'the run is {found.status}'}",
        hint=f"Go on with it: lectern ingest --run {run.id}",
    )
