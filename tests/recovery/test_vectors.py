"""Vectors exported from a Qdrant come back the same, or not at all."""

from __future__ import annotations

import dataclasses
import subprocess
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import zstandard

from shared.errors import AccessDenied, Corrupt, PreconditionFailed
from shared.ports import CollectionSpec
from shared.recovery.point import PartRecord
from shared.recovery.vectors import VectorFacts
from shared.recovery.vectors_check import check_vectors
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import packed
from tests.recovery.vector_world import POINT, World, many_points, odd_points, patient, reserved, write_key


def soon() -> Deadline:
    return Deadline.after(30)


def everything() -> list:
    return [packed(reserved()), *map(packed, odd_points()), *many_points(700)]


def lose(world: World, *names: str) -> None:
    for name in names:
        world.admin.drop(name, soon())


def test_all_of_it_comes_back_the_same(world: World) -> None:
    """An index that was restored would answer otherwise than the one that was lost."""
    name = world.fill(everything())
    world.admin.switch_alias(f"{world.alias}-too", name, soon())
    before, setup = world.digest(name), world.bulk.facts(name, soon())
    record = world.export()
    assert len(record.objects) > 2, "it was to be cut into several objects"
    lose(world, name)
    restored = world.restore().run(record, patient())
    assert restored.collection == name
    assert world.digest(name) == before == restored.digest
    assert world.bulk.facts(name, soon()) == setup
    aliases = world.bulk.aliases(soon())
    assert aliases[world.alias] == aliases[f"{world.alias}-too"] == name
    assert restored.points == restored.written == len(everything())


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize(
    "points",
    [[], [packed(reserved())], [packed(point) for point in odd_points()[:1]], many_points(256)],
    ids=["none", "the reserved one", "a sparse one", "one page"],
)
def test_few_points_come_back_too(world: World, points: list, encrypted: bool) -> None:
    """A new site with an empty index could not be backed up."""
    name = world.fill(points)
    before = world.digest(name)
    record = world.export(encrypted=encrypted)
    lose(world, name)
    restored = world.restore().run(record, patient())
    assert world.digest(restored.collection) == before
    assert restored.points == len(points)


def test_an_index_by_words_alone_comes_back(world: World) -> None:
    """A site without an embedding model has no dense vectors."""
    spec = CollectionSpec({}, ("headings", "passages"), ("url",))
    points = [dataclasses.replace(p, vectors={"passages": p.vectors["passages"]}) for p in many_points(20)]
    name = world.fill([packed(reserved()), *points], spec=spec)
    before = world.digest(name)
    record = world.export()
    lose(world, name)
    world.restore().run(record, patient())
    assert world.digest(name) == before
    assert world.bulk.facts(name, soon()).spec == spec


def test_where_nothing_is_indexed_there_is_an_empty_part(world: World) -> None:
    """The backup of a database would fail until the first ingestion."""
    record = world.export()
    assert record.objects == ()
    assert check_vectors(record, world.store, world.cipher(), patient()).points == 0
    restored = world.restore().run(record, patient())
    assert (restored.collection, restored.points) == ("", 0)


def test_the_record_says_what_was_exported(world: World) -> None:
    """Nobody could say what a point holds without restoring it."""
    name = world.fill(everything())
    record = world.export()
    facts = record.facts(VectorFacts)
    assert facts.collection == name
    assert facts.aliases[world.alias] == name
    assert (facts.generation, facts.fingerprint) == ("g0001", "f1")
    assert (facts.model, facts.dimensions) == ("toy-model", 8)
    assert facts.points == len(everything()) == sum(entry.points for entry in record.objects)
    assert facts.digest == world.digest(name)
    assert facts.config["params"]["vectors"]["dense"]["size"] == 8
    assert set(facts.indexes) == {"locale", "url", "version"}
    again = msgspec.json.decode(msgspec.json.encode(record), type=PartRecord)
    assert again.facts(VectorFacts) == facts


def test_an_object_reads_with_standard_tools(world: World) -> None:
    """Who has lost Lectern, too, would sit before bytes that nothing else reads."""
    points = everything()
    world.fill(points)
    record = world.export(encrypted=False)
    raw = b""
    for entry in record.objects:
        stored, _ = world.store.get(entry.name, soon())
        lines = zstandard.ZstdDecompressor().stream_reader(stored).read().splitlines(keepends=True)
        raw += b"".join(lines[1:-1])
    read = (
        "import base64, json, struct, sys\n"
        "for line in sys.stdin:\n"
        "    point = json.loads(line)\n"
        "    dense = base64.b64decode(point['vectors'].get('dense', ''))\n"
        "    numbers = struct.unpack(f'<{len(dense) // 4}f', dense)\n"
        "    print(point['id'], len(numbers), len(point['payload']))\n"
    )
    done = subprocess.run(["python3", "-c", read], input=raw, capture_output=True, check=True)
    seen = sorted(done.stdout.decode().splitlines())
    wanted = [
        f"{point.id} {len(point.vectors.get('dense', b'')) // 4} {len(point.payload)}" for point in points
    ]
    assert seen == sorted(wanted)


