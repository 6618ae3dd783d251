"""``POST /drill``: a report in one answer, or a job when the point is too large for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from shared import settings
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import make_key_file
from shared.recovery import sealed
from shared.recovery.point import Manifest, manifest_name
from shared.settings import Settings
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.fakes.cloud_run import FakeCloudRun
from tests.local_stack import environment, function
from tests.recovery.whole_points import cut
from tests.recovery_points import soon


@pytest.fixture(scope="module")
def backed_up(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Manifest]:
    own = replace(stack, backup_bucket=(tmp_path_factory.mktemp("points") / "bucket").as_uri())
    return own, cut(own, datetime(2026, 11, 25, 3, tzinfo=UTC))


def environ_of(own: Settings, **more: str) -> dict[str, str]:
    return environment(own, LECTERN_BACKUP_BUCKET=own.backup_bucket, **more)


def test_a_drill_answers_with_its_report(backed_up: tuple[Settings, Manifest]) -> None:
    """The schedule would call a function that does nothing, and alerts would see no drill."""
    own, manifest = backed_up
    with function("drill", environ_of(own)) as client:
        answer = client.post("/drill", timeout=100)
        assert answer.status_code == 200, answer.text
        report = answer.json()
        assert (report["point"], report["passed"], report["problems"]) == (manifest.id, True, [])
        assert report["golden"]["asked"] == report["golden"]["same"] > 0
        unknown = client.post("/drill", json={"point": "20200101T000000Z"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "no_recovery_point")
        measured = [line["measure"] for line in client.lines() if "measure" in line]
        assert measured == ["lectern_drill_age_seconds"]


def test_a_point_that_the_key_does_not_fit_is_a_failed_drill(backed_up, tmp_path: Path) -> None:
    """The schedule would see an error that no report, no mark and no health page tells of."""
    own, manifest = backed_up
    make_key_file(tmp_path / "key")
    copies = FolderStore(tmp_path / "points")
    source = FolderStore(Path(own.backup_bucket.removeprefix("file://")))
    name = manifest_name(manifest.id)
    copies.put(name, source.get(name, soon())[0], soon())  # without a seal: whoever has a key takes none
    other = replace(own, backup_bucket=(tmp_path / "points").as_uri())
    with function("drill", environ_of(other, LECTERN_BACKUP_KEY_FILE=str(tmp_path / "key"))) as client:
        answer = client.post("/drill")
        assert answer.status_code == 200, answer.text
        assert (answer.json()["passed"], answer.json()["point"]) == (False, manifest.id)
        assert "its seal is missing" in answer.json()["problems"][0]
        assert [line["message"] for line in client.lines() if line["severity"] == "ERROR"]
    assert any("failed" in info.name for info in copies.list(f"points/{manifest.id}/drills/", soon()))


def test_a_full_drill_without_targets_is_skipped_and_no_failure(backed_up: tuple[Settings, Manifest]) -> None:
    """The quarterly schedule would raise alerts, and health call the backups bad, where nobody wants it."""
    own, _ = backed_up
    with Parts(own) as parts:
        before = len(parts.drill_log.newest(100, soon()))
    with function("drill", environ_of(own)) as client:
        for answer in (client.post("/drill/full", json={}), client.post("/drill", json={"full": True})):
            assert (answer.status_code, answer.json()["status"]) == (200, "skipped")
            assert "LECTERN_DRILL_DATABASE_URL and LECTERN_DRILL_QDRANT_URL" in answer.json()["reason"]
        assert client.get("/drill/full").status_code == 405
        assert not [line for line in client.lines() if "measure" in line or line["severity"] == "ERROR"]
    with Parts(own) as parts:
        assert len(parts.drill_log.newest(100, soon())) == before


def test_half_of_the_targets_is_a_mistake_that_is_told(backed_up: tuple[Settings, Manifest]) -> None:
    """An operator who forgot one of them would wait for the next quarter, and the next."""
    own, _ = backed_up
    with function("drill", environ_of(own, LECTERN_DRILL_QDRANT_URL=own.qdrant_url)) as client:
        answer = client.post("/drill/full")
    assert answer.status_code == 503
    assert "needs LECTERN_DRILL_DATABASE_URL" in answer.json()["error"]["message"]


def test_a_full_drill_restores_into_its_targets(backed_up: tuple[Settings, Manifest], tmp_path: Path) -> None:
    """The quarterly schedule would rehearse what the weekly one does, or nothing."""
    own, manifest = backed_up
    with services(settings.load({}, home=str(tmp_path / "targets"))) as targets:
        named = {
            "LECTERN_DRILL_DATABASE_URL": targets.settings.database_url,
            "LECTERN_DRILL_QDRANT_URL": targets.settings.qdrant_url,
        }
        with function("drill", environ_of(own, **named)) as client:
            answer = client.post("/drill/full", timeout=100)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["point"], report["passed"], report["room"]) == (manifest.id, True, "configured")


def test_a_drill_of_a_large_point_is_a_job(backed_up: tuple[Settings, Manifest], tmp_path: Path) -> None:
    """A drill would be cut off by the scheduler after half an hour, or killed for want of memory."""
    own, manifest = backed_up
    neon = manifest.parts["neon"]
    grown = msgspec.structs.replace(
        neon, objects=tuple(msgspec.structs.replace(one, plain_bytes=10**12) for one in neon.objects)
    )
    large = msgspec.structs.replace(manifest, parts={**manifest.parts, "neon": grown})
    store = FolderStore(tmp_path / "bucket")
    store.put(manifest_name(large.id), sealed.encode(large, None, soon()), soon())
    with FakeCloudRun() as fake:
        fake.jobs.add("lectern-drill-job", ["true"])
        cloud = {
            "LECTERN_PROJECT": "p",
            "LECTERN_REGION": "r",
            "LECTERN_CLOUD_RUN_ENDPOINT": fake.endpoint,
            "LECTERN_BACKUP_BUCKET": (tmp_path / "bucket").as_uri(),
            "LECTERN_DRILL_DATABASE_URL": own.database_url,
            "LECTERN_DRILL_QDRANT_URL": own.qdrant_url,
        }
        with function("drill", {**environ_of(own), **cloud}) as client:
            answer = client.post("/drill/full")
        assert answer.status_code == 202, answer.text
        assert "lectern-drill-job" in answer.json()["job"]
        (run,) = fake.jobs.runs
    assert run["overrides"]["containerOverrides"][0]["args"] == ["drill", manifest.id, "--json", "--full"]
