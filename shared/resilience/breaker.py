"""A circuit breaker: a service that keeps failing is left alone for a while, then asked once.

State is per instance. The lock is held around state only, never during a call.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from shared.errors import AccessDenied, DependencyError, Open
from shared.resilience.deadline import Clock

T = TypeVar("T")
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
LONGEST_REST = 60.0


def is_failure(error: BaseException) -> bool:
    """Whether an error says that the service is unwell, rather than that it refused this one request."""
    return isinstance(error, AccessDenied) or (isinstance(error, DependencyError) and error.retryable)


class Breaker:
    """Opens when at least ``least`` of the last ``window`` calls failed and they are half of those or more;
    after ``rest_seconds`` (longer when the service asked for it) lets exactly one call through, which
    decides whether it closes again. Meanwhile calls raise :class:`~shared.errors.Open`.
    """

    def __init__(
        self, service: str, clock: Clock, *, least: int = 3, window: int = 10, rest_seconds: float = 10.0
    ) -> None:
        self.service = service
        self._clock = clock
        self._least = least
        self._rest = rest_seconds
        self._guard = threading.Lock()
        self._failed: deque[bool] = deque(maxlen=window)
        self._closed = True
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half-open``, for health and logs."""
        with self._guard:
            if self._closed:
                return CLOSED
            return HALF_OPEN if self._probing or self._clock() >= self._until else OPEN

    def admits(self) -> bool:
        """Whether a call would be let through now."""
        with self._guard:
            return self._closed or (not self._probing and self._clock() >= self._until)

    def call(self, attempt: Callable[[], T]) -> T:
        """The result of ``attempt``, or :class:`~shared.errors.Open` without asking."""
        with self.watch():
            return attempt()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """The same for a block, such as the reading of a stream to its end."""
        probe = self._admit()
        try:
            yield
        except DependencyError as error:
            self._note(error if is_failure(error) else None, probe)
            raise
        except BaseException:
            self._leave(probe)  # says nothing about the service: a reader who left, a mistake of ours
            raise
        self._note(None, probe)

    def _admit(self) -> bool:
        """Whether the call is the probe."""
        with self._guard:
            if self._closed:
                return False
            left = self._until - self._clock()
            if self._probing or left > 0:
                raise Open(
                    self.service,
                    "call",
                    "it failed too often just now and is left alone",
                    hint="It is asked again by itself.",
                    retry_after=max(left, 1.0),
                )
            self._probing = True
            return True

    def _note(self, failure: DependencyError | None, probe: bool) -> None:
        with self._guard:
            if probe:
                self._probing = False
                self._closed = failure is None
                self._failed.clear()
            elif not self._closed:
                return  # began before it opened: the probe decides
            else:
                self._failed.append(failure is not None)
            failures = sum(self._failed)
            if failure and (probe or (failures >= self._least and 2 * failures >= len(self._failed))):
                self._closed = False
                asked = min(failure.retry_after or 0.0, LONGEST_REST)
                self._until = self._clock() + max(self._rest, asked)

    def _leave(self, probe: bool) -> None:
        if probe:
            with self._guard:
                self._probing = False
