"""Retries, their budget and a guard, under a clock that only moves when something waits."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from shared.errors import DeadlineExceeded, Open, Overloaded, Rejected, Throttled
from shared.resilience.breaker import Breaker
from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Deadline
from shared.resilience.guard import Guard
from shared.resilience.retry import Patience, retry


class Time:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Service:
    """Raises ``errors`` one after the other, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.asked = 0

    def __call__(self, _deadline: Deadline) -> str:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


@pytest.fixture
def time() -> Time:
    return Time()


def overloaded(retry_after: float | None = None) -> Overloaded:
    return Overloaded("qdrant", "search", "HTTP 503", retry_after=retry_after)


def tried(service: Callable[[Deadline], str], time: Time, seconds: float = 10.0, **options) -> str:
    options.setdefault("budget", RetryBudget(time))
    patience = Patience(tries=options.pop("tries", 3))
    return retry(
        service,
        Deadline.after(seconds, time),
        options["budget"],
        jitter=random.Random(7),
        patience=patience,
        sleep=time.sleep,
    )


def test_a_passing_failure_is_not_seen_by_the_reader(time: Time) -> None:
    """One lost packet would cost the reader the better answer."""
    service = Service(overloaded(), overloaded())
    assert tried(service, time) == "answer"
    assert service.asked == 3
    assert len(time.slept) == 2
    assert 0 <= time.slept[0] <= 0.1
    assert 0 <= time.slept[1] <= 0.2


def test_what_cannot_get_better_is_not_tried_again(time: Time) -> None:
    """A refused request would be sent three times, and the reader would wait for the same refusal."""
    service = Service(Rejected("qdrant", "search", "HTTP 400"))
    with pytest.raises(Rejected):
        tried(service, time)
    mistake = Service(ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        tried(mistake, time)
    assert (service.asked, mistake.asked, time.slept) == (1, 1, [])


def test_a_pause_that_the_service_asked_for_is_kept(time: Time) -> None:
    """A service that asks for two seconds would be asked again at once, and throttle us for longer."""
    service = Service(Throttled("gemini", "embed", "429", retry_after=2.0))
    assert tried(service, time) == "answer"
    assert 2.0 <= time.slept[0] <= 2.1


def test_a_pause_that_does_not_fit_is_not_begun(time: Time) -> None:
    """The reader's time would be slept away, and nothing left for the next rung."""
    service = Service(Throttled("gemini", "embed", "429", retry_after=30.0))
    with pytest.raises(Throttled):
        tried(service, time, seconds=10.0)
    assert (service.asked, time.slept) == (1, [])


def test_an_outage_does_not_multiply_the_load(time: Time) -> None:
    """A service that is coming back would be held down by three times its usual load."""
    budget = RetryBudget(time, ratio=0.1, per_second=0.0, most=10)
    asked = 0
    for _ in range(200):
        service = Service(*[overloaded()] * 5)
        with pytest.raises(Overloaded):
            tried(service, time, budget=budget)
        asked += service.asked
    assert 200 + 20 <= asked <= 200 + 10 + 20


def test_a_budget_fills_with_time_too(time: Time) -> None:
    """After a night's outage a site with few readers would go without retries for days."""
    budget = RetryBudget(time, per_second=0.5, most=2)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    time.now += 2.0
    assert [budget.withdraw() for _ in range(2)] == [True, False]


def guard(time: Time, tries: int = 2) -> Guard:
    return Guard(
        Breaker("qdrant", time, least=3),
        RetryBudget(time),
        random.Random(1),
        patience=Patience(tries),
        sleep=time.sleep,
    )


def test_a_guard_stops_asking_in_the_middle_of_its_tries(time: Time) -> None:
    """Retries would go on against a breaker that has just opened."""
    one = guard(time, tries=9)
    service = Service(*[overloaded()] * 20)
    with pytest.raises(Open) as caught:
        one.call(service, Deadline.after(60, time))
    assert service.asked == 3
    assert caught.value.service == "qdrant"
    assert caught.value.retry_after is not None


def test_a_lack_of_time_is_not_held_against_the_service(time: Time) -> None:
    """Slow generators would open the breaker of a healthy database that is asked last."""
    one = guard(time)
    service = Service()
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            one.call(service, Deadline.after(0, time))
    assert (service.asked, one.breaker.state) == (0, "closed")
