"""A rehearsal in a sealed room: it passes for a good point, and says what is wrong with any other one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared import settings as settings_module
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import make_key_file
from shared.errors import StackError
from shared.recovery.catalogue import read_catalogue
from shared.recovery.drill import Seen, report_of
from shared.recovery.golden import Comparison, GoldenAnswer, Reply, asked
from shared.recovery.point import Manifest, manifest_name
from shared.recovery.report import read_report
from shared.recovery.restore import Summary
from shared.recovery.room import Needs, Room, needs_of, too_small
from shared.recovery.status import read_status
from shared.settings import Settings
from shared.wiring.parts import Parts
from shared.wiring.rehearsal import Rehearsal, apart, drill
from shared.wiring.stack import services
from tests.fakes.served import Asked, FakeApi
from tests.local_stack import filled_stack, live_points, write_site
from tests.recovery.whole_points import cut
from tests.recovery_points import cut_point, day, soon


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Manifest]]:
    folder = tmp_path_factory.mktemp("drill")
    make_key_file(folder / "key")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        own = replace(ready, backup_bucket=(folder / "points").as_uri(), backup_key_file=str(folder / "key"))
        yield own, cut(own)


def store_of(own: Settings) -> FolderStore:
    return FolderStore(Path(own.backup_bucket.removeprefix("file://")))


def test_a_good_point_passes_with_nothing_but_bucket_and_key(backed_up) -> None:
    """Nobody would know before the day of the loss whether the backups are any good."""
    own, manifest = backed_up
    before = live_points(own)
    # Neither the database nor Qdrant of the site is there, and no embedding service.
    alone = replace(
        own, database_url="", qdrant_url="", storage_bucket="", embedder="none", release="abc1234-2"
    )
    report = drill(alone, Rehearsal())
    assert report.problems == ()
    assert report.passed
    assert report.warnings == ()
    assert report.code_revision == "abc1234"
    assert (report.point, report.room, report.points) == (manifest.id, "sealed", len(before))
    assert report.golden.asked == report.golden.same > 0
    assert set(report.phases) == {"room", "restore", "questions"}
    assert report.rehearsed_restore_seconds > 0
    known = read_catalogue(store_of(own), soon()).find(manifest.id)
    assert known.verified
    assert known.last_drill
    stored = read_report(known.last_drill.name, store_of(own).get(known.last_drill.name, soon())[0])
    assert stored == report
    status = read_status(store_of(own), soon())
    assert status
    assert status.drilled
    assert status.drilled.rehearsed_restore_seconds == report.rehearsed_restore_seconds
    assert live_points(own) == before


def test_the_report_is_in_postgres_too(backed_up) -> None:
    """An operator could not ask the database how drills went over the year."""
    own, manifest = backed_up
    report = drill(own, Rehearsal(manifest.id))
    with Parts(own) as parts:
        newest = parts.drill_log.newest(1, soon())[0]
    assert (newest.point, newest.passed) == (manifest.id, True)
    assert newest.report == json.loads(msgspec.json.encode(report))


def test_a_broken_point_fails_with_a_report(backed_up, tmp_path: Path) -> None:
    """A drill that cannot restore would end without a word on the health page."""
    own, manifest = backed_up
    copies = FolderStore(tmp_path / "points")
    for info in store_of(own).list("points/", soon()):
        copies.put(info.name, store_of(own).get(info.name, soon())[0], soon())
    name = manifest.parts["qdrant"].objects[0].name
    copies.put(name, store_of(own).get(name, soon())[0][:-1], soon())
    report = drill(replace(own, backup_bucket=(tmp_path / "points").as_uri(), database_url=""), Rehearsal())
    assert not report.passed
    assert name in report.problems[0]
    known = read_catalogue(copies, soon()).find(manifest.id)
    assert known.last_drill
    assert (known.verified, known.last_drill.word) == (False, "broken")


@pytest.mark.parametrize("damage", ["seal", "key"])
def test_a_point_that_cannot_be_unlocked_fails_with_a_report(backed_up, tmp_path: Path, damage: str) -> None:
    """Health would go on saying that the last drill passed, although nobody can read the newest backup."""
    own, manifest = backed_up
    copies = FolderStore(tmp_path / "points")
    for info in store_of(own).list("points/", soon()):
        copies.put(info.name, store_of(own).get(info.name, soon())[0], soon())
    changed = replace(own, backup_bucket=(tmp_path / "points").as_uri(), database_url="")
    if damage == "seal":
        name = manifest_name(manifest.id)
        file = json.loads(copies.get(name, soon())[0])
        file["mac"] = file["mac"][::-1]
        copies.put(name, msgspec.json.encode(file), soon())
    else:
        make_key_file(tmp_path / "another")
        changed = replace(changed, backup_key_file=str(tmp_path / "another"))
    report = drill(changed, Rehearsal())
    assert (report.point, report.rows, report.phases) == (manifest.id, 0, {})
    assert report.word == {"seal": "broken", "key": "failed"}[damage]
    assert {"seal": "its seal does not fit", "key": "is encrypted with key"}[damage] in report.problems[0]
    status = read_status(copies, soon())
    assert status
    assert status.drilled
    assert (status.drilled.passed, status.drilled.problem) == (False, report.problems[0][:300])


def test_a_room_calls_nobody_that_readers_are_served_from(backed_up) -> None:
    """A rehearsal would make collections on production's nodes, or fail because they are down."""
    own, _ = backed_up
    busy = replace(own, backup_snapshot_nodes=("http://node:6333",), redis_url="redis://x", project="p")
    room = apart(busy, qdrant_url="http://127.0.0.1:9")
    assert (room.backup_snapshot_nodes, room.redis_url, room.project) == ((), "", "")
    assert (room.qdrant_url, room.backup_bucket) == ("http://127.0.0.1:9", own.backup_bucket)


