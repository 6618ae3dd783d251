"""Time and patience for the calls of a long run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.retry import Patience, Sleep, retry

T = TypeVar("T")
STEP_SECONDS = 120.0
"""Longest time for one call to a service."""
PATIENT_SECONDS = 600.0
"""Longest time for one call with all its retries: quotas are by the minute."""
_PATIENCE = Patience(tries=8, first_pause=0.5, longest_pause=30.0)


class Steps:
    """One for each run: a deadline for each call, and retries for those that write much.

    A run has nobody waiting in front of it, so it rather waits out an overload than fails.
    """

    def __init__(self, clock: Clock, *, sleep: Sleep = time.sleep, seed: int | None = None) -> None:
        self._clock = clock
        self._sleep = sleep
        self._jitter = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._budget = RetryBudget(clock, most=100.0)

    def one(self) -> Deadline:
        """The deadline of a call that starts now."""
        return Deadline.after(STEP_SECONDS, self._clock)

    def within(self, seconds: float) -> Deadline:
        """The deadline of work that takes longer than a call."""
        return Deadline.after(seconds, self._clock)

    def patiently(self, call: Callable[[Deadline], T]) -> T:
        """The result of ``call``, which may be made again: tried again after errors that may pass."""
        limit = Deadline.after(PATIENT_SECONDS, self._clock)
        return retry(
            lambda whole: call(whole.within(STEP_SECONDS)),
            limit,
            self._budget,
            jitter=self._jitter,
            patience=_PATIENCE,
            sleep=self._sleep,
        )