def test_progress_is_told_and_ends(world: World) -> None:
    """An operator would not know whether a long restore still goes on."""
    name = world.fill(everything())
    told: list[tuple[str, int, int]] = []
    record = world.export(progress=lambda *step: told.append(step))
    lose(world, name)
    world.restore().run(record, patient(), lambda *step: told.append(step))
    phases = dict.fromkeys(phase for phase, _, _ in told)
    assert list(phases) == ["exporting points", "checking points", "restoring points", "comparing points"]
    for phase in phases:
        steps = [(done, total) for one, done, total in told if one == phase]
        assert all(a <= b for (a, _), (b, _) in pairwise(steps))
        assert steps[-1][0] >= len(everything()) - 1
        assert {total for _, total in steps} == {len(everything())}


# ------------------------------------------------------------ into what is there


def test_what_is_there_as_recorded_is_left_alone(world: World) -> None:
    """Restoring twice, or after a kill at the end, would take as long as the first time."""
    name = world.fill(everything())
    record = world.export()
    restored = world.restore().run(record, patient())
    assert (restored.collection, restored.written) == (name, 0)


def test_what_readers_see_is_not_replaced_unasked(world: World) -> None:
    """A restore that was started by mistake would take days of changes from the readers."""
    name = world.fill(everything())
    record = world.export()
    world.bulk.write(name, many_points(3, seed=9), soon())
    changed = world.digest(name)
    with pytest.raises(PreconditionFailed, match="--replace"):
        world.restore().run(record, patient())
    assert world.digest(name) == changed


@pytest.mark.parametrize("retired", ["gone", "still there"])
def test_a_newer_generation_is_not_replaced_unasked(world: World, retired: str) -> None:
    """Readers would be taken back to last month's index by a command that was to lose nothing."""
    old = world.fill(everything())
    record = world.export()
    if retired == "gone":
        lose(world, old)
    live = world.fill([packed(reserved("g0002")), *many_points(20, seed=9)], "g0002")
    with pytest.raises(PreconditionFailed, match=f"answered from {live}.*--replace"):
        world.restore().run(record, patient())
    assert world.bulk.aliases(soon())[world.alias] == live
    restored = world.restore().run(record, patient(), replace=True)
    assert world.bulk.aliases(soon())[world.alias] == restored.collection == old


def test_a_restore_that_was_killed_half_way_is_gone_on_with_unasked(world: World) -> None:
    """Readers would stay on the collection that was only to bridge the time."""
    name = world.fill(everything())
    record = world.export()
    beside = world.fill(everything(), f"g0001-{POINT.lower()}")
    lose(world, name)
    assert world.restore().run(record, patient()).collection == name
    assert world.bulk.aliases(soon())[world.alias] == name
    assert beside not in world.admin.collections(soon())


def test_replacing_leaves_readers_a_whole_index_all_the_time(world: World) -> None:
    """Readers would search in half an index while it is restored."""
    name = world.fill(everything())
    before = world.digest(name)
    record = world.export()
    world.bulk.write(name, many_points(3, seed=9), soon())
    damaged = world.bulk.count(name, soon())
    seen = set()

    def look(_phase: str, _done: int, _total: int) -> None:
        seen.add(world.bulk.count(world.alias, soon()))

    restored = world.restore().run(record, patient(), look, replace=True)
    assert world.digest(name) == before == world.digest(world.alias)
    assert seen == {damaged, restored.points}
    ours = [c for c in world.admin.collections(soon()) if c.startswith(world.collection("g"))]
    assert ours == [name], "the collection beside was to be removed"


def test_a_collection_that_a_killed_restore_left_is_made_again(world: World) -> None:
    """A restore that was killed could only be run again with --replace, or would be taken for whole."""
    name = world.fill(everything())
    before = world.digest(name)
    record = world.export()
    lose(world, name)
    world.bulk.create(name, record.facts(VectorFacts).setup, soon())
    world.bulk.write(name, many_points(300), soon())  # no reserved point yet, no alias
    restored = world.restore().run(record, patient())
    assert world.digest(name) == before
    assert restored.written == len(everything())


def test_behind_another_alias_nothing_of_the_first_is_touched(world: World) -> None:
    """A drill beside production would switch production's alias."""
    name = world.fill(everything())
    record = world.export()
    other = f"{world.alias.removesuffix('-live')}-drill-live"
    restored = world.restore(other).run(record, patient())
    assert restored.collection == f"{other.removesuffix('-live')}-g0001"
    aliases = world.bulk.aliases(soon())
    assert (aliases[other], aliases[world.alias]) == (restored.collection, name)


# ------------------------------------------------------------ damage


def test_nothing_is_written_of_a_part_that_is_damaged(world: World) -> None:
    """Half of a wrong index would stand in Qdrant before the damage is found."""
    name = world.fill(everything())
    record = world.export()
    lose(world, name)
    stored, _ = world.store.get(record.objects[-1].name, soon())
    data = bytearray(stored)
    data[-20] ^= 1
    world.store.put(record.objects[-1].name, bytes(data), soon())
    with pytest.raises(Corrupt):
        world.restore().run(record, patient())
    assert name not in world.admin.collections(soon())


