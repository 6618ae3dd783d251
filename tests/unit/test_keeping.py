"""Recovery points in a bucket over time: listed, held, verified, removed, copied, told to health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.errors import AccessDenied, Corrupt, Missing
from shared.ports import ObjectInfo, ObjectStore
from shared.recovery import sealed
from shared.recovery.catalogue import read_catalogue, write_mark
from shared.recovery.copying import copy_point
from shared.recovery.crypto import PointCipher
from shared.recovery.point import FORMAT, manifest_name, point_id
from shared.recovery.prune import Pruned, prune
from shared.recovery.retention import Policy, decide
from shared.recovery.verify import require_whole, verify_point
from shared.resilience.deadline import Deadline
from tests.contract.object_store_subjects import Subject, subject
from tests.recovery_points import commit_point, cut_part, cut_point, day, patient, soon

ONE = Policy(days=0, last=1)


@pytest.fixture(params=["folder", "gcs"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with subject(request.param, tmp_path, versioning=True) as made:
        yield made


def pruned(store: ObjectStore, policy: Policy = ONE) -> Pruned:
    known = read_catalogue(store, soon())
    facts = [one.facts() for one in known.points]
    decisions = decide(facts, known.orphans, policy, day(100).timestamp())
    return prune(store, decisions, soon())


def ids(store: ObjectStore) -> list[str]:
    return [one.id for one in read_catalogue(store, soon()).points]


def mark(store: ObjectStore, at: int, kind: str, word: str, stamp: float, **body: str) -> None:
    write_mark(store, point_id(day(at)), kind, word, soon(), body=body, now=stamp)


def test_points_go_by_their_manifests_time(bucket: Subject) -> None:
    """A point that was cut late for an early time would be taken for an old one."""
    for number in (2, 0, 1):
        cut_point(bucket.store, day(number))
    assert ids(bucket.store) == [point_id(day(n)) for n in (2, 1, 0)]
    done = pruned(bucket.store)
    assert set(done.removed) == {point_id(day(0)), point_id(day(1))}
    assert ids(bucket.store) == [point_id(day(2))]
    assert (done.objects, done.refused) == (10, ())
    assert pruned(bucket.store).objects == 0


def test_held_and_verified_points_stay(bucket: Subject) -> None:
    """The point that a court asked for, or the only one that was proved, would be gone."""
    for number in range(5):
        cut_point(bucket.store, day(number))
    mark(bucket.store, 0, "holds", "on", 1.0, reason="case 12")
    mark(bucket.store, 1, "verified", "passed", 1.0)
    mark(bucket.store, 2, "verified", "passed", 1.0)
    mark(bucket.store, 2, "drills", "broken", 2.0)  # what came later counts
    mark(bucket.store, 3, "holds", "on", 1.0, reason="for now")
    mark(bucket.store, 3, "holds", "off", 2.0)
    pruned(bucket.store)
    assert ids(bucket.store) == [point_id(day(n)) for n in (4, 1, 0)]
    assert [one.hold for one in read_catalogue(bucket.store, soon()).points] == [None, None, "case 12"]


def test_a_retention_policy_of_the_bucket_is_told_and_respected(tmp_path: Path) -> None:
    """A pass would fail at the first object that may not go, or leave a manifest without its parts."""
    with subject("gcs", tmp_path) as made:
        cut_point(made.store, day(0))
        cut_point(made.store, day(1))
        assert made.fake
        made.fake.hold(manifest_name(point_id(day(0))))
        done = pruned(made.store)
        assert done.removed == ()
        assert len(done.refused) == 1
        assert manifest_name(point_id(day(0))) in done.refused[0]
        found = read_catalogue(made.store, soon()).find(point_id(day(0)))
        assert found.manifest
        assert verify_point(made.store, found.manifest, None, patient(), clock=lambda: 0.0).whole
        made.fake.hold(manifest_name(point_id(day(0))), on=False)
        assert pruned(made.store).removed == (point_id(day(0)),)


def test_parts_without_a_manifest_go_by_age(bucket: Subject) -> None:
    """Killed backups would fill the bucket; running ones would lose their parts."""
    cut_point(bucket.store, day(0))
    cut_part(bucket.store, day(1), "neon")
    assert not pruned(bucket.store).removed
    assert pruned(bucket.store, Policy(orphan_days=-1)).removed == (point_id(day(1)),)


def test_a_drill_that_failed_for_another_reason_leaves_a_point_verified(tmp_path: Path) -> None:
    """The only proved point would go because a drill had too little memory, or no network."""
    store = FolderStore(tmp_path)
    for number in range(3):
        cut_point(store, day(number))
        mark(store, number, "verified", "passed", 1.0)
    mark(store, 0, "drills", "failed", 2.0)
    mark(store, 1, "drills", "broken", 2.0)
    mark(store, 1, "drills", "failed", 3.0)
    mark(store, 2, "verified", "failed", 2.0)
    points = read_catalogue(store, soon()).points
    assert [(one.id, one.verified) for one in points] == [
        (point_id(day(n)), verified) for n, verified in ((2, False), (1, False), (0, True))
    ]
    assert [one.last_drill.word if one.last_drill else "" for one in points] == ["", "failed", "failed"]


def test_a_backup_that_goes_on_with_old_parts_keeps_them(bucket: Subject) -> None:
    """A backup that was started again after days would lose what it writes, while it writes it."""
    cut_part(bucket.store, day(0), "neon")
    orphans = read_catalogue(bucket.store, soon()).orphans
    decisions = decide([], orphans, Policy(orphan_days=-1), day(100).timestamp())
    assert not decisions[0].keep
    cut_part(bucket.store, day(0), "qdrant")
    done = prune(bucket.store, decisions, soon())
    assert done.objects == 0
    assert "a backup is at work on it" in done.refused[0]


def test_a_hold_that_came_in_between_is_honoured(bucket: Subject) -> None:
    """An operator's hold would come too late by a second and nobody would notice."""
    cut_point(bucket.store, day(0))
    cut_point(bucket.store, day(1))
    known = read_catalogue(bucket.store, soon())
    decisions = decide([one.facts() for one in known.points], (), ONE, day(9).timestamp())
    mark(bucket.store, 0, "holds", "on", 1.0, reason="wait")
    done = prune(bucket.store, decisions, soon())
    assert not done.removed
    assert "put on hold meanwhile" in done.refused[0]
    assert len(ids(bucket.store)) == 2


