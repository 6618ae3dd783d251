"""Watching a candidate beside stable until there is a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from shared.delivery.desk import Desk
from shared.delivery.observations import Observation, Pair
from shared.delivery.verdict import Criteria, Verdict, judge
from shared.errors import LecternError
from shared.ports import Measurements, Readers
from shared.resilience.deadline import Deadline

ASK_SECONDS = 30.0
"""Longest time for one question to both."""
MEASURE_SECONDS = 10.0
_EARLY = 0.1
"""Before the end of its time a candidate is looked at many times; a difference must be so much less likely to
be chance to end it then.
"""


class Questions(Protocol):
    """Golden questions, or others where there are none, one after the other and round again."""

    def ask(self, candidate_url: str, stable_url: str, deadline: Deadline) -> Pair:
        """Ask both the next question at the same time. Raises nothing: a failure is what is observed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What is watched: addresses and revisions of both, from when (Unix seconds), for how long, with how many
    questions at least, and at which pace after these. ``stable_before``: stable's readers of the stretch
    before, for when it has none any more.
    """

    candidate_url: str
    stable_url: str
    candidate: str
    stable: str
    start: float
    seconds: float
    questions: int
    pause_seconds: float
    stable_before: Readers | None = None
    reads_measurements: bool = True


@dataclass(frozen=True, slots=True)
class Watched:
    """How it ended: the verdict, after how many seconds, and what was seen."""

    verdict: Verdict
    seconds: float
    seen: Observation


class Watch:
    """``chat`` is the service whose readers are measured; ``patience_seconds`` is how much longer than its
    time an inconclusive candidate is watched.
    """

    def __init__(
        self,
        desk: Desk,
        questions: Questions,
        measurements: Measurements,
        criteria: Criteria,
        *,
        patience_seconds: float,
        tend: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._questions = questions
        self._measurements = measurements
        self._criteria = criteria
        self._patience = patience_seconds
        self._tend = tend

    def watch(self, stretch: Stretch) -> Watched:
        """Ask, measure and judge, again and again: unhealthy ends it at once, healthy at the end of its
        time.
        """
        pairs: list[Pair] = []
        for late in self._moments(stretch, pairs):
            pairs.append(self._ask(stretch))
            seen = self._seen(stretch, tuple(pairs))
            elapsed = self._desk.now() - stretch.start
            enough = len(pairs) >= stretch.questions
            over = elapsed >= stretch.seconds and enough
            verdict = self._judged(seen, stretch, self._criteria if over else self._early())
            gone_on_long_enough = late and enough and verdict.outcome == "inconclusive"
            if (
                verdict.outcome == "unhealthy"
                or (over and verdict.outcome == "healthy")
                or gone_on_long_enough
            ):
                return Watched(verdict, round(elapsed, 1), seen)
            self._tend()
        raise AssertionError("moments do not end by themselves")

    def _moments(self, stretch: Stretch, pairs: list[Pair]) -> Iterator[bool]:
        """When to ask: at a steady pace, and whether patience is over."""
        told = self._desk.now()
        while True:
            began = self._desk.now()
            yield began - stretch.start >= stretch.seconds + self._patience
            if self._desk.now() - told >= _TELL_SECONDS:
                told = self._desk.now()
                left = max(0.0, stretch.start + stretch.seconds - told)
                self._desk.say(f"  {len(pairs)} questions asked of both; {left:.0f} s to go")
            self._desk.sleep(max(0.0, _pause(stretch, pairs) - (self._desk.now() - began)))

    def _ask(self, stretch: Stretch) -> Pair:
        return self._questions.ask(stretch.candidate_url, stretch.stable_url, Deadline.after(ASK_SECONDS))

    def _early(self) -> Criteria:
        return replace(self._criteria, chance=self._criteria.chance * _EARLY)

    def _judged(self, seen: Observation, stretch: Stretch, criteria: Criteria) -> Verdict:
        """By all that was seen; where that tells nothing, by the last questions: an outage that is over is
        forgotten.
        """
        verdict = judge(seen, criteria)
        if verdict.outcome != "inconclusive":
            return verdict
        recent = max(stretch.questions, criteria.pairs)
        return judge(replace(seen, pairs=seen.pairs[-recent:]), criteria)

    def _seen(self, stretch: Stretch, pairs: tuple[Pair, ...]) -> Observation:
        if not stretch.reads_measurements:
            return Observation(pairs)
        try:
            found = self._measurements.readers(
                self._desk.fleet.chat,
                (stretch.candidate, stretch.stable),
                stretch.start,
                self._desk.now(),
                Deadline.after(MEASURE_SECONDS),
            )
        except LecternError as error:
            return Observation(pairs, unmeasured=str(error), with_readers=True)
        own, before = found[stretch.candidate], stretch.stable_before
        stable = found[stretch.stable] if before is None else before
        return Observation(pairs, own, stable, same_time=before is None, with_readers=True)


def _pause(stretch: Stretch, pairs: list[Pair]) -> float:
    """The first questions come as fast as both answer, since a candidate that is bad at once should be known
    at once; a visitor's limit allows the burst. Whoever is told to wait does.
    """
    hurries = len(pairs) < stretch.questions and (not pairs or pairs[-1].counts)
    return 0.0 if hurries else stretch.pause_seconds


_TELL_SECONDS = 10.0
