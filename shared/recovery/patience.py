"""Calls of a long piece of work: each with a time of its own, tried again when that may help."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Deadline
from shared.resilience.retry import Patience, Sleep, retry

T = TypeVar("T")
STEP_SECONDS = 60.0
_PATIENCE = Patience(tries=6, first_pause=0.2, longest_pause=10.0)


class Patient:
    """Calls a service within ``deadline``, at most :data:`STEP_SECONDS` each.

    A service that fails every third call is got through; one that is down is given up within a minute.
    A pause that the service asks for is kept.
    """

    def __init__(self, deadline: Deadline, *, jitter: random.Random, sleep: Sleep) -> None:
        self.deadline = deadline
        self._jitter = jitter
        self._sleep = sleep
        self._budget = RetryBudget(deadline.clock, ratio=0.5, most=20.0)

    def __call__(self, call: Callable[[Deadline], T]) -> T:
        """The result of ``call``, which is given its deadline."""
        return retry(
            lambda whole: call(whole.within(STEP_SECONDS)),
            self.deadline,
            self._budget,
            jitter=self._jitter,
            patience=_PATIENCE,
            sleep=self._sleep,
        )

    def step(self) -> Deadline:
        """The deadline of one call that is not tried again."""
        return self.deadline.within(STEP_SECONDS)