def test_a_manifest_that_cannot_be_read_is_listed_with_its_problem(bucket: Subject) -> None:
    """One broken point would hide all the others."""
    cut_point(bucket.store, day(0))
    bucket.store.put(manifest_name(point_id(day(1))), b'{"body":', soon())
    broken, good = read_catalogue(bucket.store, soon()).points
    assert (broken.id, broken.manifest, good.problem) == (point_id(day(1)), None, "")
    assert "not understood" in broken.problem
    newest = read_catalogue(bucket.store, soon()).newest()
    assert newest
    assert newest.id == point_id(day(0))


@pytest.mark.parametrize("gone", ["manifest.json", "holds/"])
def test_a_list_does_without_what_retention_removes_meanwhile(tmp_path: Path, gone: str) -> None:
    """An operator who lists the points while a backup ends would get an error, and so would health."""

    class Vanishing(FolderStore):
        def list(self, prefix: str, deadline: Deadline) -> Iterator[ObjectInfo]:
            found = list(super().list(prefix, deadline))
            for info in found:
                if info.name.startswith(f"{prefix}{point_id(day(0))}/{gone}"):
                    self.delete(info.name, deadline)
            return iter(found)

    store = FolderStore(tmp_path)
    for number in range(2):
        cut_point(store, day(number))
    mark(store, 0, "holds", "on", 1.0, reason="case 12")
    found = read_catalogue(Vanishing(tmp_path), soon())
    assert [one.id for one in found.points] == [point_id(day(1))]
    assert found.orphans == ()


def test_a_point_of_a_newer_release_hides_no_other(bucket: Subject) -> None:
    """After a rollback nobody could list, restore or remove the points that the older release can read."""
    newer = replace(cut_point(bucket.store, day(0)), id=point_id(day(2)), format=FORMAT + 1)
    bucket.store.put(manifest_name(newer.id), sealed.encode(newer, None, soon()), soon())
    cut_point(bucket.store, day(1))
    points = read_catalogue(bucket.store, soon()).points
    assert {one.id for one in points} == {point_id(day(n)) for n in range(3)}
    (problem,) = [one.problem for one in points if one.problem]
    assert "has format 2, this release reads up to 1" in problem
    assert point_id(day(0)) in pruned(bucket.store).removed


@pytest.mark.parametrize("encrypted", [False, True])
def test_verification_finds_what_is_missing_changed_and_cut(tmp_path: Path, encrypted: bool) -> None:
    """A point would be called whole, and found broken on the day it is needed."""
    store = FolderStore(tmp_path / "bucket")
    cipher = None
    if encrypted:
        make_key_file(tmp_path / "key")
        cipher = PointCipher(KeyFile(tmp_path / "key"), point_id(day(0)))
    manifest = cut_point(store, day(0), cipher=cipher, rows=500)
    good = verify_point(store, manifest, cipher, patient(), clock=lambda: 0.0)
    assert (good.whole, good.empty, good.encrypted) == (True, False, encrypted)
    assert (good.parts["neon"].rows, good.parts["qdrant"].points) == (500, 500)
    name = manifest.parts["neon"].objects[0].name
    data, _ = store.get(name, soon())
    for wrong in (data[:-9], data[:40] + bytes([data[40] ^ 1]) + data[41:], b""):
        store.put(name, wrong, soon())
        found = verify_point(store, manifest, cipher, patient(), clock=lambda: 0.0)
        assert not found.whole
        assert name in found.problems[0]
    store.delete(name, soon())
    found = verify_point(store, manifest, cipher, patient(), clock=lambda: 0.0)
    assert len(found.problems) == 1
    with pytest.raises(Corrupt, match=name):
        require_whole(found)
    if encrypted:
        with pytest.raises(AccessDenied, match="no key is configured"):
            verify_point(store, manifest, None, patient(), clock=lambda: 0.0)


