"""The ladder: which rung holds, what it says about the others, and how it shares the time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.errors import Missing, NoRungHeld, Rejected, TimedOut, Unreachable
from shared.resilience.breaker import Breaker
from shared.resilience.deadline import Deadline
from shared.resilience.ladder import Ladder, Rung


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def gives(value: str) -> Callable[[Deadline], str]:
    return lambda _: value


def fails(error: Exception) -> Callable[[Deadline], str]:
    def climb(_: Deadline) -> str:
        raise error

    return climb


def test_the_first_rung_that_holds_is_taken_and_the_others_are_explained(time: Time) -> None:
    """An operator would not learn why readers get lesser answers."""
    ladder = Ladder(
        "the search",
        [
            Rung("hybrid", fails(TimedOut("qdrant", "search", "no answer"))),
            Rung("fulltext", fails(Unreachable("neon", "connect", "refused"))),
            Rung("lifeboat", gives("found")),
            Rung("never", fails(AssertionError("asked below the one that held"))),
        ],
    )
    held = ladder.hold(Deadline.after(10, time))
    assert (held.value, held.rung) == ("found", "lifeboat")
    assert held.reasons == ("qdrant: timed_out", "neon: unreachable")


def test_a_service_that_failed_above_is_not_asked_again_below(time: Time) -> None:
    """The reader would wait for the same time-out twice."""
    qdrant = Breaker("qdrant", time)
    ladder = Ladder(
        "the search",
        [
            Rung("hybrid", fails(TimedOut("qdrant", "search", "no answer")), (qdrant,)),
            Rung("sparse", fails(AssertionError("asked in vain")), (qdrant,)),
            Rung("fulltext", gives("found")),
        ],
    )
    held = ladder.hold(Deadline.after(10, time))
    assert (held.rung, held.reasons) == ("fulltext", ("qdrant: timed_out",))


def test_another_service_that_failed_above_keeps_no_rung_out(time: Time) -> None:
    """Without the embedding service the reader would lose Qdrant too."""
    qdrant = Breaker("qdrant", time)
    ladder = Ladder(
        "the search",
        [
            Rung("hybrid", fails(Unreachable("gemini", "embed", "refused")), (qdrant,)),
            Rung("sparse", gives("found"), (qdrant,)),
        ],
    )
    assert ladder.hold(Deadline.after(10, time)).rung == "sparse"


def test_a_refusal_of_what_was_sent_keeps_no_rung_out(time: Time) -> None:
    """A vector of the wrong size would cost the search by words, which needs no vector."""
    qdrant = Breaker("qdrant", time)
    ladder = Ladder(
        "the search",
        [
            Rung("hybrid", fails(Rejected("qdrant", "search", "wrong size")), (qdrant,)),
            Rung("sparse", gives("found"), (qdrant,)),
        ],
    )
    assert ladder.hold(Deadline.after(10, time)).reasons == ("qdrant: rejected",)


def test_a_rung_behind_an_open_breaker_is_skipped(time: Time) -> None:
    """An embedding would be paid for and waited for, although the search cannot take place."""
    qdrant = Breaker("qdrant", time)
    for _ in range(3):
        with pytest.raises(TimedOut):
            qdrant.call(lambda: fails(TimedOut("qdrant", "search", "no answer"))(Deadline.after(1, time)))
    ladder = Ladder(
        "the search",
        [
            Rung("hybrid", fails(AssertionError("asked")), (qdrant,)),
            Rung("sparse", fails(AssertionError("asked")), (qdrant,)),
            Rung("fulltext", gives("found")),
        ],
    )
    held = ladder.hold(Deadline.after(10, time))
    assert (held.rung, held.reasons) == ("fulltext", ("qdrant: open",))


def test_time_is_kept_back_for_the_rungs_below(time: Time) -> None:
    """A service that never answers would use up the time of the ones that would."""
    given: list[float] = []

    def uses_all(service: str) -> Callable[[Deadline], str]:
        def climb(limit: Deadline) -> str:
            given.append(limit.remaining())
            time.now += limit.remaining()
            raise TimedOut(service, "search", "no answer")

        return climb

    rungs = [Rung(name, uses_all(name)) for name in ("a", "b", "c")]
    ladder = Ladder("the search", [*rungs, Rung("last", gives("found"))], share=0.5, reserve_seconds=1.0)
    assert ladder.hold(Deadline.after(20, time)).rung == "last"
    assert given == [10.0, 5.0, 2.5]
    given.clear()
    assert ladder.hold(Deadline.after(2, time)).rung == "last"
    assert given == [0.5, 0.5, 0.5]


def test_a_rung_takes_no_more_than_its_most(time: Time) -> None:
    """Twenty seconds of patience would mean ten for the first rung."""
    given: list[float] = []

    def note(limit: Deadline) -> str:
        given.append(limit.remaining())
        return "found"

    Ladder("the search", [Rung("a", note, most_seconds=3), Rung("b", note)]).hold(Deadline.after(20, time))
    assert given == [3.0]


def test_nothing_holds(time: Time) -> None:
    """The reader would get a stack trace instead of what was tried and when to come back."""
    ladder = Ladder("the search", [Rung("a", fails(Missing("qdrant", "find", "nothing there")))])
    with pytest.raises(NoRungHeld, match="the search failed: qdrant: missing") as caught:
        ladder.hold(Deadline.after(1, time))
    assert caught.value.status == 503
    assert [type(error) for error in caught.value.causes] == [Missing]
    with pytest.raises(NoRungHeld, match="a: deadline_exceeded"):
        ladder.hold(Deadline.after(0, time))


def test_a_mistake_of_ours_is_not_swallowed(time: Time) -> None:
    """A bug would hide behind degraded answers for months."""
    ladder = Ladder("the search", [Rung("a", fails(KeyError("bug"))), Rung("b", gives("found"))])
    with pytest.raises(KeyError):
        ladder.hold(Deadline.after(1, time))
