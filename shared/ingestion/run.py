"""One ingestion: what the site says now becomes what the index says.

A run reads the site into its stage, compares that with the index (the plan), embeds what is new, and
writes. It may be killed at any moment: the next one finds in the ledger and in the stage what is done, and
goes on from there. Readers see the live generation only; a new one is built beside it, asked its golden
questions, and takes its place in one switch of the alias.

With many tasks each reads and embeds its share, whenever it is its turn; the one that is done last writes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import TypeVar

from shared.errors import Corrupt, LecternError, RemovalNotAllowed
from shared.ingestion.applying import Applier, contents, economy
from shared.ingestion.failover import Failover
from shared.ingestion.generations import Generations
from shared.ingestion.index_points import fingerprint
from shared.ingestion.parts import Hooks, IndexPorts, Rules, Work
from shared.ingestion.plan import Plan
from shared.ingestion.report import Report
from shared.ingestion.site import Source
from shared.ingestion.stage import Removal, Stage
from shared.ingestion.steps import STEP_SECONDS, Steps
from shared.ingestion.study import Student, Study, recorded_study
from shared.ports import Embedder, Generation, Run, RunShare, RunStatus
from shared.resilience.deadline import Clock

T = TypeVar("T")
RUNS_KEPT = 50
OVERTAKEN = "A later run did it."
UNFINISHED = ("planned", "running", "waiting_for_removal", "failed")


class Ingestion:
    """Brings the index behind ``alias`` to what a site says.

    ``embedder`` None makes an index that is searched by words alone; ``failover`` is brought along, so that
    there are answers without Qdrant.
    Errors: those of the ports; :class:`~shared.errors.SourceError` for a site without pages;
    ``PreconditionFailed`` while somebody else holds the lease;
    :class:`~shared.errors.RemovalNotAllowed`;
    :class:`~shared.errors.GenerationRefused`.
    """

    def __init__(
        self,
        ports: IndexPorts,
        embedder: Embedder | None,
        failover: Failover,
        rules: Rules,
        steps: Steps,
        *,
        alias: str,
        clock: Clock,
        hooks: Hooks | None = None,
    ) -> None:
        self._ports = ports
        self._embedder = embedder
        self._failover = failover
        self._rules = rules
        self._steps = steps
        self._clock = clock
        self._hooks = hooks or Hooks()
        model = embedder.model if embedder else ""
        self.fingerprint = fingerprint(model)
        self.generations = Generations(
            ports.ledger,
            ports.chunks,
            ports.vectors,
            steps,
            alias=alias,
            fingerprint=self.fingerprint,
            model=model,
            dimensions=embedder.dimensions if embedder else 0,
        )

    # ------------------------------------------------------------ the ways in

    def plan(self, wanted: Run, source: Source) -> Plan:
        """Read the site and tell what a run would do; nothing of the index changes.

        The run that it belongs to is ``wanted`` or, where the same site has an unfinished one, that one.
        """
        with self._lease():
            run = self._to_go_on(wanted)
            return self._watched(run, lambda: self._planned(run, source))

    def recorded_plan(self, run_id: str) -> Plan:
        """What a recorded run would do, as it read the site; nothing is read again. Raises ``Missing``."""
        run = self._ports.runs.get(run_id, self._steps.one())
        return self._shown(recorded_study(self._work(run), self.generations, self._rules))

    def run(self, wanted: Run, source: Source) -> Report:
        """Make the index hold exactly the pages of ``source``, going on with an unfinished run of the same
        site where there is one.
        """
        started = self._clock()
        with self._lease():
            run = self._to_go_on(wanted)
            return self._watched(run, lambda: self._whole(run, source, started))

    def begin(self, wanted: Run) -> Run:
        """Record a run for the tasks of a job. An unfinished one of the same site is gone on with: what it
        has staged is not read again.
        """
        found = self._unfinished(wanted)
        if found is None:
            self._ports.runs.begin(wanted, self._steps.one())
            return wanted
        allowed = wanted.allow_removal
        run = replace(found, status="planned", tasks=wanted.tasks, error="", allow_removal=allowed)
        if found.tasks != wanted.tasks:
            self._read_anew(found)
        for share in found.shares:
            self._ports.runs.save_share(run.id, replace(share, done=False), self._steps.one())
        self._ports.runs.save(run, self._steps.one())
        return run

    def run_task(
        self, run_id: str, task: int, source: Source, *, allow_removal: bool = False
    ) -> Report | None:
        """Do one share of a run of many tasks; whoever is done last also writes, and gets the report."""
        started = self._clock()
        if self._do_task(run_id, task, source):
            return self._finish_tasks(run_id, source, started, allow_removal=allow_removal)
        return None

    def go_back(self, target: Generation) -> tuple[str, ...]:
        """Send readers back to a generation that was live before; what went wrong with its lifeboat."""
        with self._lease():
            self.generations.point_alias(target.id)
            _pages, passages, digest = self.generations.finish(target.id)
            whole = contents(self.generations, target.id, passages, digest)
            return self._failover.settle(whole, self._steps)

    # ------------------------------------------------------------ what they do

    def _planned(self, run: Run, source: Source) -> Plan:
        study = self._studied(run, source)
        self._ports.runs.save(replace(study.work.run, status="planned"), self._steps.one())
        return self._shown(study)

    def _shown(self, study: Study) -> Plan:
        plan, stage = study.plan(), study.work.stage
        if plan.removed:
            stage.put_removal(Removal(plan.removed, stage.removal().allowed))
        return plan

    def _whole(self, run: Run, source: Source, started: float) -> Report:
        study = self._studied(run, source)
        return self._ended(study, self._applier(study).apply(range(run.tasks)), started)

    def _do_task(self, run_id: str, task: int, source: Source) -> bool:
        """Do a share unless it is done; whether it was the last. One that is started again because it died
        while it wrote is, too.
        """
        run = self._ports.runs.get(run_id, self._steps.one())
        if _share(run, task).done:
            return _is_to_be_written(run)
        with self._lease(f"run {run_id}"):
            # Again: whoever had to be waited for may have done it, or more.
            run = self._ports.runs.get(run_id, self._steps.one())
            if run.status == "succeeded" or run.error == OVERTAKEN:
                return False
            begun = self._begun(run)
            return self._watched(begun, lambda: self._do_share(begun, task, source)) >= run.tasks

    def _do_share(self, run: Run, task: int, source: Source) -> int:
        """Read and embed one share; how many shares are done then."""
        work = self._work(run)
        share = self._student(source).read(work, task)
        share = economy(work, self._embedder, self.generations).embed_share(share, self._hooks.embedding)
        return work.save_share(replace(share, done=True))

    def _finish_tasks(
        self, run_id: str, source: Source, started: float, *, allow_removal: bool
    ) -> Report | None:
        with self._lease():
            run = self._ports.runs.get(run_id, self._steps.one())
            if not _is_to_be_written(run):
                return None
            begun = replace(run, status="running", error="", allow_removal=allow_removal)

            def write() -> Report:
                study = self._student(source).study(self._work(begun))
                return self._ended(study, self._applier(study).apply(), started)

            return self._watched(run, write)

    def _ended(self, study: Study, report: Report, started: float) -> Report:
        """Tidy up after a run, and store what it did."""
        told = replace(report, seconds=round(self._clock() - started, 3))
        run = self._ports.runs.get(study.work.run.id, self._steps.one())
        self._forget_read(run)
        ended = replace(run, status="succeeded", phase="done", report=asdict(told))
        self._ports.runs.save(ended, self._steps.one())
        self._overtake(run)
        for gone in self._ports.runs.prune(RUNS_KEPT, self._steps.one()):
            self._stage(gone).clear()
        return told

    # ------------------------------------------------------------ runs

    def _to_go_on(self, wanted: Run) -> Run:
        """The newest unfinished run of the same site from the same place, or ``wanted``, begun."""
        found = self._unfinished(wanted)
        if found is not None:
            return self._begun(replace(found, allow_removal=wanted.allow_removal))
        self._ports.runs.begin(wanted, self._steps.one())
        return self._begun(wanted)

    def _unfinished(self, wanted: Run) -> Run | None:
        recent = self._ports.runs.recent(self._steps.one(), limit=RUNS_KEPT)
        what = (wanted.source, wanted.place, wanted.base_url)
        own = [one for one in recent if one.id == wanted.id]
        same = [one for one in recent if (one.source, one.place, one.base_url) == what]
        newest = next(iter(own or same), None)
        if newest and newest.status in UNFINISHED and newest.error != OVERTAKEN:
            return newest
        return None

    def _begun(self, run: Run) -> Run:
        """The run, under way; which generation it reads against is decided now, or again."""
        live = self.generations.live()
        base = "" if live is None or self.generations.why_rebuild(live, run.source) else live.id
        if run.fingerprint != self.fingerprint or (run.generation and base not in {"", run.generation}):
            self._read_anew(run)
        started = replace(
            run, generation=base, fingerprint=self.fingerprint, status="running", phase="reading", error=""
        )
        self._ports.runs.save(started, self._steps.one())
        return started

    def _watched(self, run: Run, work: Callable[[], T]) -> T:
        """The result of ``work``; an error that ends it is told in the run."""
        try:
            return work()
        except LecternError as error:
            if isinstance(error, Corrupt):
                self._read_anew(run)
            status: RunStatus = "waiting_for_removal" if isinstance(error, RemovalNotAllowed) else "failed"
            latest = self._ports.runs.get(run.id, self._steps.one())
            self._ports.runs.save(replace(latest, status=status, error=str(error)), self._steps.one())
            raise

    def _overtake(self, run: Run) -> None:
        """Earlier runs of the same site that never ended have nothing more to say; one that was asked for
        since then has.
        """
        recent = self._ports.runs.recent(self._steps.one(), limit=RUNS_KEPT)
        ids = [one.id for one in recent]
        for one in recent[ids.index(run.id) + 1 :] if run.id in ids else ():
            if one.source == run.source and one.status in UNFINISHED and one.error != OVERTAKEN:
                self._forget_read(one)
                self._ports.runs.save(replace(one, status="failed", error=OVERTAKEN), self._steps.one())

    def _read_anew(self, run: Run) -> None:
        """Forget what a run has read, but not what a person was shown to go: a permission is for that."""
        self._ports.pages.clear(run.id, self._steps.one())
        self._work(run).stage.clear_read()

    def _forget_read(self, run: Run) -> None:
        self._ports.pages.clear(run.id, self._steps.one())
        self._work(run).stage.clear()

    # ------------------------------------------------------------ parts

    def _studied(self, run: Run, source: Source) -> Study:
        student, work = self._student(source), self._work(run)
        student.read_all(work)
        return student.study(work)

    def _student(self, source: Source) -> Student:
        embeds = self._embedder is not None
        return Student(source, self.generations, self._rules, self._hooks, embeds=embeds)

    def _applier(self, study: Study) -> Applier:
        return Applier(
            study,
            self._embedder,
            self.generations,
            self._failover,
            rules=self._rules,
            hooks=self._hooks,
        )

    def _work(self, run: Run) -> Work:
        return Work(run, self._ports, self._stage(run.id), self._steps)

    def _stage(self, run_id: str) -> Stage:
        return Stage(self._ports.objects, run_id, self._steps)

    def _lease(self, holder: str = "") -> AbstractContextManager[None]:
        wait = self._rules.wait_seconds
        limit = self._steps.within(wait + STEP_SECONDS)
        return self._ports.ledger.lease(limit, holder, wait_seconds=wait, waiting=self._hooks.waiting)


def _share(run: Run, task: int) -> RunShare:
    return next((one for one in run.shares if one.task == task), RunShare(task))


def _is_to_be_written(run: Run) -> bool:
    """Whether every share is there, and nobody has written them, or more."""
    is_done = run.status == "succeeded" or run.error == OVERTAKEN
    return not is_done and sum(share.done for share in run.shares) >= run.tasks
