"""Whole recovery points of a running stack, cut as the backup functions do it."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.recovery.point import Manifest, point_id
from shared.settings import Settings
from shared.wiring import backup
from shared.wiring.parts import Parts
from shared.wiring.verify import chosen


def cut(settings: Settings, at: datetime | None = None) -> Manifest:
    """Cut the point of ``at`` (now) and return its manifest."""
    point = point_id(at or datetime.now(UTC))
    made = backup.run(settings, point)
    assert made.state == "committed", made.reason
    with Parts(settings) as parts:
        return chosen(parts, point)
