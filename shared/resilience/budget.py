"""How many retries a struggling service may be sent."""

from __future__ import annotations

import threading

from shared.resilience.deadline import Clock


class RetryBudget:
    """A bucket of tokens, one taken by each retry; one budget for each service, shared by all threads.

    Every first try puts in ``ratio`` of a token and every second ``per_second``, up to ``most``. While a
    service is down, retries so add about ``ratio`` to its load instead of multiplying it by the number of
    tries (the idea of Finagle's RetryBudget).
    """

    def __init__(
        self, clock: Clock, *, ratio: float = 0.1, per_second: float = 0.2, most: float = 10.0
    ) -> None:
        self._clock = clock
        self._ratio = ratio
        self._per_second = per_second
        self._most = most
        self._tokens = most
        self._filled_at = clock()
        self._guard = threading.Lock()

    def deposit(self) -> None:
        """Note a first try."""
        with self._guard:
            self._fill(self._ratio)

    def withdraw(self) -> bool:
        """Whether one retry may be made; takes its token."""
        with self._guard:
            self._fill(0.0)
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def _fill(self, extra: float) -> None:
        now = self._clock()
        earned = (now - self._filled_at) * self._per_second
        self._tokens = min(self._most, self._tokens + earned + extra)
        self._filled_at = now
