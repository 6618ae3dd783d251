"""A whole stack lost and brought back: what was there is there again, or nothing is, and why is said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from shared import settings as settings_module
from shared.adapters.neon.url import parse
from shared.adapters.neon.wire import Wire
from shared.answering.suggestions import OBJECT as SUGGESTIONS
from shared.cli.main import main
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import make_key_file
from shared.errors import Corrupt, DependencyError, Missing, PreconditionFailed
from shared.ports import AnswerRecord, Deletion
from shared.recovery.point import Manifest
from shared.recovery.progress import Progress
from shared.recovery.restore import Wanted
from shared.recovery.vectors import VectorFacts
from shared.resilience.deadline import Deadline
from shared.retrieval.lifeboat_store import LifeboatStore, Pointer
from shared.settings import Settings
from shared.wiring import chat, ingest
from shared.wiring.parts import Parts
from shared.wiring.restore import restore
from shared.wiring.restore_plan import plan
from shared.wiring.stack import services
from tests.fakes.scheduler import FakeScheduler
from tests.local_stack import ORCHARD, filled_stack, live_points, write_site
from tests.recovery.vector_world import SPEC, many_points
from tests.recovery.whole_points import cut
from tests.recovery_points import soon

QUESTION = "How cold should apples be stored?"
LINK = "/docs/apples/picking#how-to-store"


def answer_record(number: int) -> AnswerRecord:
    return AnswerRecord(
        id=f"a{number}",
        conversation_id=f"c{number}",
        asked_at=time.time() - number,
        question=f"number {number}? ' \\ \t é 🍏",
        kind="extractive",
        answer="yes",
        citations=("/docs/x",),
        generation_id="g0001",
        rung="hybrid",
        cost_usd=0.25,
        detail={"a": [1, None, "ü"]},
    )


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Manifest, list]]:
    """A stack that was backed up into a bucket of its own; its settings, the point, and its points."""
    folder = tmp_path_factory.mktemp("lost")
    make_key_file(folder / "key")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        own = replace(ready, backup_bucket=(folder / "points").as_uri(), backup_key_file=str(folder / "key"))
        with Parts(own) as parts:
            for number in range(40):
                parts.answer_log.record(answer_record(number), soon())
        manifest = cut(own)
        yield own, manifest, live_points(own)


@contextmanager
def empty_stack(own: Settings, home: Path) -> Iterator[Settings]:
    """A new stack in which only bucket and key of the lost one are known."""
    fresh = settings_module.load(
        {},
        home=str(home),
        embedder="local",
        backup_bucket=own.backup_bucket,
        backup_key_file=own.backup_key_file,
    )
    with services(fresh) as ready:
        yield ready.settings


def count(own: Settings, table: str) -> int:
    with Parts(own) as parts:
        return parts._pool.statement(f"SELECT count(*) FROM {table}", {}, soon(), "count")[0][0]


def test_an_operator_who_lost_everything_is_back(lost, tmp_path: Path) -> None:
    """Readers would get no answers, or other ones; what they said would be gone."""
    own, manifest, before = lost
    with empty_stack(own, tmp_path / "home") as ready:
        done = restore(ready, Wanted())
        assert (done.point, done.parts, done.empty) == (manifest.id, ("neon", "qdrant"), False)
        assert done.points == len(before)
        assert count(ready, "answers") == 40
        assert sorted(live_points(ready), key=lambda one: one.id) == sorted(before, key=lambda one: one.id)
        with Parts(ready) as parts:
            assert parts.answer_log.detail("a7", soon()) == {"a": [1, None, "ü"]}
            assert parts.ledger_clock.version(soon()) == manifest.ledger_version
            assert parts.embedder
            parts.embedder.embed_query("load the model: on a busy machine no reader waits for that", soon())
            answer = chat.service(parts).ask(chat.question(QUESTION, ready), Deadline.after(30))
        assert (answer.rung, answer.citations[0].url) == ("hybrid", LINK)
        # And once more: a target that holds something is left alone unless it is said.
        with pytest.raises(PreconditionFailed, match="holds rows already"):
            restore(ready, Wanted())
        again = restore(ready, Wanted(replace=True))
        assert again.kept_as
        assert (again.rows, again.written) == (done.rows, 0)
        assert count(ready, "answers") == 40


def boat(own: Settings) -> Pointer:
    with Parts(own) as parts:
        return LifeboatStore(parts.object_store).pointer(soon())


def suggested(own: Settings) -> bytes:
    with Parts(own) as parts:
        return parts.object_store.get(SUGGESTIONS, soon())[0]


def without_qdrant(own: Settings) -> Settings:
    """Neither Qdrant nor the passages in Postgres can be asked."""
    return replace(own, qdrant_url="http://127.0.0.1:9", database_url="postgresql://u:p@127.0.0.1:9/none")


def test_readers_are_answered_in_an_outage_that_follows(lost, tmp_path: Path) -> None:
    """After the loss of a region a second failure would leave readers without answers until an ingestion."""
    own, _, _ = lost
    with empty_stack(own, tmp_path / "home") as ready:
        told: list[Progress] = []
        done = restore(ready, Wanted(), watch=told.append)
        assert done.seconds["lifeboat"] > 0
        assert [(one.done, one.total) for one in told if one.phase == "lifeboat"] == [(done.points - 1,) * 2]
        assert boat(ready).content == boat(own).content
        assert suggested(ready) == suggested(own)
        with Parts(without_qdrant(ready)) as parts:
            answer = chat.service(parts).ask(chat.question(QUESTION, ready), Deadline.after(30))
        assert (answer.rung, answer.citations[0].url) == ("lifeboat", LINK)
        # Ingestion finds what it would have written itself, and so leaves it.
        before = boat(ready)
        ingest.run(ready, Path(own.home).parent / "site", "/docs")
        assert boat(ready) == before


def test_a_lifeboat_with_later_pages_stays(lost, tmp_path: Path) -> None:
    """Readers would be shown an older site in an outage, although the newer one was there."""
    own, manifest, _ = lost
    site = write_site(tmp_path / "site", {**ORCHARD, "new.md": "# New\n\nPlums are sold from June on.\n"})
    with empty_stack(own, tmp_path / "home") as ready:
        restore(ready, Wanted())
        ingest.run(ready, site, "/docs")
        later = boat(ready)
        restore(ready, Wanted(part="qdrant", replace=True))
        assert boat(ready) == later
        # Without one, that of the point is better than none; the next ingestion writes its own.
        with Parts(ready) as parts:
            parts.object_store.delete("lifeboats/current.json", soon())
        restore(ready, Wanted(part="qdrant", replace=True))
        facts = manifest.parts["qdrant"].facts(VectorFacts)
        assert (boat(ready).generation, boat(ready).content) == (facts.generation, facts.digest)
        ingest.run(ready, site, "/docs")
        assert boat(ready).content == later.content


def test_a_lifeboat_that_cannot_be_written_is_said(lost, tmp_path: Path) -> None:
    """A restore of hours would be called failed for the sake of a file that ingestion writes anyway."""
    own, _, before = lost
    with empty_stack(own, tmp_path / "home") as ready:
        objects = Path(ready.storage_bucket.removeprefix("file://")) / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        (objects / "lifeboats").write_text("no folder")
        (objects / "suggestions").write_text("no folder")
        said: list[str] = []
        assert restore(ready, Wanted(), say=said.append).points == len(before)
        assert any("the lifeboat was not written" in line and "next ingestion" in line for line in said)
        assert any("the suggestions were not made" in line for line in said)


def test_what_readers_deleted_since_stays_deleted(lost, tmp_path: Path) -> None:
    """A restore would bring back what a reader was promised to be gone."""
    own, _, _ = lost
    from shared.answering.memory import DeletionList

    with empty_stack(own, tmp_path / "home") as ready:
        with Parts(ready) as parts:
            DeletionList(parts.object_store).add(Deletion("c3", 1_900_000_000.0), soon())
            # The bucket of that time may have been lost: each backup also lists them beside the points.
            DeletionList(parts.point_store).add(Deletion("c4", 1_900_000_000.0), soon())
        done = restore(ready, Wanted(part="neon"))
        assert done.deletions == 2
        assert count(ready, "answers") == 38
        with Parts(ready) as parts:
            assert parts.answer_log.detail("a3", soon()) is None
            assert parts.answer_log.detail("a4", soon()) is None
            for info in parts.point_store.list("deletions/", soon()):
                parts.point_store.delete(info.name, soon())


def test_answers_that_readers_get_meanwhile_are_not_lost(lost, tmp_path: Path) -> None:
    """What readers asked while an empty database was filled would be gone, and nobody would be told."""
    own, _, _ = lost
    with empty_stack(own, tmp_path / "home") as ready, Parts(ready) as chatting:
        done = restore(
            ready,
            Wanted(part="neon"),
            watch=lambda _told: chatting.answer_log.record(answer_record(99), soon()),
        )
        assert f"look into {done.kept_as}," in done.next_steps[0]
        kept = Wire(replace(parse(ready.database_url), database=done.kept_as), soon())
        assert kept.script("SELECT id FROM answers", soon(), "look") == [["a99"]]
        kept.close()
        assert count(ready, "answers") == 40


def test_a_database_that_cannot_take_its_place_is_said_with_the_state_of_the_index(
    lost, tmp_path: Path
) -> None:
    """Readers would be on the point's index and today's database, and the next backup would join the two."""
    own, manifest, before = lost
    with empty_stack(own, tmp_path / "home") as ready:
        outside = Wire(parse(ready.database_url), soon())
        outside.script("CREATE ROLE restorer LOGIN CREATEDB IN ROLE pg_signal_backend", soon(), "grant")
        outside.script("CREATE DATABASE theirs TEMPLATE template0", soon(), "set up")
        outside.close()
        theirs = replace(ready, database_url=ready.database_url.replace("/postgres?", "/theirs?"))
        with Parts(theirs) as parts:
            parts.prepare_database(soon())
            counted = parts.ledger_clock.version(soon())
        with_rights = Wire(parse(theirs.database_url), soon())
        for what in ("TABLES", "SEQUENCES"):
            with_rights.script(f"GRANT ALL ON ALL {what} IN SCHEMA public TO restorer", soon(), "grant")
        with_rights.close()
        # Everything may be made, and only the database that is there may not be renamed: it is another's.
        user = parse(ready.database_url).user
        restorer = replace(theirs, database_url=theirs.database_url.replace(f"{user}@", "restorer@", 1))
        with pytest.raises(DependencyError, match="must be owner of database theirs") as caught:
            restore(restorer, Wanted())
        assert f"The index is already that of {manifest.id}" in caught.value.hint
        assert len(live_points(theirs)) == len(before)
        with Parts(theirs) as parts:
            assert parts.ledger_clock.version(soon()) > counted
        assert restore(theirs, Wanted()).rows


def test_parts_and_tables_come_back_alone(lost, tmp_path: Path) -> None:
    """An operator who lost the index would have to put the database back as well."""
    own, _, before = lost
    with empty_stack(own, tmp_path / "home") as ready:
        done = restore(ready, Wanted(part="qdrant"))
        assert (done.rows, done.points) == (0, len(before))
        assert "lectern repair" in done.next_steps[0]
        assert count(ready, "answers") == 0
        with pytest.raises(PreconditionFailed, match="would not refer to each other"):
            restore(ready, Wanted(table="answers"))
        assert restore(ready, Wanted(table="conversations")).rows == 40
        restored = restore(ready, Wanted(table="public.answers"))
        assert (restored.rows, restored.tables) == (40, 1)
        assert count(ready, "answers") == 40
        with pytest.raises(PreconditionFailed, match="answers has rows"):
            restore(ready, Wanted(table="answers"))
        with pytest.raises(Missing, match="no table nowhere"):
            restore(ready, Wanted(table="nowhere"))


def test_a_damaged_point_is_refused_before_anything_is_written(lost, tmp_path: Path) -> None:
    """Half of a database would be put in the place of a good one."""
    own, manifest, _ = lost
    copies = FolderStore(tmp_path / "copies")
    source = FolderStore(Path(own.backup_bucket.removeprefix("file://")))
    for info in source.list("points/", soon()):
        copies.put(info.name, source.get(info.name, soon())[0], soon())
    broken = replace(own, backup_bucket=(tmp_path / "copies").as_uri())
    for part in ("neon", "qdrant"):
        name = manifest.parts[part].objects[0].name
        data, _ = source.get(name, soon())
        copies.put(name, data[:-20] + bytes(20), soon())
        with empty_stack(broken, tmp_path / f"home-{part}") as ready:
            with pytest.raises(Corrupt, match=name):
                restore(ready, Wanted())
            assert count(ready, "answers") == count(ready, "generations") == 0
            with Parts(ready) as parts:
                assert parts.vector_bulk.aliases(soon()) == {}
                assert parts.vector_admin.collections(soon()) == []
        copies.put(name, data, soon())


@pytest.mark.parametrize("part", ["neon", "qdrant"])
def test_of_two_restores_at_once_one_stays_away(lost, tmp_path: Path, part) -> None:
    """Readers might be switched to a collection that the other run still fills, with schedules running."""
    own, _, _ = lost
    refused: list[PreconditionFailed] = []
    states: list[str] = []
    with empty_stack(own, tmp_path / "home") as ready, FakeScheduler() as scheduler:
        scheduler.state.add("lectern-ingest")
        # A database that nobody has used yet, as after a loss: there is no table of leases to look into.
        fresh = replace(
            ready,
            database_url=ready.database_url.replace("/postgres?", "/fresh?"),
            project="p",
            region="r",
            scheduler_endpoint=scheduler.endpoint,
        )

        def second(_told: Progress) -> None:
            if not refused:
                with pytest.raises(
                    PreconditionFailed, match="another restore into fresh runs since"
                ) as caught:
                    restore(fresh, Wanted(part=part))
                refused.append(caught.value)
                states.append(scheduler.state.state("lectern-ingest"))

        done = restore(fresh, Wanted(part=part), watch=second)
        assert done.rows or done.points
        assert states == ["PAUSED"]
        assert len(refused) == 1
        # And once it has ended, the next one may.
        assert restore(fresh, Wanted(part=part, replace=True)).parts == (part,)


@pytest.mark.parametrize("part", [None, "qdrant"])
def test_a_newer_index_is_found_before_hours_of_work(lost, tmp_path: Path, part) -> None:
    """An operator would wait for the whole database, then read that readers are on another generation."""
    own, _, before = lost
    with empty_stack(own, tmp_path / "home") as ready:
        with Parts(ready) as parts:
            # As many points as the point has, so that counting them tells nothing.
            parts.vector_admin.create("lectern-g0009", SPEC, soon())
            parts.vector_bulk.write("lectern-g0009", many_points(len(before)), soon())
            parts.vector_admin.switch_alias(ready.qdrant_alias, "lectern-g0009", soon())
        seen: list[Progress] = []
        with pytest.raises(PreconditionFailed, match="answered from lectern-g0009"):
            restore(ready, Wanted(part=part), watch=seen.append)
        assert seen == []
        assert "answered from lectern-g0009" in plan(ready, Wanted(part=part)).in_the_way
        assert restore(ready, Wanted(part=part, replace=True)).collection == "lectern-g0001"


def test_a_plan_says_what_would_be_done(lost, tmp_path: Path) -> None:
    """An operator would have to try it out on the database that readers use."""
    own, manifest, before = lost
    found = plan(own, Wanted(replace=True))
    assert (found.manifest.id, found.points) == (manifest.id, len(before))
    assert "public.answers" in found.filled
    assert found.live
    assert found.in_the_way == ""


def test_a_dry_run_tells_of_which_moment_each_part_is(lost) -> None:
    """An operator could not see which side of the mistake the database is on, and which the index."""
    own, manifest, _ = lost
    done = CliRunner().invoke(main, ["restore", "--dry-run"], env=settings_module.environment(own))
    assert done.exit_code == 0
    for part in ("neon", "qdrant"):
        at = manifest.parts[part].snapshot_at
        assert f"{part} as it was at {at:%Y-%m-%d %H:%M:%S} UTC" in done.stdout


def test_an_empty_site_is_restored_and_says_so(tmp_path: Path) -> None:
    """An operator could not tell an empty backup from one that failed."""
    fresh = settings_module.load({}, home=str(tmp_path / "one"), backup_bucket=(tmp_path / "points").as_uri())
    with services(fresh) as ready:
        manifest = cut(ready.settings)
    assert json.dumps(sorted(manifest.parts)) == '["config", "neon", "qdrant"]'
    other = settings_module.load({}, home=str(tmp_path / "two"), backup_bucket=fresh.backup_bucket)
    with services(other) as ready:
        done = restore(ready.settings, Wanted())
    assert done.points == 0
    assert done.rows > 0  # the bookkeeping of migrations


def test_a_database_that_is_still_to_be_made_is_missing_and_not_cut_off(lost) -> None:
    """A restore into a new database would stop at a "broken pipe" now and then."""
    own, _, _ = lost
    address = parse(own.database_url.replace("/postgres?", "/nowhere?"))
    for _ in range(40):
        with pytest.raises(Missing):
            Wire(address, soon())


def test_a_run_that_was_killed_as_it_made_the_database_is_no_obstacle(lost) -> None:
    """Every later restore would stop at a database that "no restore has made"."""
    own, _, _ = lost
    target = replace(own, database_url=own.database_url.replace("/postgres?", "/begun?"))
    outside = Wire(parse(own.database_url), soon())
    # What is there between CREATE DATABASE and the comment that marks it.
    outside.script("CREATE DATABASE begun_restoring CONNECTION LIMIT 77", soon(), "kill")
    assert restore(target, Wanted(part="neon")).rows
    limits = outside.script(
        "SELECT datname, datconnlimit FROM pg_database WHERE datname LIKE 'begun%'", soon(), "look"
    )
    outside.close()
    assert limits == [["begun", -1]]
