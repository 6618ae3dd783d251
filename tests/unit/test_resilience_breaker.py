"""The breaker under a moved clock, and under many threads at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import AccessDenied, Missing, Open, Throttled, TimedOut, Unreachable
from shared.resilience.breaker import LONGEST_REST, Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Service:
    """Counts its calls; raises ``error`` while it has one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return "answer"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def down() -> TimedOut:
    return TimedOut("qdrant", "search", "no answer in the time given")


def fail(breaker: Breaker, service: Service, times: int) -> None:
    for _ in range(times):
        with pytest.raises(type(service.error)):
            breaker.call(service)


def opened(clock: Clock, **options) -> Breaker:
    breaker = Breaker("qdrant", clock, **options)
    fail(breaker, Service(down()), 3)
    assert breaker.state == "open"
    return breaker


def test_a_service_that_is_down_is_left_alone(clock: Clock) -> None:
    """Every reader would wait for the time-out of a service that does not answer."""
    breaker = opened(clock)
    service = Service(down())
    for _ in range(50):
        with pytest.raises(Open) as caught:
            breaker.call(service)
    assert service.asked == 0
    assert caught.value.retry_after == 10.0
    assert not breaker.admits()


def test_it_closes_when_the_probe_is_answered(clock: Clock) -> None:
    """The better answers would not come back by themselves after an outage."""
    breaker = opened(clock)
    clock.now = 10.0
    assert breaker.state == "half-open"
    assert breaker.admits()
    assert breaker.call(Service()) == "answer"
    assert breaker.state == "closed"
    fail(breaker, Service(down()), 2)
    assert breaker.state == "closed"


def test_a_failed_probe_opens_it_for_another_rest(clock: Clock) -> None:
    """One reader in each rest would be many."""
    breaker = opened(clock)
    clock.now = 10.0
    fail(breaker, Service(down()), 1)
    clock.now = 19.9
    assert breaker.state == "open"
    clock.now = 20.0
    assert breaker.admits()


def test_exactly_one_probe_at_a_time(clock: Clock) -> None:
    """All waiting readers would fall upon a service that is just coming back."""
    breaker = opened(clock)
    clock.now = 10.0
    release, begun = threading.Event(), threading.Event()
    asked = []

    def slow() -> str:
        asked.append(1)
        begun.set()
        release.wait(10)
        return "answer"

    def reader() -> str:
        try:
            return breaker.call(slow)
        except Open:
            return "open"

    with ThreadPoolExecutor(16) as threads:
        first = threads.submit(reader)
        assert begun.wait(10)
        others = list(threads.map(lambda _: reader(), range(100)))
        release.set()
        assert first.result() == "answer"
    assert (len(asked), set(others)) == (1, {"open"})
    assert breaker.state == "closed"


def test_a_probe_whose_reader_left_lets_the_next_one_try(clock: Clock) -> None:
    """One closed browser tab would keep the service out for ever."""
    breaker = opened(clock)
    clock.now = 10.0
    for error in (GeneratorExit(), KeyError("a mistake of ours")):
        with pytest.raises(type(error)):
            breaker.call(Service(error))
        assert breaker.admits()
    assert breaker.call(Service()) == "answer"


def test_a_refusal_of_one_request_is_no_failure(clock: Clock) -> None:
    """Readers who ask for what does not exist would switch the service off for all."""
    breaker = Breaker("qdrant", clock)
    fail(breaker, Service(Missing("qdrant", "search", "no such collection")), 20)
    assert breaker.state == "closed"


def test_expired_credentials_are_a_failure(clock: Clock) -> None:
    """Each question would first be refused by a service that will refuse all of them."""
    breaker = Breaker("qdrant", clock)
    fail(breaker, Service(AccessDenied("qdrant", "search", "HTTP 401")), 3)
    assert breaker.state == "open"


def test_a_few_failures_among_many_answers_do_not_open_it(clock: Clock) -> None:
    """A service that loses one request in five would be given up, and every answer with it degraded."""
    breaker = Breaker("qdrant", clock)
    for turn in range(50):
        if turn % 5 == 0:
            fail(breaker, Service(Unreachable("qdrant", "search", "reset")), 1)
        else:
            breaker.call(Service())
    assert breaker.state == "closed"


def test_a_service_that_fails_every_other_time_opens_it(clock: Clock) -> None:
    """Half of the readers would wait for nothing, for hours."""
    breaker = Breaker("qdrant", clock)
    for _ in range(2):
        fail(breaker, Service(down()), 1)
        breaker.call(Service())
    assert breaker.state == "closed"
    fail(breaker, Service(down()), 1)
    assert breaker.state == "open"


def test_the_rest_is_as_long_as_the_service_asks_within_reason(clock: Clock) -> None:
    """A throttling service would be asked every ten seconds; or never again, if it says a day."""
    breaker = Breaker("gemini", clock)
    fail(breaker, Service(Throttled("gemini", "embed", "429", retry_after=25.0)), 3)
    clock.now = 24.0
    assert not breaker.admits()
    clock.now = 25.0
    fail(breaker, Service(Throttled("gemini", "embed", "429", retry_after=86_400.0)), 1)
    clock.now = 25.0 + LONGEST_REST
    assert breaker.admits()


def test_what_began_before_it_opened_decides_nothing(clock: Clock) -> None:
    """A late answer from before the outage would close the breaker without a probe."""
    breaker = Breaker("qdrant", clock)
    with breaker.watch():
        fail(breaker, Service(down()), 3)
    assert breaker.state == "open"
    assert Breaker("gcs", clock).state == "closed"
