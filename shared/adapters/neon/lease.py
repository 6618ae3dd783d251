"""The leases of :mod:`shared.ports.leases` in Postgres: a row for each holding, which its holder keeps young,
and which outlives no killed holder.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.pool import Pool, Transaction
from shared.adapters.neon.wire import Rows
from shared.errors import DependencyError, PreconditionFailed
from shared.ports.leases import Kind, Waiting
from shared.resilience.deadline import Deadline

LEASE_SECONDS = 30.0
BEAT_SECONDS = 5.0
PAUSE_SECONDS = 1.0
"""Between two looks while others hold it."""

_CALL_SECONDS = 5.0

# The kind is the first word of a row's name: the release before this one has the row `ingestion`.
# A holding goes together with backups if it is one, and with its own run's other tasks.
_IN_THE_WAY = """
NOT (split_part(name, ' ', 1) = CAST(:kind AS text)
     AND (CAST(:kind AS text) = 'backup' OR holder = CAST(:holder AS text)))
"""
# Two that take at once would not see each other's row. Heartbeats wait for as long as taking takes; whoever
# checks a lease does not.
_ALONE = "LOCK TABLE leases IN SHARE ROW EXCLUSIVE MODE"
# The database's clock alone counts: those of two machines may differ.
_OTHERS = f"""
SELECT split_part(name, ' ', 1), holder, to_char(min(taken_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
FROM leases WHERE expires_at >= clock_timestamp() AND {_IN_THE_WAY}
GROUP BY 1, 2 ORDER BY min(taken_at)
"""  # noqa: S608 - both parts are constants
# Waits for the transaction of whoever still writes under a lease that has run out.
_END_OLD = f"DELETE FROM leases WHERE expires_at < clock_timestamp() AND {_IN_THE_WAY}"  # noqa: S608
_TAKE = """
INSERT INTO leases (name, token, holder, taken_at, expires_at)
VALUES (:name, CAST(:token AS uuid), :holder, clock_timestamp(),
        clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision)))
"""
_BEAT = """
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))
WHERE name = :name AND token = CAST(:token AS uuid) RETURNING token
"""
# Against the end of the lease only: the heartbeat goes on during a long write.
_HELD = "SELECT 1 FROM leases WHERE name = :name AND token = CAST(:token AS uuid) FOR KEY SHARE"
_IS_HELD = """
SELECT EXISTS (SELECT 1 FROM leases
WHERE split_part(name, ' ', 1) = CAST(:kind AS text) AND expires_at >= clock_timestamp())
"""
_RELEASE = "DELETE FROM leases WHERE name = :name AND token = CAST(:token AS uuid)"


class Lease:
    """One holding, with its heartbeat: see :class:`shared.ports.leases.Holding`."""

    def __init__(self, pool: Pool, kind: Kind, holder: str, beat_seconds: float = BEAT_SECONDS) -> None:
        self._pool = pool
        self._kind = kind
        self._holder = holder
        self._beat_seconds = beat_seconds
        self._token = str(uuid.uuid4())
        self._row = {"name": f"{kind} {self._token}", "token": self._token}
        self._released = threading.Event()
        self._beats = threading.Thread(target=self._beat, name=f"{kind}-lease", daemon=True)

    def take(self, deadline: Deadline) -> str:
        """Take it, or tell who is in the way; empty when it is ours."""
        mine = {"kind": self._kind, "holder": self._holder}
        with self._pool.transaction(deadline, f"take the {self._kind} lease") as transaction:
            transaction.script(_ALONE)
            others = transaction.query(_OTHERS, **mine)
            if others:
                return _named(others)
            transaction.query(_END_OLD, **mine)
            transaction.query(_TAKE, **self._row, holder=self._holder, seconds=LEASE_SECONDS)
        self._beats.start()
        return ""

    def check(self, deadline: Deadline) -> None:
        """See :meth:`shared.ports.leases.Holding.check`."""
        with self._pool.transaction(deadline, f"check the {self._kind} lease") as transaction:
            self.check_in(transaction, f"check the {self._kind} lease")

    def check_in(self, transaction: Transaction, operation: str) -> None:
        """Raise PreconditionFailed unless it is still ours, and keep it so until the transaction ends."""
        if not transaction.query(_HELD, **self._row):
            raise PreconditionFailed(
                SERVICE,
                operation,
                f"the {self._kind} lease was lost to another run",
                hint=f"Start the {self._kind} again: what is done is not done twice.",
            )

    def release(self) -> None:
        """Give it back; when the database cannot be reached it expires by itself."""
        self._released.set()
        self._beats.join()
        try:
            self._call(_RELEASE, "release the lease")
        except DependencyError:
            return

    def _beat(self) -> None:
        while not self._released.wait(self._beat_seconds):
            try:
                self._call(_BEAT, f"renew the {self._kind} lease", seconds=LEASE_SECONDS)
            except DependencyError:
                continue  # the next beat is soon, and every write checks that the lease is still ours

    def _call(self, sql: str, operation: str, **more: float) -> None:
        self._pool.statement(sql, {**self._row, **more}, Deadline.after(_CALL_SECONDS), operation)


class NeonLeases:
    """See :class:`shared.ports.leases.Leases`."""

    def __init__(
        self, pool: Pool, *, beat_seconds: float = BEAT_SECONDS, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._pool = pool
        self._beat_seconds = beat_seconds
        self._pause_seconds = pause_seconds

    @contextmanager
    def hold(
        self,
        kind: Kind,
        holder: str,
        deadline: Deadline,
        *,
        wait_seconds: float = 0.0,
        waiting: Waiting = lambda _who: None,
    ) -> Iterator[Lease]:
        lease = Lease(self._pool, kind, holder, self._beat_seconds)
        self._take(lease, kind, deadline, deadline.within(wait_seconds), waiting)
        try:
            yield lease
        finally:
            lease.release()

    def is_held(self, kind: Kind, deadline: Deadline) -> bool:
        rows = self._pool.statement(_IS_HELD, {"kind": kind}, deadline, f"look for the {kind} lease")
        return bool(rows[0][0])

    def _take(self, lease: Lease, kind: Kind, deadline: Deadline, wait: Deadline, waiting: Waiting) -> None:
        told = ""
        while others := lease.take(deadline):
            if wait.expired():
                raise PreconditionFailed(
                    SERVICE,
                    f"take the {kind} lease",
                    others,
                    hint=f"Wait until that has ended; if it was killed, {LEASE_SECONDS:.0f} seconds.",
                )
            if others != told:
                waiting(others)
                told = others
            threading.Event().wait(min(self._pause_seconds, wait.remaining()))


def _named(others: Rows) -> str:
    return "; ".join(f"{kind} by {holder} has held it since {since} UTC" for kind, holder, since in others)


def end_leases(pool: Pool, deadline: Deadline) -> None:
    """Free every lease: for a database that was started for this process alone, so that whoever holds
    one is dead.
    """
    pool.statement("DELETE FROM leases", {}, deadline, "free the leases")
