"""The time a request has, and how it is shared among its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import DeadlineExceeded

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in monotonic time that a piece of work must not outlast.

    Every outside call takes one and derives its time-out from :meth:`remaining`.
    """

    at: float
    clock: Clock = field(default=time.monotonic, repr=False, compare=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """A deadline ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    def expired(self) -> bool:
        return self.clock() >= self.at

    def within(self, seconds: float) -> Deadline:
        """The earlier of this deadline and ``seconds`` from now: a step's share of the whole."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)

    def timeout(self, most: float, *, attempted: str) -> float:
        """Seconds that a call may take: what is left, at most ``most``.

        Raises :class:`DeadlineExceeded`, naming ``attempted``, when nothing is left.
        """
        left = self.remaining()
        if left <= 0:
            raise DeadlineExceeded(
                f"No time left for {attempted}.", hint="Ask again, or raise request_deadline_seconds."
            )
        return min(left, most)
