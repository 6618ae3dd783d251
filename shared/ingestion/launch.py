"""Starts runs as jobs, each once: whoever asks while one waits to begin is told of that one.

One that has begun to read may have read what the site said before: a call that comes later is answered by
another run, which follows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile

from shared.errors import DependencyError, Garbled, Interrupted, Missing, RunUnderWay, TimedOut, Unreachable
from shared.ingestion.run import OVERTAKEN
from shared.ports import Execution, Jobs, Leases, Run, Runs
from shared.ports.run_starts import RunStarts
from shared.resilience.deadline import Deadline

JOB = "ingest"
START_SECONDS = 60.0
"""How long a start whose outcome is unknown counts as one that succeeded."""
PAGES_A_TASK = 2000
MOST_TASKS = 16

_LOOKED_AT = 20
_OPEN = frozenset({"planned", "running"})
_MAY_HAVE_STARTED = (Unreachable, TimedOut, Garbled, Interrupted)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a run is doing. ``works`` says whether anybody works on it now; ``execution`` is that of its job,
    None where it was not started as one, or cannot be asked about.
    """

    run: Run
    works: bool
    execution: Execution | None = None

    @property
    def status(self) -> str:
        """The run's status, but for one that says it is under way while nobody works on it: ``failed`` when
        its job has failed, else ``interrupted``.
        """
        if self.works or self.run.status not in _OPEN:
            return self.run.status
        if self.execution:
            return "failed" if self.execution.state == "failed" else "interrupted"
        return "interrupted" if self.run.status == "running" else "planned"

    @property
    def error(self) -> str:
        """What went wrong: the run's own words, else those of its job."""
        told = self.execution.message if self.execution and self.status == "failed" else ""
        return self.run.error or told


class Launcher:
    """Starts runs. ``begin`` records a run, or the unfinished one of the same site that is gone on with;
    ``new_id`` makes the id of another.

    Errors: those of the ports.
    """

    def __init__(
        self,
        runs: Runs,
        starts: RunStarts,
        jobs: Jobs,
        leases: Leases,
        begin: Callable[[Run], Run],
        *,
        new_id: Callable[[], str],
    ) -> None:
        self._runs = runs
        self._starts = starts
        self._jobs = jobs
        self._leases = leases
        self._begin = begin
        self._new_id = new_id

    def launch(self, wanted: Run, deadline: Deadline) -> tuple[Run, bool]:
        """The run that does what is wanted, and whether it was started now. While another works, its tasks
        wait for the lease.
        """
        with self._starts.alone(deadline):
            found = self.answered(wanted, deadline)
            if found is not None:
                return found, False
            own, ahead = self._recorded(wanted.id, deadline), self.under_way(wanted, deadline)
            if own and (ahead or own.error == OVERTAKEN):
                # What is recorded of that one is not to be taken for what is done of this one.
                wanted = replace(wanted, id=self._new_id())
            if ahead:
                self._runs.begin(wanted, deadline)
                run = wanted
            else:
                run = self._begin(wanted)
            self._start(run, deadline, allow_removal=wanted.allow_removal)
        return self._runs.get(run.id, deadline), True

    def answered(self, wanted: Run, deadline: Deadline) -> Run | None:
        """The run that does what is wanted already: one of the same id that has succeeded or is under way, or
        one of the same site that will begin to read, from the same place, and may do as much.

        Raises :class:`~shared.errors.RunUnderWay` for a permission while another run is under way: nobody was
        shown yet what a run that follows it would remove.
        """
        own = self._recorded(wanted.id, deadline)
        if own and (own.status == "succeeded" or self.progress(own, deadline).works):
            return own
        newest = self.under_way(wanted, deadline)
        may = newest and (newest.allow_removal or not wanted.allow_removal)
        if newest and may and newest.status == "planned" and newest.place == wanted.place:
            return newest
        if newest and wanted.allow_removal:
            raise RunUnderWay(
                f"A removal cannot be allowed now: run {newest.id} of this site is under way.",
                hint=f"When it has ended, allow it: lectern ingest --run {newest.id} --allow-removal, "
                "or send the request again.",
            )
        return None

    def under_way(self, wanted: Run, deadline: Deadline) -> Run | None:
        """The newest run of the same site that somebody works on, or is about to: also one of which a task
        has failed while others go on.
        """
        recent = self._runs.recent(deadline, limit=_LOOKED_AT)
        own = (one for one in recent if one.source == wanted.source)
        unfinished = takewhile(lambda one: one.status != "succeeded", own)
        return next((one for one in unfinished if self.progress(one, deadline).works), None)

    def told(self, run: Run, deadline: Deadline) -> Progress:
        """How a run is doing, for whoever only asks: by the ledger alone while jobs cannot be asked."""
        try:
            return self.progress(run, deadline)
        except DependencyError:
            return Progress(run, works=run.status in _OPEN)

    def progress(self, run: Run, deadline: Deadline) -> Progress:
        """How a run is doing, by the ledger, its job and the lease."""
        if run.status == "succeeded":
            return Progress(run, works=False)
        start = self._starts.find(run.id, deadline)
        execution = self._execution(start.execution, deadline) if start and start.execution else None
        if execution is not None and execution.state == "running":
            return Progress(run, works=True, execution=execution)
        if run.status not in _OPEN:
            return Progress(run, works=False, execution=execution)
        if execution is None and start and start.age < START_SECONDS:
            return Progress(run, works=True)
        # One that the command line, or a request, does itself: maybe after a job that ended without its end.
        works = run.status == "running" and self._leases.is_held("ingestion", deadline)
        return Progress(run, works, execution)

    def _start(self, run: Run, deadline: Deadline, *, allow_removal: bool) -> None:
        args = ["ingest", "--run", run.id, *(["--allow-removal"] if allow_removal else [])]
        # Before, so that a start whose answer is lost is not made again at once.
        self._starts.record(run.id, "", deadline)
        try:
            execution = self._jobs.start(JOB, args, deadline, tasks=run.tasks)
        except _MAY_HAVE_STARTED:
            raise
        except DependencyError:
            self._starts.forget(run.id, deadline)
            raise
        self._starts.record(run.id, execution, deadline)

    def _recorded(self, run_id: str, deadline: Deadline) -> Run | None:
        try:
            return self._runs.get(run_id, deadline)
        except Missing:
            return None

    def _execution(self, name: str, deadline: Deadline) -> Execution | None:
        try:
            return self._jobs.execution(name, deadline)
        except Missing:
            return None


def task_count(pages: int) -> int:
    """Tasks for a site of so many pages, 0 where that is not known."""
    return min(max(math.ceil(pages / PAGES_A_TASK), 1), MOST_TASKS)
