"""Readers' requests from Cloud Monitoring: what is there, what is not yet, and what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import inf

import httpx
import pytest

from shared.adapters.monitoring import CloudMeasurements
from shared.errors import AccessDenied, Garbled, Overloaded, Rejected, Throttled, TimedOut, Unreachable
from shared.ports import Readers
from shared.resilience.deadline import Deadline
from tests.fakes.cloud_run import FakeCloudRun, RunError
from tests.fakes.cloud_run.front import Served
from tests.fakes.cloud_run.monitoring import Monitoring

START = 1_700_000_000.0


@pytest.fixture
def now() -> list[float]:
    return [START]


@pytest.fixture
def monitoring(now: list[float]) -> Monitoring:
    """Google's own delays: samples of a minute, three minutes late."""
    return Monitoring(lambda: now[0], sample_seconds=60, lag_seconds=180)


@pytest.fixture
def api(monitoring: Monitoring) -> Iterator[FakeCloudRun]:
    with FakeCloudRun(monitoring) as made:
        yield made


@pytest.fixture
def read(api: FakeCloudRun) -> Iterator[Callable[[], dict[str, Readers]]]:
    """What is known of two revisions since the start."""
    with httpx.Client(trust_env=False) as client:
        measurements = CloudMeasurements("p", "r", client, token=lambda _deadline: "t", endpoint=api.endpoint)
        yield lambda: measurements.readers(
            "lectern-chat", ("new", "old"), START, START + 3600, Deadline.after(5)
        )


def served(revision: str, status: int, seconds: float, at: float = START + 10, region: str = "r") -> Served:
    return Served("lectern-chat", revision, status, at, seconds, "", region)


def test_requests_are_counted_by_revision(
    monitoring: Monitoring, now: list[float], read: Callable[[], dict[str, Readers]]
) -> None:
    """A candidate would be judged by stable's requests, or a client's mistakes be taken for its own."""
    for one in (
        served("new", 200, 0.1),
        served("new", 500, 0.1),
        served("new", 404, 0.1),
        served("new", 429, 0.1),
        served("new", 401, 0.1),
        served("old", 200, 0.1),
    ):
        monitoring.note(one)
    monitoring.note(Served("lectern-health", "new", 500, START + 10, 0.1, "", "r"))
    now[0] = START + 600
    found = read()
    assert (found["new"].requests, found["new"].errors, found["new"].refused) == (5, 1, 1)
    assert (found["old"].requests, found["old"].errors, found["old"].refused) == (1, 0, 0)


def test_each_region_is_measured_by_itself(
    monitoring: Monitoring, now: list[float], api: FakeCloudRun, read: Callable[[], dict[str, Readers]]
) -> None:
    """A candidate of the first region would be compared with readers of a slower one: names are the same."""
    monitoring.note(served("old", 200, 0.1))
    monitoring.note(served("old", 500, 5.0, region="us-central1"))
    now[0] = START + 600
    assert (read()["old"].requests, read()["old"].errors) == (1, 0)
    with httpx.Client(trust_env=False) as client:
        measurements = CloudMeasurements("p", "r", client, token=None, endpoint=api.endpoint)
        away = measurements.readers(
            "lectern-chat@us-central1", ("old",), START, START + 3600, Deadline.after(5)
        )
    assert (away["old"].requests, away["old"].errors) == (1, 1)


def test_what_has_just_happened_is_not_known_yet(
    monitoring: Monitoring, now: list[float], read: Callable[[], dict[str, Readers]]
) -> None:
    """A candidate would pass because its errors have not arrived."""
    monitoring.note(served("new", 500, 0.1))
    now[0] = START + 120
    assert read() == {"new": Readers(), "old": Readers()}
    now[0] = START + 300
    assert read()["new"].errors == 1


def test_latencies_are_in_seconds(
    monitoring: Monitoring, now: list[float], read: Callable[[], dict[str, Readers]]
) -> None:
    """A slow candidate would look a thousand times as slow, or as fast."""
    for seconds in (0.1, 0.1, 0.1, 3.0):
        monitoring.note(served("new", 200, seconds))
    now[0] = START + 600
    found = read()["new"]
    assert found.slower_than(1.0) == 1
    assert found.slower_than(5.0) == 0
    assert 0.1 <= found.percentile(0.5) <= 0.15
    assert found.plus(found).slower_than(1.0) == 2
    assert found.seconds[-1][0] < inf


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RunError(401, "who"), AccessDenied),
        (RunError(403, "no"), AccessDenied),
        (RunError(400, "what"), Rejected),
        (RunError(429, "slow down"), Throttled),
        (RunError(503, "busy"), Overloaded),
        ("cut", Unreachable),
        ("garbage", Garbled),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_faults_are_errors_of_ours(
    api: FakeCloudRun, read: Callable[[], dict[str, Readers]], fault: RunError | str, kind: type[Exception]
) -> None:
    """A release would end in a stack trace."""
    api.faults.append(fault)
    with pytest.raises(kind):
        read()


def test_a_service_that_hangs_is_not_waited_for(api: FakeCloudRun) -> None:
    """A canary would stand still with readers on it."""
    api.faults.append("hang")
    with httpx.Client(trust_env=False) as client:
        measurements = CloudMeasurements("p", "r", client, token=None, endpoint=api.endpoint)
        with pytest.raises(TimedOut):
            measurements.readers("lectern-chat", ("new",), START, START + 60, Deadline.after(0.3))
    assert threading.active_count() < 50