class Counted(FolderStore):
    """Counts how often each object is opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: Counter[str] = Counter()

    def open_read(self, name: str, deadline: Deadline, *, generation: int | None = None):
        self.opened[name] += 1
        return super().open_read(name, deadline, generation=generation)


def test_verification_reads_each_object_once_and_tells_all_of_it(tmp_path: Path) -> None:
    """A point of many vectors would take twice the time, and its progress would end before the work."""
    cut = cut_point(FolderStore(tmp_path), day(0), rows=2000)
    store, told = Counted(tmp_path), []
    assert verify_point(store, cut, None, patient(), clock=lambda: 0.0, watch=told.append).whole
    assert store.opened == {entry.name: 1 for record in cut.parts.values() for entry in record.objects}
    assert (told[-1].done, told[-1].total) == (cut.bytes, cut.bytes)


def test_all_objects_of_the_vectors_that_are_broken_are_named(tmp_path: Path) -> None:
    """An operator would copy back one object after the other from the second bucket, with a run for each."""
    store = FolderStore(tmp_path)
    cut = cut_part(store, day(0), "qdrant", objects=3)
    manifest = commit_point(store, day(0), {"qdrant": cut})
    assert verify_point(store, manifest, None, patient(), clock=lambda: 0.0).whole
    first, _, last = (entry.name for entry in cut.objects)
    store.delete(first, soon())
    store.put(last, b"something else", soon())
    problems = verify_point(store, manifest, None, patient(), clock=lambda: 0.0).problems
    assert len(problems) == 2
    assert first in problems[0]
    assert last in problems[1]


def test_a_point_of_nothing_is_whole_and_says_that_it_is_empty(tmp_path: Path) -> None:
    """An operator of a new site could not tell an empty backup from a broken one."""
    store = FolderStore(tmp_path / "bucket")
    manifest = cut_point(store, day(0), rows=0)
    found = verify_point(store, manifest, None, patient(), clock=lambda: 0.0)
    assert found.whole
    assert found.empty


def test_a_copy_is_whole_and_is_not_made_twice(bucket: Subject, tmp_path: Path) -> None:
    """After the loss of a region the second bucket would hold something else, or half of it."""
    cut_point(bucket.store, day(0), rows=5000)
    copies = FolderStore(tmp_path / "second")
    first = copy_point(bucket.store, copies, point_id(day(0)), soon())
    again = copy_point(bucket.store, copies, point_id(day(0)), soon())
    assert (first.objects, first.present, again.objects, again.present) == (5, 0, 0, 5)
    manifest = read_catalogue(copies, soon()).find(point_id(day(0))).manifest
    assert manifest
    assert verify_point(copies, manifest, None, patient(), clock=lambda: 0.0).whole


def test_two_that_copy_the_same_point_at_once_both_end_well(tmp_path: Path) -> None:
    """A backup and an operator's `backups copy` would report damage where there is none."""

    class Overtaken(FolderStore):
        """Somebody else writes each object in the moment before."""

        def open_write(self, name: str, *rest: object, **options: object) -> object:
            FolderStore(tmp_path / "second").put(name, source.get(name, soon())[0], soon())
            return super().open_write(name, *rest, **options)

    source = FolderStore(tmp_path / "first")
    cut_point(source, day(0))
    copy_point(source, Overtaken(tmp_path / "second"), point_id(day(0)), soon())
    assert copy_point(source, FolderStore(tmp_path / "second"), point_id(day(0)), soon()).objects == 0


def test_a_changed_object_is_not_copied(bucket: Subject, tmp_path: Path) -> None:
    """Damage in the first bucket would be carried into the second one."""
    manifest = cut_point(bucket.store, day(0))
    name = manifest.parts["qdrant"].objects[0].name
    bucket.store.put(name, b"something else", soon())
    copies = FolderStore(tmp_path / "second")
    with pytest.raises(Corrupt, match="was changed"):
        copy_point(bucket.store, copies, point_id(day(0)), soon())
    assert not read_catalogue(copies, soon()).points
    with pytest.raises(Missing):
        copies.stat(name, soon())
