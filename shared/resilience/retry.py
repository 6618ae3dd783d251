"""Trying again: within the deadline, within the budget, and only what may succeed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from shared.errors import LecternError
from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Deadline

T = TypeVar("T")
Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """At most ``tries``; before try n + 1 a pause between nothing and ``first_pause * 2**(n-1)`` seconds
    (full jitter), at most ``longest_pause``.
    """

    tries: int = 3
    first_pause: float = 0.1
    longest_pause: float = 2.0


def retry(
    call: Callable[[Deadline], T],
    deadline: Deadline,
    budget: RetryBudget,
    *,
    jitter: random.Random,
    patience: Patience = Patience(),
    sleep: Sleep = time.sleep,
) -> T:
    """The result of ``call``, tried again after errors whose ``retryable`` says that it may help.

    A pause that the service asked for (``retry_after``) is kept when it fits in the deadline; when no
    pause fits, or the budget is spent, the error is raised at once.
    """

    def pause(state: tenacity.RetryCallState) -> float:
        limit = patience.first_pause * 2.0 ** (state.attempt_number - 1)
        asked = getattr(_error(state), "retry_after", None) or 0.0
        return float(asked) + jitter.uniform(0.0, min(patience.longest_pause, limit))

    def stop(state: tenacity.RetryCallState) -> bool:
        # stop_before_delay would measure with a clock of its own; the deadline has one.
        tired = state.attempt_number >= patience.tries or state.upcoming_sleep >= deadline.remaining()
        return tired or not budget.withdraw()

    budget.deposit()
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_help), wait=pause, stop=stop, sleep=sleep, reraise=True
    )
    return attempts(call, deadline)


def _may_help(error: BaseException) -> bool:
    return isinstance(error, LecternError) and bool(getattr(error, "retryable", False))


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
