"""What a restore needs of schedules, on Cloud Scheduler's adapter before a faithful fake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import errors
from shared.adapters.scheduler import CloudSchedules
from shared.ports.schedules import Schedule
from shared.resilience.deadline import Deadline
from tests.fakes.scheduler import FakeScheduler

NAMES = ("lectern-drill", "lectern-ingest", "somebody-elses")


@pytest.fixture
def fake() -> Iterator[FakeScheduler]:
    with FakeScheduler(page_size=2) as running:
        for name in reversed(NAMES):
            running.state.add(name)
        yield running


@pytest.fixture
def schedules(fake: FakeScheduler) -> Iterator[CloudSchedules]:
    made = CloudSchedules("p", "r", endpoint=fake.endpoint)
    yield made
    made.close()


def soon() -> Deadline:
    return Deadline.after(10)


def test_ours_are_listed_over_all_pages(schedules: CloudSchedules) -> None:
    """A restore would pause another team's schedules, or leave some of Lectern's running."""
    assert schedules.list(soon()) == [
        Schedule("lectern-drill", "0 3 * * *", "enabled"),
        Schedule("lectern-ingest", "0 3 * * *", "enabled"),
    ]


def test_pause_and_resume_may_be_said_twice(schedules: CloudSchedules, fake: FakeScheduler) -> None:
    """A restore that was killed and runs again would stop at a schedule that it has paused."""
    for _ in range(2):
        schedules.pause("lectern-ingest", soon())
        assert fake.state.state("lectern-ingest") == "PAUSED"
    assert [one.state for one in schedules.list(soon())] == ["enabled", "paused"]
    for _ in range(2):
        schedules.resume("lectern-ingest", soon())
        assert fake.state.state("lectern-ingest") == "ENABLED"


def test_a_schedule_that_cannot_be_paused_is_named(schedules: CloudSchedules, fake: FakeScheduler) -> None:
    """An operator would believe that nothing runs while the database is replaced."""
    fake.state.jobs["projects/p/locations/r/jobs/lectern-ingest"]["state"] = "DISABLED"
    with pytest.raises(errors.Rejected, match="lectern-ingest"):
        schedules.pause("lectern-ingest", soon())
    with pytest.raises(errors.Missing, match="lectern-nightly"):
        schedules.pause("lectern-nightly", soon())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (401, errors.AccessDenied),
        (403, errors.AccessDenied),
        (429, errors.Throttled),
        (500, errors.Overloaded),
        (503, errors.Overloaded),
        (504, errors.TimedOut),
        ("cut", errors.Unreachable),
        ("garbage", errors.Garbled),
    ],
)
def test_faults_have_our_names_and_are_not_tried_again(
    schedules: CloudSchedules, fake: FakeScheduler, fault: int | str, kind: type[errors.LecternError]
) -> None:
    """A restore would fail with a client's exception that says nothing, or hammer a service that is down."""
    for call in (lambda: schedules.list(soon()), lambda: schedules.pause("lectern-ingest", soon())):
        fake.faults = [fault]
        with pytest.raises(kind):
            call()
    assert fake.state.state("lectern-ingest") == "ENABLED"


def test_a_service_that_hangs_is_left_at_the_deadline(schedules: CloudSchedules, fake: FakeScheduler) -> None:
    """A restore would stand still."""
    fake.faults = ["hang"]
    with pytest.raises(errors.TimedOut):
        schedules.list(Deadline.after(0.3))


def test_nobody_there_is_named() -> None:
    """A wrong endpoint would look like an empty project."""
    with FakeScheduler() as gone:
        endpoint = gone.endpoint
    with pytest.raises(errors.Unreachable):
        CloudSchedules("p", "r", endpoint=endpoint).list(soon())
