"""The runs of ingestion in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.pool import Pool
from shared.errors import Missing
from shared.ports import PlanCounts, Run, RunShare
from shared.resilience.deadline import Deadline

_BEGIN = """
INSERT INTO runs
    (id, source, place, base_url, fingerprint, status, phase, tasks, allow_removal, generation_id)
VALUES (:id, :source, :place, :base_url, :fingerprint, :status, :phase, :tasks, :allow_removal, :generation)
ON CONFLICT (id) DO NOTHING
"""
_COLUMNS = """
id, source, place, base_url, fingerprint, status, phase, tasks, allow_removal, generation_id, plan, to_write,
written, report, error, extract(epoch FROM created_at), extract(epoch FROM started_at),
extract(epoch FROM heartbeat_at), extract(epoch FROM finished_at)
"""
_GET = f"SELECT {_COLUMNS} FROM runs WHERE id = :id"  # noqa: S608 - a constant
_RECENT = f"SELECT {_COLUMNS} FROM runs ORDER BY seq DESC LIMIT :limit"  # noqa: S608 - a constant
_SHARES = """
SELECT run_id, task, done, pages_read, embedded, calls, tokens, refused
FROM run_tasks WHERE run_id = ANY(CAST(:ids AS text[])) ORDER BY run_id, task
"""
_SAVE = """
UPDATE runs SET
    fingerprint = :fingerprint, status = :status, phase = :phase, tasks = :tasks,
    allow_removal = :allow_removal, generation_id = :generation, plan = CAST(:plan AS jsonb),
    to_write = :to_write, written = :written, report = CAST(:report AS jsonb), error = :error,
    heartbeat_at = clock_timestamp(),
    started_at = CASE WHEN CAST(:status AS text) = 'running'
        THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    finished_at = CASE WHEN CAST(:status AS text) IN ('succeeded', 'failed') THEN clock_timestamp() END
WHERE id = :id RETURNING id
"""
# The row of the run is locked: of two shares that end together, the second sees the first one's.
_BEAT = "UPDATE runs SET heartbeat_at = clock_timestamp() WHERE id = :id RETURNING id"
_SAVE_SHARE = """
INSERT INTO run_tasks (run_id, task, done, pages_read, embedded, calls, tokens, refused)
VALUES (:id, :task, :done, :read, :embedded, :calls, :tokens, CAST(:refused AS text[]))
ON CONFLICT (run_id, task) DO UPDATE SET
    done = excluded.done, pages_read = excluded.pages_read, embedded = excluded.embedded,
    calls = excluded.calls, tokens = excluded.tokens, refused = excluded.refused
"""
_DONE = "SELECT count(*) FROM run_tasks WHERE run_id = :id AND done"
_PRUNE = """
DELETE FROM runs WHERE seq <= (SELECT seq FROM runs ORDER BY seq DESC OFFSET :keep LIMIT 1) RETURNING id
"""


_NAMES = (
    *("id", "source", "place", "base_url", "fingerprint", "status", "phase", "tasks", "allow_removal"),
    *("generation", "plan", "to_write", "written", "report", "error"),
    *(_TIMES := ("created_at", "started_at", "heartbeat_at", "finished_at")),
)
"""Fields of a run in the order of the columns."""


class NeonRuns:
    """See :class:`shared.ports.Runs`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def begin(self, run: Run, deadline: Deadline) -> None:
        names = ("id", "source", "place", "base_url", "fingerprint", "status", "phase", "tasks")
        values = {name: getattr(run, name) for name in (*names, "allow_removal", "generation")}
        self._pool.statement(_BEGIN, values, deadline, f"record run {run.id}")

    def get(self, run_id: str, deadline: Deadline) -> Run:
        operation = f"read run {run_id}"
        rows = self._pool.statement(_GET, {"id": run_id}, deadline, operation)
        if not rows:
            hint = "`lectern ingest --runs` lists the runs."
            raise Missing(SERVICE, operation, "there is no such run", hint=hint)
        return self._with_shares(rows, deadline)[0]

    def recent(self, deadline: Deadline, *, limit: int = 20) -> list[Run]:
        rows = self._pool.statement(_RECENT, {"limit": limit}, deadline, "read the runs")
        return self._with_shares(rows, deadline)

    def save(self, run: Run, deadline: Deadline) -> None:
        operation = f"save run {run.id}"
        names = ("id", "fingerprint", "status", "phase", "tasks", "allow_removal", "generation")
        values = {name: getattr(run, name) for name in (*names, "to_write", "written", "error")}
        values["plan"] = json.dumps(asdict(run.plan)) if run.plan else None
        values["report"] = None if run.report is None else json.dumps(dict(run.report))
        if not self._pool.statement(_SAVE, values, deadline, operation):
            raise Missing(SERVICE, operation, "it was never begun")

    def save_share(self, run_id: str, share: RunShare, deadline: Deadline) -> int:
        operation = f"save share {share.task} of run {run_id}"
        with self._pool.transaction(deadline, operation) as transaction:
            if not transaction.query(_BEAT, id=run_id):
                raise Missing(SERVICE, operation, "the run was never begun")
            values = {**asdict(share), "refused": list(share.refused)}
            transaction.query(_SAVE_SHARE, id=run_id, **values)
            return int(transaction.query(_DONE, id=run_id)[0][0])

    def prune(self, keep: int, deadline: Deadline) -> list[str]:
        rows = self._pool.statement(_PRUNE, {"keep": keep}, deadline, "forget old runs")
        return sorted(str(row[0]) for row in rows)

    def _with_shares(self, rows: Sequence[Sequence[Any]], deadline: Deadline) -> list[Run]:
        ids = [row[0] for row in rows]
        found = self._pool.statement(_SHARES, {"ids": ids}, deadline, "read the shares of runs")
        shares = {name: tuple(_share(row) for row in found if row[0] == name) for name in ids}
        return [_run(row, shares[row[0]]) for row in rows]


def _share(row: Sequence[Any]) -> RunShare:
    refused = tuple(str(line) for line in row[7])
    return RunShare(row[1], row[2], row[3], row[4], row[5], row[6], refused)


def _run(row: Sequence[Any], shares: tuple[RunShare, ...]) -> Run:
    values = dict(zip(_NAMES, row, strict=True))
    values["plan"] = PlanCounts(**values["plan"]) if values["plan"] else None
    values.update({name: float(values[name] or 0.0) for name in _TIMES})
    return Run(**values, shares=shares)
