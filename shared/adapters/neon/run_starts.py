"""The starts of runs of :mod:`shared.ports.run_starts` in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.adapters.neon.pool import Pool
from shared.ports.run_starts import RunStart
from shared.resilience.deadline import Deadline

# A lock of the transaction: it ends with the connection, however that ends, and works behind PgBouncer.
_ALONE = "SELECT pg_advisory_xact_lock(7243392119)"
_RECORD = """
INSERT INTO run_starts (run_id, execution) VALUES (:id, :execution)
ON CONFLICT (run_id) DO UPDATE SET execution = excluded.execution, started_at = clock_timestamp()
"""
_FIND = """
SELECT execution, extract(epoch FROM clock_timestamp() - started_at) FROM run_starts WHERE run_id = :id
"""
_FORGET = "DELETE FROM run_starts WHERE run_id = :id AND execution = ''"


class NeonRunStarts:
    """See :class:`shared.ports.run_starts.RunStarts`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @contextmanager
    def alone(self, deadline: Deadline) -> Iterator[None]:
        with self._pool.transaction(deadline, "start a run") as transaction:
            transaction.query(_ALONE)
            yield

    def record(self, run_id: str, execution: str, deadline: Deadline) -> None:
        params = {"id": run_id, "execution": execution}
        self._pool.statement(_RECORD, params, deadline, f"record the start of run {run_id}")

    def find(self, run_id: str, deadline: Deadline) -> RunStart | None:
        rows = self._pool.statement(_FIND, {"id": run_id}, deadline, f"read the start of run {run_id}")
        return RunStart(str(rows[0][0]), float(rows[0][1])) if rows else None

    def forget(self, run_id: str, deadline: Deadline) -> None:
        self._pool.statement(_FORGET, {"id": run_id}, deadline, f"forget the start of run {run_id}")