def seen(manifest: Manifest, **changed: object) -> Seen:
    summary = Summary(manifest.id, ("neon", "qdrant"), rows=3, points=3)
    usual = {
        "started_at": day(3),
        "room": "sealed",
        "phases": {"room": 1.0, "restore": 20.5, "questions": 3.0},
        "summary": summary,
        "failure": "",
        "golden": Comparison(40, 40, ()),
        "machine": {},
    }
    return Seen(**{**usual, **changed})  # type: ignore[arg-type]


@pytest.fixture
def toy(tmp_path: Path) -> Manifest:
    return cut_point(FolderStore(tmp_path / "bucket"), day(2))


def test_the_rehearsed_time_is_that_of_restoring(toy: Manifest) -> None:
    """An operator would plan with the time that questions take."""
    report = report_of(toy, seen(toy))
    assert report.passed
    assert report.rehearsed_restore_seconds == 21.5
    assert report.point_age_seconds == 86_400


@pytest.mark.parametrize(
    ("changed", "problem", "word"),
    [
        ({"golden": Comparison(40, 37, ("q1: a before, b now",) * 3)}, "37 of 40 golden questions", "failed"),
        ({"summary": None, "failure": "neon: refused"}, "neon: refused", "failed"),
        ({"summary": None, "failure": "it was changed", "damage": True}, "it was changed", "broken"),
        ({"summary": None}, "nothing was restored", "failed"),
        (
            {"summary": Summary("p", ("neon", "qdrant"), rows=3, points=0)},
            "0 of 3 points were restored",
            "broken",
        ),
    ],
)
def test_each_reason_to_fail_is_named(
    toy: Manifest, changed: dict[str, object], problem: str, word: str
) -> None:
    """A drill would pass although something is missing or answers otherwise, or speak ill of a good point."""
    report = report_of(toy, seen(toy, **changed))
    assert not report.passed
    assert problem in report.problems[0]
    assert report.word == word


def test_a_few_other_answers_are_a_note(toy: Manifest) -> None:
    """An approximate search would fail a drill now and then, until nobody looks any more."""
    report = report_of(toy, seen(toy, golden=Comparison(40, 38, ("q1: a before, b now",) * 2)))
    assert report.passed
    assert any("answered otherwise" in line for line in report.warnings)


