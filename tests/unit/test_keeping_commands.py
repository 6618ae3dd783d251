"""`lectern backups` and `lectern verify` as an operator types them; only a bucket is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from shared import settings as settings_module
from shared.answering.memory import DeletionList
from shared.cli.main import main
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.ports import Deletion
from shared.recovery.catalogue import read_catalogue
from shared.recovery.crypto import PointCipher
from shared.recovery.point import PartName, manifest_name, point_id
from shared.recovery.sealed import committed_points
from shared.recovery.status import Limits, judged, read_status
from shared.wiring import backups
from tests.recovery_points import commit_point, cut_part, cut_point, day, soon


class Shell:
    """Runs commands against a bucket with three points."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder / "bucket")
        self.manifests = [cut_point(self.store, day(n)) for n in range(3)]
        self.environ = {
            "STORAGE_BUCKET": (folder / "bucket").as_uri(),
            "LECTERN_HOME": str(folder / "home"),
            "LECTERN_BACKUP_KEEP_DAYS": "1.5",
            "LECTERN_BACKUP_KEEP_LAST": "0",
            "LECTERN_BACKUP_COPY_BUCKET": (folder / "second").as_uri(),
        }
        self.folder = folder

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, list(words), env=self.environ)

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        return json.loads(done.stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_the_list_shows_what_is_there(shell: Shell) -> None:
    """An operator would have to look into the bucket."""
    rows = shell.json("backups")
    assert [row["id"] for row in rows] == [point_id(day(n)) for n in (2, 1, 0)]
    assert rows[0]["parts"] == ["neon", "qdrant"]
    assert not rows[0]["verified"]
    assert point_id(day(1)) in shell.run("backups").stdout


def test_nothing_is_removed_without_apply(shell: Shell) -> None:
    """An operator who wants to see what would go would lose it."""
    told = shell.run("backups", "prune")
    assert told.exit_code == 0
    assert "1 would be removed" in told.stderr
    assert len(shell.json("backups")) == 3
    done = shell.json("backups", "prune", "--apply")
    assert done["pruned"]["removed"] == [point_id(day(0))]
    assert len(shell.json("backups")) == 2


def test_a_hold_is_kept_until_it_is_released(shell: Shell) -> None:
    """An operator could not keep a point for longer."""
    oldest = point_id(day(0))
    assert shell.run("backups", "hold", oldest, "--reason", "audit").exit_code == 0
    assert shell.json("backups", "prune", "--apply")["pruned"]["removed"] == []
    assert shell.json("backups")[-1]["hold"] == "audit"
    assert shell.run("backups", "release", oldest).exit_code == 0
    assert shell.json("backups", "prune", "--apply")["pruned"]["removed"] == [oldest]
    gone = shell.run("backups", "hold", oldest)
    assert gone.exit_code == 1
    assert "there is no recovery point" in gone.stderr


def test_a_copy_is_kept_by_the_same_rules(shell: Shell) -> None:
    """The second bucket would grow for ever."""
    for number in range(3):
        assert shell.json("backups", "copy", point_id(day(number)))["objects"] == 5
    shell.run("backups", "prune", "--apply")
    copies = FolderStore(shell.folder / "second")
    assert len({info.name.split("/")[1] for info in copies.list("points/", soon())}) == 2


def test_what_is_held_or_proved_stays_in_the_second_bucket_too(shell: Shell) -> None:
    """After the loss of a region, the point that a court asked for and the only proved one would be gone."""
    shell.environ["LECTERN_BACKUP_KEEP_DAYS"] = "0"
    oldest, middle, newest = (point_id(day(number)) for number in range(3))
    for point in (oldest, middle, newest):
        shell.run("backups", "copy", point)
    shell.run("backups", "hold", oldest, "--reason", "case 12")
    shell.run("verify", middle)
    copies = FolderStore(shell.folder / "second")
    for _ in range(2):
        shell.run("backups", "prune", "--apply")
        there = read_catalogue(copies, soon()).points
        assert [one.id for one in there] == [newest, middle, oldest]
        assert [one.hold for one in there] == [None, None, "case 12"]
        assert there[1].verified
    shell.run("backups", "release", oldest)
    shell.run("backups", "prune", "--apply")
    assert list(committed_points(copies, soon())) == [middle, newest]


def test_what_readers_deleted_is_known_where_the_points_are(shell: Shell) -> None:
    """After the loss of the bucket a restore would bring back conversations that readers had deleted."""
    own = settings_module.load({**shell.environ, "LECTERN_BACKUP_BUCKET": (shell.folder / "points").as_uri()})
    cut_point(FolderStore(shell.folder / "points"), day(0))
    gone = [Deletion(f"c{number}", day(number).timestamp()) for number in range(2)]
    for one in gone:
        DeletionList(shell.store).add(one, soon())
        assert backups.after_commit(own, point_id(day(0))) == ()
    for name in ("points", "second"):
        assert list(DeletionList(FolderStore(shell.folder / name)).read(soon())) == gone


def test_verification_leaves_its_result(shell: Shell) -> None:
    """Retention and health would not know which point was proved."""
    found = shell.json("verify")
    assert (found["point"], found["whole"], found["empty"]) == (point_id(day(2)), True, False)
    assert shell.json("backups")[0]["verified"]
    status = read_status(shell.store, soon())
    assert status
    assert status.points == 3
    assert "is whole" in shell.run("verify", point_id(day(1))).stdout


def test_a_broken_point_ends_with_1_and_a_name(shell: Shell) -> None:
    """A script would go on with a point that cannot be restored."""
    broken = shell.manifests[2].parts["neon"].objects[0].name
    shell.store.delete(broken, soon())
    done = shell.run("verify", "--latest")
    assert done.exit_code == 1
    assert broken in done.stderr
    assert "is NOT whole" in done.stdout


def test_a_newest_point_that_cannot_be_read_is_no_success(shell: Shell) -> None:
    """A nightly check would go on saying that all is well with a point that gets older every night."""
    shell.store.put(manifest_name(point_id(day(2))), b"{}", soon())
    done = shell.run("verify", "--latest")
    assert done.exit_code == 1
    assert f"{point_id(day(2))} cannot be read: " in done.stderr
    assert f"{point_id(day(1))} is whole" in done.stdout
    assert shell.json("verify")["passed_over"]
    assert shell.run("verify", point_id(day(1))).exit_code == 0
    status = read_status(shell.store, soon())
    (concern,) = judged(status, Limits(0, 0, 0), 0.0).concerns
    assert concern.startswith(f"{point_id(day(2))} cannot be read: ")


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("qdrant", {"points": 2}, "3 points instead of 2"),
        ("qdrant", {"digest": "0" * 32}, "as many points as recorded, but not the same ones"),
        ("qdrant", {"statistics": "ab"}, "the reserved point with the statistics is another one"),
        ("qdrant", {"points": "many"}, "is not understood"),
        ("neon", {"tables": []}, "does not tell where every table is"),
        ("neon", {}, "it holds 3 rows, 4 are recorded"),
    ],
)
def test_a_record_that_its_objects_do_not_fit_is_found(
    shell: Shell, part: PartName, change: dict[str, object], problem: str
) -> None:
    """What a bug, or somebody with the key, put together of good objects would be found when it is needed."""
    make_key_file(shell.folder / "key")
    shell.environ["LECTERN_BACKUP_KEY_FILE"] = str(shell.folder / "key")
    cipher = PointCipher(KeyFile(shell.folder / "key"), point_id(day(3)))
    parts = {name: cut_part(shell.store, day(3), name, cipher=cipher) for name in ("neon", "qdrant")}
    good = parts[part]
    entries = good.objects if change else tuple(replace(entry, rows=4) for entry in good.objects)
    parts[part] = replace(good, objects=entries, details=good.details | change)
    commit_point(shell.store, day(3), parts, cipher)
    done = shell.run("verify")
    assert done.exit_code == 1
    assert problem in done.stderr
    assert done.stderr.count("broken:") == 1
    assert not shell.json("backups")[0]["verified"]


