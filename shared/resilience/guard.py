"""How one outside service is called: through its breaker, and again within its budget."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from shared.errors import DeadlineExceeded
from shared.resilience.breaker import Breaker
from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.retry import Patience, Sleep, retry

T = TypeVar("T")
ONCE_MORE = Patience(tries=2)


class Guard:
    """One for each service and instance, shared by all its callers."""

    def __init__(
        self,
        breaker: Breaker,
        budget: RetryBudget,
        jitter: random.Random,
        *,
        patience: Patience = ONCE_MORE,
        sleep: Sleep = time.sleep,
    ) -> None:
        self.breaker = breaker
        self._budget = budget
        self._jitter = jitter
        self._patience = patience
        self._sleep = sleep

    @classmethod
    def of(cls, service: str, clock: Clock, jitter: random.Random) -> Guard:
        """A guard with the usual numbers."""
        return cls(Breaker(service, clock), RetryBudget(clock), jitter)

    def call(self, attempt: Callable[[Deadline], T], deadline: Deadline) -> T:
        """The result of ``attempt``.

        Raises what it raises, :class:`~shared.errors.Open`, or ``DeadlineExceeded`` before asking: a
        time-out for want of time says nothing about the service.
        """

        def once(limit: Deadline) -> T:
            if limit.expired():
                raise DeadlineExceeded(f"No time left for {self.breaker.service}.", hint="Ask again.")
            return self.breaker.call(lambda: attempt(limit))

        return retry(
            once, deadline, self._budget, jitter=self._jitter, patience=self._patience, sleep=self._sleep
        )
