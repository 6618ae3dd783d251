"""API keys: known by their SHA-256, and known on when Postgres is down."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from shared.errors import DependencyError, RequestError
from shared.ports import ApiKey, ApiKeys
from shared.resilience.deadline import Deadline

PREFIX = "lk_"
FRESH_SECONDS = 60.0
"""How long a revoked key may go on working."""
FLOOR_SECONDS = 5.0
"""Shortest time between two readings of the list, whatever keys callers make up."""
_READ_SECONDS = 2.0
_LONGEST_KEY = 200


def digest(key: str) -> str:
    """What is stored of a key. It holds 256 random bits, so neither salt nor a slow hash adds to it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """The keys that may ask, read as one list and kept in memory.

    A list that is older than :data:`FRESH_SECONDS` is read again; when that fails the kept one serves on. A
    key that is not on it may have been made since, so the list is read for it, but not more often than every
    :data:`FLOOR_SECONDS`. ``clock`` is monotonic seconds.
    """

    def __init__(self, keys: ApiKeys, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._clock = clock
        self._reading = threading.Lock()
        self._known: dict[str, ApiKey] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._failed: DependencyError | None = None

    def find(self, key: str, deadline: Deadline) -> ApiKey:
        """The key's record.

        Raises :class:`~shared.errors.RequestError` 401 for a key that is not on the list, 503 with
        Retry-After for one that cannot be looked up.
        """
        if not key or len(key) > _LONGEST_KEY:
            raise unauthenticated()
        hashed = digest(key)
        if hashed not in self._known or not self._is_fresh():
            self._read(deadline)
        found = self._known.get(hashed)
        if found:
            return found
        if self._failed is not None or self._read_at is None:
            raise _cannot_tell()
        raise unauthenticated()

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self._clock() - self._read_at < FRESH_SECONDS

    def _read(self, deadline: Deadline) -> None:
        # Who knows keys does not wait for the one that reads; who knows none has to.
        wait = 0.0 if self._read_at is not None else min(_READ_SECONDS, deadline.remaining())
        if not self._reading.acquire(timeout=wait):
            return
        try:
            if self._tried_at is None or self._clock() - self._tried_at >= FLOOR_SECONDS:
                self._read_now(deadline)
        finally:
            self._reading.release()

    def _read_now(self, deadline: Deadline) -> None:
        self._tried_at = self._clock()
        try:
            listed = self._keys.all(deadline.within(_READ_SECONDS))
        except DependencyError as error:
            self._failed = error
            return
        self._known = {one.hash: one for one in listed if one.revoked_at is None}
        self._read_at, self._failed = self._clock(), None


def unauthenticated() -> RequestError:
    """A 401 for a caller without a key, or with one that is not known."""
    return RequestError(
        401,
        "unauthenticated",
        "This service answers only callers with an API key.",
        hint="Send the header X-Api-Key; `lectern keys add` makes a key.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _cannot_tell() -> RequestError:
    return RequestError(
        503,
        "unavailable",
        "The API key cannot be looked up just now.",
        hint="Try again; keys that were used before go on working.",
        headers={"Retry-After": str(int(FLOOR_SECONDS))},
    )
