"""Is a candidate as good as stable? A pure function of what was seen of both.

A candidate is compared with stable, seen at the same time, never with a fixed line: when Gemini is down, both
answer worse, and neither is blamed. A difference counts when it is both too large to accept and too unlikely
to be chance. Readers' requests and questions of our own are judged apart, since they are different questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from shared.delivery.chance import lost_more, more_often
from shared.delivery.observations import Asked, Observation, Pair
from shared.ports import Readers

NO_READERS = "no readers were seen in this step: only our own questions were judged"
Outcome = Literal["healthy", "unhealthy", "inconclusive"]
_HALF = 0.5
_P95 = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What is accepted, and what is taken for chance.

    ``error_rate`` is the largest accepted difference of the shares of failed requests. ``slow_factor`` times
    stable's 95th percentile, at least ``slow_floor_seconds``, is slow; a ``slow_share`` more of slow answers
    is accepted. ``wrong_share`` more of wrong answers is accepted, and ``refused_share`` more of refused
    readers: a lot, since most of these are the readers' own fault. ``chance`` is the largest probability of a
    difference that is still called one. ``pairs`` are the fewest questions that a verdict stands on.
    """

    error_rate: float = 0.01
    slow_factor: float = 1.5
    slow_floor_seconds: float = 0.5
    slow_share: float = 0.05
    wrong_share: float = 0.05
    refused_share: float = 0.2
    chance: float = 0.01
    pairs: int = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure: ``worse``, ``same`` (not worse, as far as can be told), or ``unknown``; in words."""

    measure: str
    outcome: Literal["worse", "same", "unknown"]
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``unhealthy`` when any measure is worse, ``inconclusive`` when one that is needed could not be told."""

    outcome: Outcome
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The words behind the outcome: what is worse, or what is unknown, or everything."""
        wanted = {"unhealthy": "worse", "inconclusive": "unknown", "healthy": "same"}[self.outcome]
        return tuple(one.words for one in self.findings if one.outcome == wanted)


@dataclass(frozen=True, slots=True)
class Share:
    """So many events among so many cases."""

    events: int
    of: int

    def exceeds(self, other: Share, accepted: float, chance: float) -> bool:
        """Whether events are more frequent than in ``other`` by more than is accepted, and not by chance."""
        if not self.of or not other.of or self.events / self.of - other.events / other.of <= accepted:
            return False
        return more_often(self.events, self.of, other.events, other.of) < chance


def judge(seen: Observation, criteria: Criteria = Criteria()) -> Verdict:
    """The verdict on a candidate."""
    findings = tuple(_findings(seen, criteria))
    outcomes = {one.outcome for one in findings}
    if "worse" in outcomes:
        return Verdict("unhealthy", findings)
    return Verdict("inconclusive" if "unknown" in outcomes else "healthy", findings)


def _findings(seen: Observation, criteria: Criteria) -> Iterator[Finding]:
    pairs = tuple(pair for pair in seen.pairs if pair.counts)
    yield _enough(pairs, criteria)
    if pairs:
        yield _failures(pairs, criteria)
        yield _latency(pairs, criteria)
        yield from _answers(pairs, criteria)
    if seen.unmeasured:
        yield Finding("readers", "unknown", f"readers' requests could not be measured: {seen.unmeasured}")
    elif seen.with_readers and not seen.candidate.requests:
        yield Finding("readers", "same", NO_READERS)
    if seen.candidate.requests:
        yield from _readers(seen, criteria, outage=_outage(pairs))


def _enough(pairs: tuple[Pair, ...], criteria: Criteria) -> Finding:
    words = f"{len(pairs)} questions asked of both"
    if len(pairs) >= criteria.pairs:
        return Finding("questions", "same", words)
    return Finding("questions", "unknown", f"only {words}; {criteria.pairs} are needed")


# ------------------------------------------------------------ questions of ours


def _failures(pairs: tuple[Pair, ...], criteria: Criteria) -> Finding:
    failed, failed_stable = _count(pairs, lambda asked: asked.failed)
    number = len(pairs)
    words = f"{failed} of {number} failed{_statuses(pairs)} ({failed_stable} on stable)"
    if Share(failed, number).exceeds(Share(failed_stable, number), criteria.error_rate, criteria.chance):
        return Finding("errors", "worse", words)
    both = sum(pair.candidate.failed and pair.stable.failed for pair in pairs)
    return Finding("errors", "unknown" if both > _HALF * number else "same", words)


def _statuses(pairs: tuple[Pair, ...]) -> str:
    """What the candidate answered instead; empty where it did not fail."""
    seen = sorted({pair.candidate.status for pair in pairs if pair.candidate.failed})
    return f" with {', '.join(str(status or 'no answer') for status in seen)}" if seen else ""


def _latency(pairs: tuple[Pair, ...], criteria: Criteria) -> Finding:
    answered = [pair for pair in pairs if not pair.candidate.failed and not pair.stable.failed]
    usual = _percentile(sorted(pair.stable.seconds for pair in answered))
    limit = max(criteria.slow_floor_seconds, criteria.slow_factor * usual)
    slow, slow_stable = _count(answered, lambda asked: asked.seconds > limit)
    own = _percentile(sorted(pair.candidate.seconds for pair in answered))
    words = f"p95 {own:.2f} s ({usual:.2f} s on stable)"
    if slow:
        words += f", {slow} of {len(answered)} took longer than {limit:.2f} s"
    own_share, others = Share(slow, len(answered)), Share(slow_stable, len(answered))
    worse = own_share.exceeds(others, criteria.slow_share, criteria.chance)
    return Finding("latency", "worse" if worse else "same", words)


def _answers(pairs: tuple[Pair, ...], criteria: Criteria) -> Iterator[Finding]:
    """The answers themselves, question by question, where both gave one."""
    failed, _ = _count(pairs, lambda asked: asked.failed)
    mends = failed < _HALF * len(pairs)
    pairs = tuple(pair for pair in pairs if pair.candidate.answered and pair.stable.answered)
    if not pairs:
        words = "nothing was answered by both: answers were not compared"
        yield Finding("answers", "same" if mends else "unknown", words)
        return
    known = tuple(pair for pair in pairs if pair.candidate.right is not None)
    if known:
        words = "answers to golden questions wrong"
        yield _lost("answers", words, known, criteria, lambda asked: asked.right is True)
    yield _lost("citations", "answers without a citation", pairs, criteria, lambda asked: asked.cited)
    found = _lost("degraded", "answers degraded", pairs, criteria, lambda asked: not asked.degraded)
    both = [pair for pair in pairs if pair.candidate.degraded and pair.stable.degraded]
    if found.outcome == "same" and len(both) > _HALF * len(pairs):
        reasons = sorted({reason for pair in both for reason in pair.stable.degraded})
        words = f"stable answers degraded, too ({', '.join(reasons)}): what that hides was not measured"
        found = Finding("degraded", "unknown", words)
    yield found


def _lost(
    measure: str, what: str, pairs: tuple[Pair, ...], criteria: Criteria, good: Callable[[Asked], bool]
) -> Finding:
    lost = sum(good(pair.stable) and not good(pair.candidate) for pair in pairs)
    won = sum(good(pair.candidate) and not good(pair.stable) for pair in pairs)
    bad, bad_stable = _count(pairs, lambda asked: not good(asked))
    words = f"{bad} of {len(pairs)} {what} ({bad_stable} on stable)"
    worse = lost - won > criteria.wrong_share * len(pairs) and lost_more(lost, won) < criteria.chance
    return Finding(measure, "worse" if worse else "same", words)


def _count(pairs: Iterable[Pair], holds: Callable[[Asked], bool]) -> tuple[int, int]:
    every = tuple(pairs)
    return sum(holds(pair.candidate) for pair in every), sum(holds(pair.stable) for pair in every)


def _outage(pairs: tuple[Pair, ...]) -> bool:
    """Whether stable, too, is not itself just now."""
    ill = sum(pair.stable.failed or bool(pair.stable.degraded) for pair in pairs)
    return ill > _HALF * len(pairs)


# ------------------------------------------------------------ readers


def _readers(seen: Observation, criteria: Criteria, *, outage: bool) -> Iterator[Finding]:
    own, stable = seen.candidate, seen.stable

    def found(measure: str, words: str, events: Callable[[Readers], Share], accepted: float) -> Finding:
        mine, others = events(own), events(stable)
        words = f"{mine.events} {words} ({others.events} of {stable.requests} on stable)"
        worse = mine.exceeds(others, accepted, criteria.chance)
        return _reader_finding(measure, words, seen, outage=outage, worse=worse)

    words = f"of {own.requests} readers failed"
    yield found("readers' errors", words, lambda one: Share(one.errors, one.requests), criteria.error_rate)
    if own.refused:
        words = f"of {own.requests} readers were refused"
        yield found(
            "readers' refusals", words, lambda one: Share(one.refused, one.requests), criteria.refused_share
        )
    limit = max(criteria.slow_floor_seconds, criteria.slow_factor * stable.percentile(_P95))
    words = f"of them waited longer than {limit:.2f} s"
    yield found(
        "readers' latency", words, lambda one: Share(one.slower_than(limit), _timed(one)), criteria.slow_share
    )


def _reader_finding(measure: str, words: str, seen: Observation, *, outage: bool, worse: bool) -> Finding:
    if worse and outage and not seen.same_time:
        return Finding(measure, "unknown", f"{words} earlier, and stable is not itself now either")
    return Finding(measure, "worse" if worse else "same", words)


def _timed(readers: Readers) -> int:
    return sum(count for _, count in readers.seconds)


def _percentile(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(_P95 * len(ordered)))] if ordered else 0.0
