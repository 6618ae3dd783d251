"""What health says of recovery, from one small object that every backup, verification and drill leaves.

The object is made anew from the bucket each time, under a new name, so that a bucket may forbid replacing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from shared.errors import Corrupt, DependencyError, Missing
from shared.ports import ObjectStore
from shared.recovery.catalogue import Catalogue, KnownPoint, read_catalogue
from shared.recovery.point import SERVICE
from shared.recovery.report import DrillReport, read_report
from shared.resilience.deadline import Deadline

PREFIX = "recovery/status/"
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_MOST_LINES, _LONGEST = 3, 300
_HOUR, _DAY = 3600.0, 86_400.0


class Drilled(msgspec.Struct, frozen=True):
    """The newest drill. ``at`` is its start in Unix seconds; ``problem`` is empty when it passed."""

    point: str
    at: float
    passed: bool
    rehearsed_restore_seconds: float
    problem: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Recovery at a glance; times in Unix seconds, 0 for never. ``newest_at`` is when the newest point's data
    was read, which is what an RPO is about. ``unreadable`` has a line for each point newer than that which
    cannot be read.
    """

    written_at: float
    points: int = 0
    bytes: int = 0
    newest: str = ""
    newest_at: float = 0.0
    drilled: Drilled | None = None
    passed_at: float = 0.0
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; 0 does not look."""

    rpo: float
    rto: float
    drill_age: float


@dataclass(frozen=True, slots=True)
class RecoveryHealth:
    """What the health answer says of recovery. Ages and limits in seconds, None where there is nothing.

    ``rehearsed_restore_seconds`` was measured in a drill: it is held against the RTO, it is not one.
    """

    newest_point: str | None
    point_age_seconds: float | None
    rpo_seconds: float
    last_drill_passed: bool | None
    drill_age_seconds: float | None
    rehearsed_restore_seconds: float | None
    rto_seconds: float
    concerns: tuple[str, ...]


def judged(status: Status | None, limits: Limits, now: float) -> RecoveryHealth:
    """Recovery against its limits. ``concerns`` is empty when all is as promised."""
    known = status or Status(written_at=now)
    drilled = known.drilled
    point_age = max(0.0, now - known.newest_at) if known.newest_at else None
    drill_age = max(0.0, now - known.passed_at) if known.passed_at else None
    return RecoveryHealth(
        newest_point=known.newest or None,
        point_age_seconds=point_age,
        rpo_seconds=limits.rpo,
        last_drill_passed=drilled.passed if drilled else None,
        drill_age_seconds=drill_age,
        rehearsed_restore_seconds=drilled.rehearsed_restore_seconds if drilled else None,
        rto_seconds=limits.rto,
        concerns=(*known.unreadable, *_of_points(point_age, limits), *_of_drills(drilled, drill_age, limits)),
    )


def _of_points(age: float | None, limits: Limits) -> list[str]:
    if not limits.rpo:
        return []
    if age is None:
        return ["there is no recovery point yet"]
    if age > limits.rpo:
        return [f"the newest recovery point is {_hours(age)} old, the RPO is {_hours(limits.rpo)}"]
    return []


def _of_drills(drilled: Drilled | None, age: float | None, limits: Limits) -> list[str]:
    concerns = []
    if drilled and not drilled.passed:
        concerns.append(f"the last drill failed: {drilled.problem or 'see its report'}")
    if limits.drill_age and age is None:
        concerns.append("no drill has passed yet")
    if limits.drill_age and age is not None and age > limits.drill_age:
        allowed = f"{limits.drill_age / _DAY:g} are allowed"
        concerns.append(f"the last drill that passed is {age / _DAY:.1f} days old, {allowed}")
    if limits.rto and drilled and drilled.passed and drilled.rehearsed_restore_seconds > limits.rto:
        took = _hours(drilled.rehearsed_restore_seconds)
        concerns.append(f"the rehearsed restore took {took}, the RTO is {_hours(limits.rto)}")
    return concerns


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR:.1f} h"


def status_of(catalogue: Catalogue, reports: Sequence[DrillReport], now: float) -> Status:
    """The status that a bucket stands for. ``reports``: of each point the newest drill."""
    newest = catalogue.newest()
    unreadable = catalogue.passed_over(newest.id if newest else "")
    last = max(reports, key=lambda one: one.started_at, default=None)
    passed = max((one.started_at for one in reports if one.passed), default=None)
    return Status(
        written_at=now,
        points=len(catalogue.points),
        bytes=sum(one.bytes for one in catalogue.points),
        newest=newest.id if newest else "",
        newest_at=newest.manifest.snapshot_at.timestamp() if newest and newest.manifest else 0.0,
        drilled=_drilled(last) if last else None,
        passed_at=passed.timestamp() if passed else 0.0,
        unreadable=tuple(line[:_LONGEST] for line in unreadable[:_MOST_LINES]),
    )


def _drilled(report: DrillReport) -> Drilled:
    return Drilled(
        report.point,
        report.started_at.timestamp(),
        report.passed,
        report.rehearsed_restore_seconds,
        "; ".join(report.problems)[:_LONGEST],
    )


def drill_reports(store: ObjectStore, points: Sequence[KnownPoint], deadline: Deadline) -> list[DrillReport]:
    """The newest report of each point that was drilled; one that cannot be read, or that
    retention took away meanwhile, is left out.
    """
    found = []
    for mark in (one.last_drill for one in points):
        if mark:
            with contextlib.suppress(Corrupt, Missing):
                found.append(read_report(mark.name, store.get(mark.name, deadline)[0]))
    return found


def refresh_status(store: ObjectStore, now: float, deadline: Deadline) -> Status:
    """Make the status anew from the bucket and leave it there. Errors: those of the store; older ones that
    may not be deleted stay.
    """
    catalogue = read_catalogue(store, deadline)
    status = status_of(catalogue, drill_reports(store, catalogue.points, deadline), now)
    older = [info.name for info in store.list(PREFIX, deadline)]
    stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)
    store.put(f"{PREFIX}{stamp}.json", msgspec.json.encode(status), deadline)
    for name in older:
        if name != f"{PREFIX}{stamp}.json":
            with contextlib.suppress(DependencyError):
                store.delete(name, deadline)
    return status


def read_status(store: ObjectStore, deadline: Deadline) -> Status | None:
    """The newest status by the bucket's clock; None before the first one. Raises the store's errors and
    :class:`~shared.errors.Corrupt`.
    """
    newest = max(store.list(PREFIX, deadline), key=lambda info: (info.updated, info.name), default=None)
    if newest is None:
        return None
    try:
        return msgspec.json.decode(store.get(newest.name, deadline)[0], type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"{newest.name} is not understood: {error}"
        raise Corrupt(SERVICE, "read", detail, hint="The next backup writes it anew.") from error
