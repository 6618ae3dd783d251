"""A request at the door: who it is, whether it may ask now, and whether its answer may cost anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shared.access.limits import InstanceLimits
from shared.access.modes import Caller, Gate
from shared.access.spend import SpendMeter
from shared.errors import DeadlineExceeded, DependencyError, RequestError
from shared.ports import Memory, Opening
from shared.resilience.deadline import Deadline

OPENING_SECONDS = 1.5
"""Longest time that the database's round trip may take before the question goes on without it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What the database knew, or None with the reason why it was not asked or did not answer."""

    opening: Opening | None
    degraded: str = ""


class Admission:
    """``limits`` are this instance's buckets, for when ``memory`` cannot be asked; ``meter`` is this
    instance's view of the spend.
    """

    def __init__(self, gate: Gate, memory: Memory, limits: InstanceLimits, meter: SpendMeter) -> None:
        self._gate = gate
        self._memory = memory
        self._limits = limits
        self.meter = meter

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:
        """The caller. Raises what :class:`~shared.access.modes.Gate` raises, and 429 for a caller that was
        refused a moment ago.
        """
        caller = self._gate.admit(headers, remote, deadline)
        wait = self._limits.refused_for(caller.bucket)
        if wait > 0:
            raise too_many(wait)
        return caller

    def open(
        self,
        caller: Caller,
        deadline: Deadline,
        *,
        cache_key: str,
        conversation_id: str,
        database: bool = True,
    ) -> Opened:
        """Take one question of the caller's limit and read what the database knows, in one round trip.

        ``database`` False spares the round trip, because its breaker is open. Raises
        :class:`~shared.errors.RequestError` 429 when the limit is used up.
        """
        reason = "open"
        if database:
            try:
                return self._opened(caller, deadline, cache_key, conversation_id)
            except (DependencyError, DeadlineExceeded) as error:
                reason = error.code
        self.take_here(caller)
        return Opened(None, f"neon: {reason} (limits, history and cache are this instance's own)")

    def take_here(self, caller: Caller) -> None:
        """Take one request of this instance's own bucket; raises 429 when it is empty."""
        taken = self._limits.take(caller.bucket, caller.allowance)
        if not taken.granted:
            raise too_many(taken.retry_after)

    def _opened(self, caller: Caller, deadline: Deadline, cache_key: str, conversation_id: str) -> Opened:
        opening = self._memory.open_question(
            deadline.within(OPENING_SECONDS),
            caller=caller.bucket,
            allowance=caller.allowance,
            cache_key=cache_key,
            conversation_id=conversation_id,
        )
        self.meter.note(opening.spent_today, opening.spent_this_month)
        if not opening.granted:
            self._limits.refuse(caller.bucket, opening.retry_after)
            raise too_many(opening.retry_after)
        return Opened(opening)


def too_many(seconds: float) -> RequestError:
    """A 429 that says when to come back, in whole seconds rounded up."""
    whole = max(1, math.ceil(seconds))
    return RequestError(
        429,
        "too_many_requests",
        "You have asked as many questions as one visitor may for now.",
        hint=f"Try again in {whole} s.",
        headers={"Retry-After": str(whole)},
    )
