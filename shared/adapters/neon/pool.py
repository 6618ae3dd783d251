"""A few connections, each used by one thread at a time, and the only two ways to run SQL on them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import tenacity

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.adapters.neon.wire import Rows, Wire
from shared.errors import DependencyError, Overloaded, Rejected, TimedOut, Unreachable
from shared.resilience.deadline import Clock, Deadline

IDLE_SECONDS = 120.0
"""Neon suspends after five minutes and drops what is open: connections are retired long before."""

PING_AFTER_SECONDS = 20.0
"""An idle connection younger than this is trusted when its socket is quiet."""

_PING_SECONDS = 2.0
_CONNECT_TRIES = 3
_LONGEST_PAUSE = 1.0
_FIRST_PAUSE = 0.1


class Transaction:
    """SQL between BEGIN and COMMIT. The connection itself is never handed out."""

    def __init__(self, wire: Wire, deadline: Deadline, operation: str) -> None:
        self._wire = wire
        self._deadline = deadline
        self._operation = operation
        self.failed = False

    def query(self, sql: str, **params: Any) -> Rows:
        """Rows of one statement, whose ``:name`` placeholders take ``params``."""
        return self._tracked(lambda: self._wire.query(sql, params, self._deadline, self._operation))

    def script(self, sql: str) -> None:
        """Run statements without parameters: a migration."""
        self._tracked(lambda: self._wire.script(sql, self._deadline, self._operation))

    def _tracked(self, call: Callable[[], Rows]) -> Rows:
        if self.failed:
            raise Rejected(SERVICE, self._operation, "a statement of this transaction failed before")
        try:
            return call()
        except BaseException:
            self.failed = True
            raise


@dataclass(frozen=True, slots=True)
class _Idle:
    wire: Wire
    since: float


class Pool:
    """At most ``size`` connections to one database, made when needed.

    A connection that was idle for :data:`IDLE_SECONDS` is closed, one that was idle for a while is
    asked before it is used, a broken one is thrown away. Connecting (and nothing else) is tried
    three times within the deadline, with jitter: a suspended database refuses while it wakes up.
    """

    def __init__(
        self,
        url: DatabaseUrl | str,
        *,
        size: int = 4,
        clock: Clock = time.monotonic,
        jitter: random.Random | None = None,
    ) -> None:
        self.url = parse(url) if isinstance(url, str) else url
        self._clock = clock
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self._free = threading.Semaphore(size)
        self._size = size
        self._guard = threading.Lock()
        self._idle: list[_Idle] = []
        self._owner = os.getpid()

    @contextmanager
    def transaction(self, deadline: Deadline, operation: str) -> Iterator[Transaction]:
        """BEGIN … COMMIT, or ROLLBACK when the block raises; no statement outlasts the deadline.

        ``operation`` is the verb for messages. Whether a COMMIT that was cut off took effect is
        unknown, so what runs here must be safe to run again.
        """
        with self._wire(deadline, operation) as wire:
            milliseconds = max(1, int(deadline.remaining() * 950))
            wire.script(f"BEGIN; SET LOCAL statement_timeout = {milliseconds}", deadline, operation)
            transaction = Transaction(wire, deadline, operation)
            try:
                yield transaction
            except BaseException:
                _roll_back(wire)
                raise
            if transaction.failed:
                _roll_back(wire)
                raise Rejected(SERVICE, operation, "a statement failed, nothing was committed")
            wire.script("COMMIT", deadline, operation)

    def statement(self, sql: str, params: Mapping[str, Any], deadline: Deadline, operation: str) -> Rows:
        """Rows of one statement, atomic by itself, in one round trip."""
        with self._wire(deadline, operation) as wire:
            return wire.query(sql, params, deadline, operation)

    def close(self) -> None:
        """Close what is idle; connections in use close when they come back."""
        with self._guard:
            idle, self._idle = self._idle, []
        for entry in idle:
            entry.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _wire(self, deadline: Deadline, operation: str) -> Iterator[Wire]:
        if deadline.expired():
            raise TimedOut(SERVICE, operation, f"no time left ({self.url.place})")
        if not self._free.acquire(timeout=deadline.remaining()):
            raise Overloaded(
                SERVICE, operation, f"all {self._size} connections are in use ({self.url.place})"
            )
        try:
            wire = self._take(deadline) or self._connect(deadline)
            try:
                yield wire
            finally:
                self._give_back(wire)
        finally:
            self._free.release()

    def _take(self, deadline: Deadline) -> Wire | None:
        self._forget_parents()
        while True:
            with self._guard:
                if not self._idle:
                    return None
                entry = self._idle.pop()
            if self._fit(entry, deadline):
                return entry.wire
            entry.wire.close()

    def _fit(self, entry: _Idle, deadline: Deadline) -> bool:
        age = self._clock() - entry.since
        if age >= IDLE_SECONDS or entry.wire.is_stale():
            return False
        if age < PING_AFTER_SECONDS:
            return True
        try:
            entry.wire.script("SELECT 1", deadline.within(_PING_SECONDS), "ping")
        except DependencyError:
            return False
        return True

    def _give_back(self, wire: Wire) -> None:
        if not wire.usable:
            wire.close()
            return
        now = self._clock()
        with self._guard:
            old = [entry for entry in self._idle if now - entry.since >= IDLE_SECONDS]
            self._idle = [entry for entry in self._idle if entry not in old]
            self._idle.append(_Idle(wire, now))
        for entry in old:
            entry.wire.close()

    def _connect(self, deadline: Deadline) -> Wire:
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Unreachable, TimedOut, Overloaded)),
            stop=tenacity.stop_after_attempt(_CONNECT_TRIES)
            | tenacity.stop_before_delay(deadline.remaining()),
            wait=self._pause,
            reraise=True,
        )
        return attempts(Wire, self.url, deadline)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        """Full jitter: anything from nothing to a limit that doubles."""
        return self._jitter.uniform(0.0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**state.attempt_number))

    def _forget_parents(self) -> None:
        """After a fork the connections belong to the parent: using, or even ending, them harms it."""
        if self._owner == os.getpid():
            return
        with self._guard:
            idle, self._idle, self._owner = self._idle, [], os.getpid()
        for entry in idle:
            entry.wire.abandon()


def _roll_back(wire: Wire) -> None:
    if not wire.usable:
        return
    try:
        wire.script("ROLLBACK", Deadline.after(_PING_SECONDS), "roll back")
    except DependencyError:
        wire.usable = False
