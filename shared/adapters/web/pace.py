"""How fast a site is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from shared.adapters.web.connections import FETCH, SERVICE
from shared.errors import TimedOut
from shared.resilience.deadline import Clock, Deadline


class Pace:
    """At most ``per_second`` requests a second, evenly; shared by all threads that ask one site."""

    def __init__(
        self, per_second: float, *, clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._gap = 1.0 / per_second
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        self._guard = threading.Lock()

    def wait(self, deadline: Deadline) -> None:
        """Wait for this request's turn.

        Raises :class:`~shared.errors.TimedOut` when the turn comes after the deadline.
        """
        with self._guard:
            now = self._clock()
            turn = max(now, self._free_at)
            if turn - now > deadline.remaining():
                raise TimedOut(SERVICE, FETCH, f"the site asked for a pause of {turn - now:.0f} s")
            self._free_at = turn + self._gap
        if turn > now:
            self._sleep(turn - now)

    def hold(self, seconds: float) -> None:
        """Nobody asks for so many seconds: the site wants a pause."""
        with self._guard:
            self._free_at = max(self._free_at, self._clock() + seconds)
