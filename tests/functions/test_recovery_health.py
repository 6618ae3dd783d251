"""``GET /health`` of a system whose backups have stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.embedded.folder import FolderStore
from shared.recovery.status import refresh_status
from shared.settings import Settings
from tests.local_stack import environment, function
from tests.recovery_points import cut_point, soon

LIMITS = {"LECTERN_RPO_HOURS": "24", "LECTERN_DRILL_MAX_AGE_DAYS": "8", "LECTERN_RTO_HOURS": "4"}


def test_health_is_degraded_when_backups_stop(stack: Settings, tmp_path: Path) -> None:
    """Nobody would notice that there has been no backup for weeks until one is needed."""
    store = FolderStore(tmp_path / "points")
    environ = environment(stack, LECTERN_BACKUP_BUCKET=(tmp_path / "points").as_uri(), **LIMITS)
    with function("health", environ) as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["overall_status"]) == (200, "degraded")
        recovery = answer.json()["dependencies"]["recovery"]
        assert recovery["status"] == "degraded"
        assert recovery["detail"] == "there is no recovery point yet; no drill has passed yet"
        now = datetime.now(UTC)
        cut_point(store, now - timedelta(hours=30))
        refresh_status(store, now.timestamp(), soon())
        answer = client.get("/health").json()
        assert "the newest recovery point is 30.0 h old" in answer["dependencies"]["recovery"]["detail"]
        assert round(answer["recovery"]["point_age_seconds"] / 3600) == 30
        assert answer["recovery"]["rpo_seconds"] == 24 * 3600
        measured = {line["measure"]: line["value"] for line in client.lines() if "measure" in line}
    assert round(measured["lectern_recovery_point_age_seconds"] / 3600) == 30
    assert measured["lectern_spend_usd_month"] >= 0
    assert "lectern_drill_age_seconds" not in measured
