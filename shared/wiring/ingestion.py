"""Joins ingestion: its plan, its run, the shares of its tasks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import DependencyError, SettingsError
from shared.ingestion.failover import Failover
from shared.ingestion.launch import Launcher
from shared.ingestion.parts import Hooks, IndexPorts, Progress, Rules
from shared.ingestion.plan import Plan
from shared.ingestion.report import Report
from shared.ingestion.run import Ingestion
from shared.ingestion.site import Source
from shared.ingestion.steps import Steps
from shared.ports import Generation, ObjectStore, Run
from shared.resilience.deadline import Deadline
from shared.retrieval.lifeboat_store import LifeboatStore
from shared.settings import Settings
from shared.wiring import upkeep
from shared.wiring.gate import golden_gate
from shared.wiring.parts import Parts, embedder_kind
from shared.wiring.repair import heal
from shared.wiring.sources import open_source
from shared.wiring.suggesting import suggest

__all__ = [
    "HANDBOOK_SOURCE",
    "Hooks",
    "Plan",
    "Report",
    "Run",
    "Wanted",
    "execute",
    "execute_run",
    "ingestion",
    "launcher",
    "live_generation",
    "plan",
    "price",
    "recorded_plan",
    "run",
    "runs",
]

HANDBOOK_SOURCE = "Lectern's handbook"
"""The sample that a newcomer starts with: putting one's own site in its place needs no permission."""
FORGET_SECONDS = 30.0
UPKEEP_SECONDS = 120.0
READ_SECONDS = 10.0
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ingest. ``source`` names the site in the ledger: by default its address, or the place when it
    has none. ``run_id`` goes on with a run that was recorded.
    """

    place: str
    base_url: str = ""
    source: str = ""
    tasks: int = 1
    allow_removal: bool = False
    run_id: str = ""

    def run(self, fingerprint: str) -> Run:
        """The run to record."""
        place = self.place if "://" in self.place else str(Path(self.place).resolve())
        return Run(
            id=self.run_id or new_id(),
            source=self.source or self.base_url or place,
            place=place,
            base_url=self.base_url,
            fingerprint=fingerprint,
            tasks=self.tasks,
            allow_removal=self.allow_removal,
        )


def new_id() -> str:
    """An id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def run(
    settings: Settings,
    place: Path | str,
    base_url: str = "",
    *,
    source: str = "",
    allow_removal: bool = False,
    reading: Progress = lambda _done, _total: None,
    writing: Progress = lambda _done, _total: None,
    on_refused: Callable[[str], object] = lambda _line: None,
) -> Report:
    """Ingest a site, with the progress of its two longest steps. See :func:`execute`."""
    hooks = Hooks(reading=reading, writing=writing, refused=on_refused, told=on_refused)
    wanted = Wanted(str(place), base_url, source, allow_removal=allow_removal)
    return execute(settings, wanted, hooks)


def execute(settings: Settings, wanted: Wanted, hooks: Hooks | None = None) -> Report:
    """Make the index what the site says, going on with an unfinished run of the same site.

    Errors: those of :class:`~shared.ingestion.run.Ingestion`; pages that cannot be read are told to the
    hooks and listed in the report.
    """
    hooks = hooks or Hooks()
    with _opened(settings, wanted, hooks) as (parts, own, source):
        heal(parts, hooks.refused)
        report = own.run(wanted.run(own.fingerprint), source)
        _tend(parts, report, hooks)
    return report


def plan(settings: Settings, wanted: Wanted, hooks: Hooks | None = None) -> Plan:
    """What :func:`execute` would do. Errors: the same."""
    with _opened(settings, wanted, hooks or Hooks()) as (_parts, own, source):
        return own.plan(wanted.run(own.fingerprint), source)


def recorded_plan(settings: Settings, run_id: str) -> Plan:
    """What a recorded run would do: nothing is read again. Raises ``Missing``."""
    with Parts(settings) as parts:
        return ingestion(parts, stage=_stage_that_answers(parts)).recorded_plan(run_id)


def launcher(parts: Parts) -> Launcher:
    """Who starts runs as jobs."""
    begin = ingestion(parts).begin
    return Launcher(parts.runs, parts.run_starts, parts.jobs, parts.leases, begin, new_id=new_id)


def execute_run(
    settings: Settings, run_id: str, hooks: Hooks | None = None, *, allow_removal: bool = False
) -> Report | Run:
    """Do a recorded run, or with many tasks the share of this process's task. What it did; or the run as it
    stands, when others do the rest or it was done before.
    """
    hooks = hooks or Hooks()
    with Parts(settings) as parts:
        recorded = parts.runs.get(run_id, Deadline.after(READ_SECONDS))
        if recorded.status == "succeeded":
            return recorded
    wanted = Wanted(
        recorded.place, recorded.base_url, recorded.source, recorded.tasks, allow_removal, recorded.id
    )
    if recorded.tasks == 1 or settings.task_count == 1:
        return execute(settings, wanted, hooks)
    return _execute_task(settings, recorded, wanted, hooks)


