"""The ingestion lease: one row that its holder keeps young, and that outlives no killed holder."""

from __future__ import annotations

import os
import socket
import threading
import uuid

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.pool import Pool, Transaction
from shared.errors import DependencyError, PreconditionFailed
from shared.resilience.deadline import Deadline

LEASE_SECONDS = 30.0
BEAT_SECONDS = 5.0
_CALL_SECONDS = 5.0
_NAME = "ingestion"

# The database's clock alone counts: those of two machines may differ.
_TAKE = """
INSERT INTO leases (name, token, holder, taken_at, expires_at)
VALUES (:name, CAST(:token AS uuid), :holder, clock_timestamp(),
        clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision)))
ON CONFLICT (name) DO UPDATE SET
    token = excluded.token, holder = excluded.holder,
    taken_at = excluded.taken_at, expires_at = excluded.expires_at
WHERE leases.expires_at < clock_timestamp()
RETURNING token
"""
_BEAT = """
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => CAST(:seconds AS double precision))
WHERE name = :name AND token = CAST(:token AS uuid) RETURNING token
"""
_HOLDER = """
SELECT holder, to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') FROM leases WHERE name = :name
"""
_HELD = "SELECT 1 FROM leases WHERE name = :name AND token = CAST(:token AS uuid) FOR SHARE"
_RELEASE = "DELETE FROM leases WHERE name = :name AND token = CAST(:token AS uuid)"


class Lease:
    """One holding of the ingestion lease, with its heartbeat."""

    def __init__(self, pool: Pool, beat_seconds: float = BEAT_SECONDS) -> None:
        self._pool = pool
        self._beat_seconds = beat_seconds
        self._token = str(uuid.uuid4())
        self._released = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="ingestion-lease", daemon=True)

    def take(self, deadline: Deadline) -> None:
        """Take it, or raise :class:`~shared.errors.PreconditionFailed` naming who has it."""
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        with self._pool.transaction(deadline, "take the ingestion lease") as transaction:
            taken = transaction.query(
                _TAKE, name=_NAME, token=self._token, holder=holder, seconds=LEASE_SECONDS
            )
            others = [] if taken else transaction.query(_HOLDER, name=_NAME)
        if not taken:
            who, since = others[0] if others else ("another run", "just now")
            raise PreconditionFailed(
                SERVICE,
                "take the ingestion lease",
                f"{who} has held it since {since} UTC",
                hint=f"Wait until that ingestion ends; if it was killed, {LEASE_SECONDS:.0f} seconds.",
            )
        self._beats.start()

    def check(self, transaction: Transaction) -> None:
        """Raise PreconditionFailed unless it is still ours, and keep it so until the transaction ends."""
        if not transaction.query(_HELD, name=_NAME, token=self._token):
            raise PreconditionFailed(
                SERVICE,
                "write to the ledger",
                "the ingestion lease was lost to another run",
                hint="Start the ingestion again: what is unchanged is not done twice.",
            )

    def release(self) -> None:
        """Give it back; when the database cannot be reached it expires by itself."""
        self._released.set()
        self._beats.join()
        try:
            self._pool.statement(
                _RELEASE,
                {"name": _NAME, "token": self._token},
                Deadline.after(_CALL_SECONDS),
                "release the lease",
            )
        except DependencyError:
            return

    def _beat(self) -> None:
        while not self._released.wait(self._beat_seconds):
            try:
                self._pool.statement(
                    _BEAT,
                    {"name": _NAME, "token": self._token, "seconds": LEASE_SECONDS},
                    Deadline.after(_CALL_SECONDS),
                    "renew the ingestion lease",
                )
            except DependencyError:
                continue  # the next beat is soon, and every write checks that the lease is still ours


def end_leases(pool: Pool, deadline: Deadline) -> None:
    """Free every lease: for a database that was started for this process alone, so that whoever holds
    one is dead.
    """
    pool.statement("DELETE FROM leases", {}, deadline, "free the leases")