def test_without_the_key_it_is_refused(world: World, tmp_path: Path) -> None:
    """The key would be asked for when half of it is restored."""
    world.fill(everything())
    record = world.export()
    with pytest.raises(AccessDenied):
        check_vectors(record, world.store, None, patient())
    world.key = write_key(tmp_path / "other", seed=2)
    with pytest.raises(AccessDenied):
        check_vectors(record, world.store, world.cipher(), patient())


@pytest.mark.parametrize("encrypted", [True, False])
def test_objects_that_are_missing_or_swapped_are_found(world: World, encrypted: bool) -> None:
    """A part would be taken for whole that lacks its middle, or has an object twice."""
    world.fill(everything())
    record = world.export(encrypted=encrypted)
    one, two, *rest = record.objects
    for wrong in ((one, *rest), (two, one, *rest), (one, one, *rest), (one, two), ()):
        broken = msgspec.structs.replace(record, objects=wrong)
        with pytest.raises(Corrupt):
            check_vectors(broken, world.store, world.cipher(), patient())


def test_a_record_that_lies_about_the_points_is_found(world: World) -> None:
    """Points of another recovery point would be restored for these."""
    world.fill(everything())
    record = world.export()
    for change in ({"points": 3}, {"digest": "0" * 32}, {"statistics": ""}):
        broken = msgspec.structs.replace(record, details={**record.details, **change})
        with pytest.raises(Corrupt):
            check_vectors(broken, world.store, world.cipher(), patient())


# ------------------------------------------------------------ going on


class Stop(Exception):
    """Ends a run from its progress."""


def stop_after(points: int):
    def stop(_phase: str, done: int, _total: int) -> None:
        if done > points:
            raise Stop

    return stop


def test_a_run_that_was_stopped_is_gone_on_with(world: World) -> None:
    """A backup longer than its time-out would begin again each time and never end."""
    name = world.fill(many_points(3000))
    with pytest.raises(Stop):
        world.export(object_bytes=100_000, progress=stop_after(1500))
    marks = [info.name for info in world.store.list(f"points/{POINT}/", soon()) if "mark-" in info.name]
    told: list[int] = []
    record = world.export(
        attempt="a-2", object_bytes=100_000, progress=lambda _phase, done, _total: told.append(done)
    )
    assert len(marks) > 1
    assert told[0] > 500, "it was to go on, not to begin again"
    assert record.attempt == "a-1"
    assert record.facts(VectorFacts).digest == world.digest(name)
    check_vectors(record, world.store, world.cipher(), patient())


@pytest.mark.parametrize("change", ["ledger", "collection", "points", "object", "mark", "key"])
def test_it_begins_again_when_something_is_not_as_it_was(world: World, change: str) -> None:
    """Points of two states of the site would be put together to one backup."""
    name = world.fill(many_points(3000))
    with pytest.raises(Stop):
        world.export(object_bytes=100_000, progress=stop_after(1500))
    names = [info.name for info in world.store.list(f"points/{POINT}/", soon())]
    mark = next(one for one in names if "mark-00001" in one)
    if change == "collection":
        name = world.fill(many_points(700, seed=3), "g0002")
    elif change == "points":
        world.bulk.write(name, many_points(3, seed=4), soon())
    elif change == "object":
        world.store.put(msgspec.json.decode(world.store.get(mark, soon())[0])["entry"]["name"], b"", soon())
    elif change == "mark":
        world.store.put(mark, b"{", soon())
    version = 8 if change == "ledger" else 7
    record = world.export(attempt="a-2", object_bytes=100_000, version=version, encrypted=change != "key")
    assert record.attempt == "a-2"
    assert record.facts(VectorFacts).digest == world.digest(name)
    check_vectors(record, world.store, world.cipher(), patient())


def test_two_at_once_do_not_mix(world: World) -> None:
    """A delivery that came twice would make a part of which each object is there twice."""
    world.fill(many_points(3000))
    inner: list[PartRecord] = []

    def second(_phase: str, done: int, _total: int) -> None:
        if done > 1500 and not inner:
            inner.append(world.export(attempt="a-2", object_bytes=100_000))

    with pytest.raises(PreconditionFailed, match="another run"):
        world.export(object_bytes=100_000, progress=second)
    check_vectors(inner[0], world.store, world.cipher(), patient())


def test_writes_meanwhile_are_noticed(world: World) -> None:
    """A backup would hold some of an ingestion, and say that it is whole."""
    name = world.fill(many_points(600))
    written: list[bool] = []

    def write(_phase: str, done: int, _total: int) -> None:
        if done and not written:
            written.append(True)
            world.bulk.write(name, many_points(5, seed=5), soon())

    with pytest.raises(PreconditionFailed, match="changed meanwhile"):
        world.export(progress=write)
