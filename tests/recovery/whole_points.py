"""Whole recovery points of a running stack, cut as the backup functions do it."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.adapters.neon.copy import NeonExport
from shared.recovery import neon_part
from shared.recovery.cutting import Cutting
from shared.recovery.neon_part import Files
from shared.recovery.point import Manifest, PartRecord, point_id
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import vectors
from shared.wiring.configuration import configuration_export
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.restore import direct_address


def cut(settings: Settings, at: datetime | None = None) -> Manifest:
    """Cut the point of ``at`` (now) and return its manifest."""
    point = point_id(at or datetime.now(UTC))
    cipher = point_cipher(settings, point)
    with Parts(settings) as parts:
        files = Files(parts.point_store, cipher)

        def database(point: str, attempt: str, deadline: Deadline) -> PartRecord:
            return neon_part.export(NeonExport(direct_address(settings)), files, point, attempt, deadline)

        cutting = Cutting(parts.point_store, parts.leases, parts.ledger_clock, point, cipher)
        outcome = cutting.parts(
            {
                "config": configuration_export(parts, cipher),
                "neon": database,
                "qdrant": vectors.export(parts, cipher),
            },
            Deadline.after(120),
        )
    assert outcome.manifest, outcome.reason
    return outcome.manifest
