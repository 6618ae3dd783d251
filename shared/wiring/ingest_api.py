"""The messages of the function ``ingest``; :mod:`shared.wiring.openapi` describes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.http.requests import Body
from shared.ingestion.launch import Progress
from shared.ingestion.plan import Plan
from shared.ports import PlanCounts, Run

MOST_ADDRESSES = 500
"""Addresses of each kind, and refused pages, that an answer shows."""


class IngestBody(Body, frozen=True):
    """The body of ``POST /ingest``. ``wait``: work, or wait, inside the request, as long as it lasts.
    ``plan``: tell what would change and what it costs, and change nothing. ``allow_removal``: let this run
    remove more pages than the limit. ``tasks``: of the job; 0 leaves it to the setting. ``source``: a place
    below the configured one, such as the prefix of one build.
    """

    wait: bool = False
    plan: bool = False
    allow_removal: bool = False
    tasks: Annotated[int, Meta(ge=0, le=64)] = 0
    source: Annotated[str, Meta(max_length=1000)] = ""


class Tasks(msgspec.Struct, frozen=True):
    """The tasks of a run's job, and how many have done their share."""

    total: int
    done: int


class Pages(msgspec.Struct, frozen=True):
    """Pages that were read so far, that are to be written, and that are written."""

    read: int
    to_write: int
    written: int


class Changes(msgspec.Struct, frozen=True):
    """The first addresses of each kind that a run would add, change and remove."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class RunReply(msgspec.Struct, frozen=True):
    """How a run is doing. ``status`` is planned, running, waiting_for_removal, succeeded, failed or
    interrupted; ``phase`` what a run does: reading, embedding, writing, finishing, done. ``plan`` is there
    once everything was read, ``report`` at the end, ``changes`` where a plan was asked for.
    """

    run: str
    status: str
    phase: str
    site: str
    tasks: Tasks
    pages: Pages
    plan: PlanCounts | None
    report: dict[str, Any] | None
    refused: tuple[str, ...]
    error: str
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    changes: Changes | None = None


def run_reply(progress: Progress, plan: Plan | None = None) -> RunReply:
    """A run as the API shows it."""
    run = progress.run
    return RunReply(
        run=run.id,
        status=progress.status,
        phase=run.phase,
        site=run.source,
        tasks=Tasks(run.tasks, _done(run)),
        pages=Pages(sum(share.read for share in run.shares), run.to_write, run.written),
        plan=run.plan,
        report=dict(run.report) if run.report is not None else None,
        refused=tuple(line for share in run.shares for line in share.refused)[:MOST_ADDRESSES],
        error=progress.error,
        created_at=_time(run.created_at),
        started_at=_time(run.started_at),
        finished_at=_time(run.finished_at),
        changes=_changes(plan) if plan else None,
    )


def _done(run: Run) -> int:
    return run.tasks if run.status == "succeeded" else sum(share.done for share in run.shares)


def _changes(plan: Plan) -> Changes:
    return Changes(*(each[:MOST_ADDRESSES] for each in (plan.added, plan.changed, plan.removed)))


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(round(seconds), UTC) if seconds else None
