"""What health says of recovery, by the settings' limits."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from shared.embedded.folder import FolderStore
from shared.recovery.catalogue import write_mark
from shared.recovery.golden import Comparison
from shared.recovery.point import point_id
from shared.recovery.report import DrillReport
from shared.recovery.status import PREFIX, Drilled, Limits, Status, judged, read_status, refresh_status
from tests.recovery_points import cut_point, day, soon

HOUR, DAY = 3600.0, 86_400.0
LIMITS = Limits(rpo=24 * HOUR, rto=4 * HOUR, drill_age=8 * DAY)
NOW = day(30).timestamp()
GOOD = Status(
    written_at=NOW,
    points=3,
    newest="p",
    newest_at=NOW - HOUR,
    drilled=Drilled("p", NOW - DAY, passed=True, rehearsed_restore_seconds=60.0),
    passed_at=NOW - DAY,
)


def changed(**fields: object) -> Status:
    return msgspec.structs.replace(GOOD, **fields)


def test_all_is_well() -> None:
    """An operator would be woken for nothing."""
    found = judged(GOOD, LIMITS, NOW)
    assert found.concerns == ()
    assert (found.point_age_seconds, found.drill_age_seconds) == (HOUR, DAY)
    assert found.rehearsed_restore_seconds == 60.0


@pytest.mark.parametrize(
    ("status", "concern"),
    [
        (None, "there is no recovery point yet"),
        (changed(newest_at=NOW - 25 * HOUR), "the newest recovery point is 25.0 h old, the RPO is 24.0 h"),
        (changed(drilled=None, passed_at=0.0), "no drill has passed yet"),
        (changed(passed_at=NOW - 9 * DAY), "the last drill that passed is 9.0 days old, 8 are allowed"),
        (
            changed(drilled=Drilled("p", NOW, passed=False, rehearsed_restore_seconds=0.0, problem="rows")),
            "the last drill failed: rows",
        ),
        (
            changed(drilled=Drilled("p", NOW, passed=True, rehearsed_restore_seconds=5 * HOUR)),
            "the rehearsed restore took 5.0 h, the RTO is 4.0 h",
        ),
    ],
)
def test_each_broken_promise_is_named(status: Status | None, concern: str) -> None:
    """Backups would have stopped for weeks, and health would say healthy."""
    assert concern in judged(status, LIMITS, NOW).concerns


def test_limits_of_nothing_are_not_looked_at() -> None:
    """A developer's machine would be degraded for want of backups."""
    assert judged(None, Limits(0, 0, 0), NOW).concerns == ()


def report(at: int, *, passed: bool) -> DrillReport:
    return DrillReport(
        point=point_id(day(at)),
        started_at=day(at) + timedelta(hours=2),
        passed=passed,
        room="sealed",
        rehearsed_restore_seconds=12.5,
        phases={"verify": 1.0},
        rows=3,
        points=3,
        bytes=100,
        golden=Comparison(0, 0, ()),
        problems=() if passed else ("3 rows are missing",),
    )


def test_the_status_is_made_from_what_is_in_the_bucket(tmp_path: Path) -> None:
    """Health would go on saying what was true once."""
    store = FolderStore(tmp_path / "bucket")
    assert read_status(store, soon()) is None
    for number, passed in ((0, True), (1, False)):
        cut_point(store, day(number))
        found = report(number, passed=passed)
        word = "passed" if passed else "failed"
        stamp = found.started_at.timestamp()
        write_mark(store, found.point, "drills", word, soon(), body=found, now=stamp)
    refresh_status(store, NOW, soon())
    status = read_status(store, soon())
    assert status
    assert (status.points, status.newest) == (2, point_id(day(1)))
    assert status.newest_at == day(1).timestamp()
    assert status.passed_at == (day(0) + timedelta(hours=2)).timestamp()
    assert status.drilled
    assert (status.drilled.passed, status.drilled.problem) == (False, "3 rows are missing")


def test_a_status_replaces_the_one_before(tmp_path: Path) -> None:
    """Health would list thousands of objects, or be shown an old one when a clock was set back."""
    store = FolderStore(tmp_path / "bucket")
    cut_point(store, day(0))
    refresh_status(store, NOW, soon())
    cut_point(store, day(1))
    refresh_status(store, NOW - DAY, soon())
    assert len(list(store.list(PREFIX, soon()))) == 1
    status = read_status(store, soon())
    assert status
    assert status.newest == point_id(day(1))