def test_golden_questions_without_vectors_are_a_note(toy: Manifest) -> None:
    """Nobody would see that the search by meaning was never rehearsed."""
    record = toy.parts["qdrant"]
    details = {**record.details, "model": "gemini-embedding-001/768"}
    with_model = {**toy.parts, "qdrant": msgspec.structs.replace(record, details=details)}
    manifest = msgspec.structs.replace(toy, parts=with_model)
    questions = [
        GoldenAnswer("a", "A?", (), "not_found", ()),
        GoldenAnswer("b", "B?", (1.0,), "not_found", ()),
    ]
    golden = asked(questions, lambda _text, _vector: Reply("not_found", ()))
    warnings = report_of(manifest, seen(manifest, golden=golden)).warnings
    assert any("1 of 2 golden questions have no vector" in line for line in warnings)
    assert not any("no vector" in line for line in report_of(toy, seen(toy, golden=golden)).warnings)


def test_a_room_that_is_too_small_is_named_with_both_figures(toy: Manifest) -> None:
    """A drill would be killed for want of memory, and nobody would know why."""
    needs = Needs(memory=600 << 20, disk=900 << 20, seconds=1.0)
    assert too_small(needs, Room(700 << 20, 1000 << 20, disk_is_memory=False)) == ""
    assert "600 MB of memory; 500 MB are free" in too_small(
        needs, Room(500 << 20, 1 << 40, disk_is_memory=False)
    )
    assert "900 MB of disk; 10 MB are free" in too_small(needs, Room(1 << 40, 10 << 20, disk_is_memory=False))
    cloud = too_small(needs, Room(1000 << 20, 1 << 40, disk_is_memory=True))
    assert "1500 MB of memory, where its files are, too; 1000 MB are free" in cloud
    assert needs_of(toy).memory >= 500 << 20


def test_a_full_drill_without_targets_says_which_settings_are_missing(backed_up) -> None:
    """An operator would read of a failed restore, and not of a missing setting."""
    own, manifest = backed_up
    before = read_catalogue(store_of(own), soon()).find(manifest.id).last_drill
    with pytest.raises(StackError, match="needs LECTERN_DRILL_DATABASE_URL and LECTERN_DRILL_QDRANT_URL"):
        drill(replace(own, database_url=""), Rehearsal(full=True))
    # Nothing was said of the backup.
    assert read_catalogue(store_of(own), soon()).find(manifest.id).last_drill == before


class Nothing(FakeApi):
    """A Qdrant in front of which something answers 404 to everything."""

    def answer(self, asked: Asked) -> tuple[int, Any]:
        return 404, {"status": {"error": f"Not found: {asked.path}"}, "time": 0.0}


def test_a_room_that_fails_takes_no_verification_back(backed_up, tmp_path: Path) -> None:
    """Retention could let the last verified point go, because a rehearsal met a wrong address."""
    own, _ = backed_up
    fresh = settings_module.load({}, home=str(tmp_path / "targets"))
    with services(fresh) as ready, Nothing() as qdrant:
        database = ready.settings.database_url
        report = drill(
            replace(own, drill_database_url=database, drill_qdrant_url=qdrant.endpoint), Rehearsal(full=True)
        )
    assert "Not found" in report.problems[0]
    assert (report.passed, report.word) == (False, "failed")


def test_a_full_drill_leaves_its_targets_as_they_were(backed_up, tmp_path: Path) -> None:
    """A quarterly rehearsal would fill a cluster, or stand in its own way the next time."""
    own, manifest = backed_up
    fresh = settings_module.load({}, home=str(tmp_path / "targets"))
    with services(fresh) as ready:
        target = ready.settings
        configured = replace(own, drill_database_url=target.database_url, drill_qdrant_url=target.qdrant_url)
        for _ in range(2):
            report = drill(configured, Rehearsal(full=True))
            assert report.problems == ()
            assert (report.passed, report.room) == (True, "configured")
            assert report.golden.asked == report.golden.same > 0
        with Parts(target) as parts:
            assert parts.vector_admin.collections(soon()) == []
            rows = parts._pool.statement("SELECT count(*) FROM pages", {}, soon(), "count")
            names = parts._pool.statement("SELECT count(*) FROM pg_database", {}, soon(), "count")
        assert (rows, names) == ([[0]], [[3]])
    assert report.rows == sum(entry.rows for entry in manifest.parts["neon"].objects)
