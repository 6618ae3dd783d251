"""What readers' requests looked like, revision by revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Readers:
    """Requests of a stretch of time. ``errors`` were answered 5xx, ``refused`` 4xx but for what
    strangers and the impatient get (404, 405, 429). ``seconds`` holds pairs of an upper bound
    and how many requests took at most that and more than the bound before, empty ones too: a histogram. The
    last bound may be infinite.
    """

    requests: int = 0
    errors: int = 0
    seconds: tuple[tuple[float, int], ...] = ()
    refused: int = 0

    def slower_than(self, limit: float) -> int:
        """Requests that took longer than ``limit``; those of the bucket that holds it are not counted."""
        below = 0.0
        slow = 0
        for bound, count in self.seconds:
            slow += count if below >= limit else 0
            below = bound
        return slow

    def percentile(self, share: float) -> float:
        """The upper bound of the bucket that holds the percentile; 0 for no requests."""
        total = sum(count for _, count in self.seconds)
        seen = 0
        for bound, count in self.seconds:
            seen += count
            if count and seen >= share * total:
                return bound
        return 0.0

    def plus(self, other: Readers) -> Readers:
        """Both stretches together."""
        counts: dict[float, int] = {}
        for bound, count in (*self.seconds, *other.seconds):
            counts[bound] = counts.get(bound, 0) + count
        return Readers(
            self.requests + other.requests,
            self.errors + other.errors,
            tuple(sorted(counts.items())),
            self.refused + other.refused,
        )


class Measurements(Protocol):
    """Cloud Monitoring's view of a service. It comes late: what happened now is there after minutes.

    Errors: ``AccessDenied``, ``Rejected``, ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``,
    ``Garbled``.
    """

    def readers(
        self, service: str, revisions: Sequence[str], start: float, end: float, deadline: Deadline
    ) -> dict[str, Readers]:
        """Requests answered between two times (Unix seconds) by each of the revisions, as far as is known
        yet; a revision that was not asked, or whose data has not come, has ``Readers()``.
        """
        ...