def _execute_task(settings: Settings, recorded: Run, wanted: Wanted, hooks: Hooks) -> Report | Run:
    if settings.task_count != recorded.tasks:
        told = f"CLOUD_RUN_TASK_COUNT is {settings.task_count}, run {recorded.id} has {recorded.tasks} tasks"
        raise SettingsError([told])
    with _opened(settings, wanted, hooks) as (parts, own, source):
        report = own.run_task(recorded.id, settings.task_index, source, allow_removal=wanted.allow_removal)
        if report is None:
            return parts.runs.get(recorded.id, Deadline.after(READ_SECONDS))
        _tend(parts, report, hooks)
        return report


def _tend(parts: Parts, report: Report, hooks: Hooks) -> None:
    """What is brought along by a run that succeeded; what of it fails is told."""
    suggest(parts, report, hooks.told)
    upkeep.tend(parts, Deadline.after(UPKEEP_SECONDS), hooks.told)


@contextmanager
def _opened(settings: Settings, wanted: Wanted, hooks: Hooks) -> Iterator[tuple[Parts, Ingestion, Source]]:
    with (
        open_source(settings, wanted.place, wanted.base_url) as source,
        Parts(settings) as parts,
    ):
        yield parts, ingestion(parts, hooks, _stage_that_answers(parts)), source


def ingestion(parts: Parts, hooks: Hooks | None = None, stage: ObjectStore | None = None) -> Ingestion:
    """Ingestion on the services that the settings name; ``stage`` is where parts of runs lie."""
    own = parts.settings
    hooks = hooks or Hooks()
    boats = LifeboatStore(parts.object_store) if own.storage_bucket else None
    return Ingestion(
        _ports(parts, stage or _stage(parts)),
        parts.embedder,
        Failover(parts.passage_store, boats),
        Rules(
            removal_limit=own.removal_limit,
            previous_generations=own.previous_generations,
            usd_per_million=price(own),
            wait_seconds=own.ingest_wait_seconds,
            may_be_replaced=frozenset({HANDBOOK_SOURCE}),
            gate=golden_gate(parts),
        ),
        Steps(time.monotonic),
        alias=own.qdrant_alias,
        clock=time.monotonic,
        hooks=replace(hooks, stale=lambda urls: _forget(parts, urls)),
    )


def price(settings: Settings) -> float:
    """US dollars for a million embedded tokens."""
    return settings.gemini_embedding_usd_per_million if embedder_kind(settings) == "gemini" else 0.0


def runs(settings: Settings) -> list[Run]:
    """The latest runs, newest first."""
    with Parts(settings) as parts:
        return parts.runs.recent(Deadline.after(READ_SECONDS))


def live_generation(settings: Settings) -> Generation | None:
    """The generation that readers see, as the ledger has it; None before the first ingestion."""
    with Parts(settings) as parts:
        known = parts.ledger.generations(Deadline.after(READ_SECONDS))
    return next((one for one in known if one.status == "live"), None)


def _ports(parts: Parts, stage: ObjectStore) -> IndexPorts:
    return IndexPorts(
        ledger=parts.ledger,
        chunks=parts.chunk_ledger,
        runs=parts.runs,
        pages=parts.run_pages,
        texts=parts.run_texts,
        vectors=parts.vector_admin,
        stored=parts.stored_vectors,
        objects=stage,
    )


def _stage(parts: Parts) -> ObjectStore:
    """The bucket, or this machine's disk where there is none."""
    return parts.object_store if parts.settings.storage_bucket else _disk(parts.settings)


def _stage_that_answers(parts: Parts) -> ObjectStore:
    """The same; the disk too while the bucket does not answer, unless other tasks need what is staged."""
    if parts.settings.storage_bucket and parts.settings.task_count == 1:
        try:
            next(iter(parts.object_store.list("ingestion/", Deadline.after(LOOK_SECONDS))), None)
        except DependencyError:
            return _disk(parts.settings)
    return _stage(parts)


def _disk(settings: Settings) -> ObjectStore:
    from shared.embedded.folder import FolderStore

    return FolderStore(Path(settings.home) / "stage")


def _forget(parts: Parts, urls: Sequence[str]) -> int:
    return upkeep.forget_pages(parts, urls, Deadline.after(FORGET_SECONDS)) if urls else 0
