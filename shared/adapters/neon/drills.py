"""Reports of drills of :mod:`shared.ports.drills` in Postgres."""

from __future__ import annotations

import json

from shared.adapters.neon.pool import Pool
from shared.ports.drills import StoredDrill
from shared.resilience.deadline import Deadline

_ADD = """
INSERT INTO drill_reports (point, started_at, passed, rehearsed_restore_seconds, report)
VALUES (:point, :started_at, :passed, :seconds, CAST(:report AS jsonb))
ON CONFLICT (point, started_at) DO NOTHING
"""
_NEWEST = """
SELECT point, started_at, passed, rehearsed_restore_seconds, report
FROM drill_reports ORDER BY started_at DESC LIMIT CAST(:limit AS integer)
"""


class NeonDrillLog:
    """See :class:`shared.ports.drills.DrillLog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def add(self, drill: StoredDrill, deadline: Deadline) -> None:
        params = {
            "point": drill.point,
            "started_at": drill.started_at,
            "passed": drill.passed,
            "seconds": drill.rehearsed_restore_seconds,
            "report": json.dumps(drill.report),
        }
        self._pool.statement(_ADD, params, deadline, "store the drill's report")

    def newest(self, limit: int, deadline: Deadline) -> list[StoredDrill]:
        rows = self._pool.statement(_NEWEST, {"limit": limit}, deadline, "read the drills")
        return [StoredDrill(*row) for row in rows]
