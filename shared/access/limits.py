"""How often one caller may ask: a token bucket, shared through Postgres, and on this instance without it.

The arithmetic is that of the statement in :mod:`shared.adapters.neon.opening`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from shared.ports import Allowance

T = TypeVar("T")
_MOST_CALLERS = 20_000
_SECONDS_OF_MINUTE = 60.0


def per_minute(requests: int) -> Allowance:
    """So many requests at once, and so many a minute from then on."""
    return Allowance(float(max(1, requests)), max(1, requests) / _SECONDS_OF_MINUTE)


@dataclass(frozen=True, slots=True)
class Bucket:
    """``tokens`` as of ``at``, in monotonic seconds."""

    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The bucket afterwards, whether the request may go on, and if not after how many seconds."""

    bucket: Bucket
    granted: bool
    retry_after: float = 0.0


def take(bucket: Bucket | None, allowance: Allowance, now: float) -> Taken:
    """Take one request out of a bucket (None: a full one); a refused request takes nothing."""
    if bucket is None:
        bucket = Bucket(allowance.capacity, now)
    refilled = bucket.tokens + allowance.per_second * max(0.0, now - bucket.at)
    tokens = min(allowance.capacity, refilled)
    at = max(bucket.at, now)
    if tokens >= 1:
        return Taken(Bucket(tokens - 1, at), granted=True)
    return Taken(Bucket(tokens, at), granted=False, retry_after=(1 - tokens) / allowance.per_second)


class InstanceLimits:
    """The buckets of this instance, for when the shared ones cannot be asked.

    It also remembers whom the database refused, so that a flood does not cost a round trip each. At most
    ``most`` callers are known; the one that was silent longest is forgotten first.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST_CALLERS) -> None:
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, allowance: Allowance) -> Taken:
        """Take one request of a caller."""
        with self._lock:
            taken = take(self._buckets.get(caller), allowance, self._clock())
            _put(self._buckets, caller, taken.bucket, self._most)
        return taken

    def refuse(self, caller: str, seconds: float) -> None:
        """Remember that the caller may not ask for so long."""
        with self._lock:
            _put(self._refused, caller, self._clock() + seconds, self._most)

    def refused_for(self, caller: str) -> float:
        """Seconds for which the caller is known to be refused; 0 for others."""
        with self._lock:
            until = self._refused.get(caller, 0.0)
            left = until - self._clock()
            if left <= 0:
                self._refused.pop(caller, None)
        return max(0.0, left)


def _put(kept: OrderedDict[str, T], key: str, value: T, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