def test_a_point_that_was_put_there_without_a_seal_is_refused(shell: Shell) -> None:
    """Who can write to the bucket would have an operator restore, or read secrets from, a point of theirs."""
    make_key_file(shell.folder / "key")
    shell.environ["LECTERN_BACKUP_KEY_FILE"] = str(shell.folder / "key")
    for words in (["verify", "--latest"], ["backups", "config"]):
        refused = shell.run(*words)
        assert refused.exit_code == 1
        assert "manifest.json: its seal is missing" in refused.stderr
        assert "--unsealed" in refused.stderr
    assert "is whole (not encrypted" in shell.run("verify", "--latest", "--unsealed").stdout
    shell.environ["LECTERN_BACKUP_UNSEALED"] = "true"
    assert "has no configuration part" in shell.run("backups", "config").stderr


def test_a_bucket_without_points_says_what_to_do(shell: Shell, tmp_path: Path) -> None:
    """A newcomer would get a stack trace, or silence."""
    shell.environ["STORAGE_BUCKET"] = (tmp_path / "other").as_uri()
    assert "`lectern backup` makes one" in shell.run("backups").stderr
    done = shell.run("verify")
    assert done.exit_code == 1
    assert "`lectern backup` makes one" in done.stderr


def test_a_backup_is_copied_and_so_are_those_whose_copy_failed(shell: Shell, tmp_path: Path) -> None:
    """A night without the second bucket would leave a hole in it for ever."""
    own = settings_module.load(
        {**shell.environ, "LECTERN_BACKUP_KEEP_DAYS": "36500", "LECTERN_HOME": str(tmp_path)}
    )
    (shell.folder / "second").write_text("no folder")
    problems = backups.after_commit(own, point_id(day(1)))
    assert len(problems) == 3  # neither the point nor the deletions were copied, and nothing was pruned there
    assert all("second" in problem for problem in problems)
    status = read_status(shell.store, soon())
    assert status
    assert status.newest == point_id(day(2))
    (shell.folder / "second").unlink()
    assert backups.after_commit(own, point_id(day(2))) == ()
    copies = FolderStore(shell.folder / "second")
    assert list(committed_points(copies, soon())) == [point_id(day(n)) for n in range(3)]
