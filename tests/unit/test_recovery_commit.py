"""Two functions, one recovery point: whatever their order, and wherever one of them is stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from shared.embedded.folder import FolderStore
from shared.embedded.key_file import KeyFile, make_key_file
from shared.errors import AccessDenied, Corrupt, Missing, PreconditionFailed, Rejected
from shared.recovery import commit, sealed
from shared.recovery.commit import TWO, Outcome, Provenance
from shared.recovery.crypto import PointCipher
from shared.recovery.cutting import TRIES, Cutting
from shared.recovery.point import PartName, PartRecord, manifest_name, object_name, part_prefix, record_name
from shared.recovery.streams import check_object, part_writer
from shared.resilience.deadline import Deadline

POINT = "20260131T030000Z"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def soon() -> Deadline:
    return Deadline.after(60.0)


class House:
    """A ledger, its leases and what is in the index, in memory."""

    def __init__(self) -> None:
        self.ledger_version = 5
        self.held = 0
        self.losses = 0

    def version(self, _deadline: Deadline) -> int:
        return self.ledger_version

    @contextmanager
    def hold(self, _kind: str, _holder: str, _deadline: Deadline, **_options: object) -> Iterator[House]:
        self.held += 1
        yield self
        self.held -= 1

    def check(self, _deadline: Deadline) -> None:
        if self.losses:
            self.losses -= 1
            raise PreconditionFailed("test", "check", "the lease was lost")


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "bucket")


class Exporter:
    """Writes one object that says which version of the ledger it was made of."""

    def __init__(
        self,
        store: FolderStore,
        house: House,
        part: PartName,
        during: Callable[[], None],
        cipher: PointCipher | None = None,
    ) -> None:
        self.store, self.house, self.part, self.during, self.cipher = store, house, part, during, cipher
        self.runs = 0

    def __call__(self, point: str, attempt: str, deadline: Deadline) -> PartRecord:
        assert self.house.held, "without a lease"
        self.runs += 1
        version = self.house.ledger_version
        self.during()
        with part_writer(
            self.store, object_name(point, self.part, attempt, "rows"), self.cipher, deadline
        ) as writer:
            writer.write(f"version {version}".encode())
        return PartRecord(
            part=self.part,
            point=point,
            attempt=attempt,
            ledger_version=version,
            snapshot_at=NOON + timedelta(seconds=self.runs),
            finished_at=NOON,
            objects=(writer.entry,),
        )


def cutting(store: FolderStore, house: House, said: list[str] | None = None) -> Cutting:
    said = [] if said is None else said
    return Cutting(
        store, house, house, POINT, None, Provenance("abc", "r1"), say=said.append, now=lambda: NOON
    )


def cut(
    store: FolderStore, house: House, part: PartName, during: Callable[[], None] = lambda: None
) -> tuple[Outcome, int]:
    exporter = Exporter(store, house, part, during)
    return cutting(store, house).part(part, exporter, soon()), exporter.runs


def whole(store: FolderStore) -> int:
    """The ledger version of a point that is there, with parts that verify and fit together."""
    manifest = sealed.read_manifest(store, POINT, None, soon())
    assert set(manifest.parts) == set(TWO)
    for record in manifest.parts.values():
        assert record.ledger_version == manifest.ledger_version
        for entry in record.objects:
            check_object(store, entry, None, soon())
            assert store.get(entry.name, soon())[0]
    return manifest.ledger_version


@pytest.mark.parametrize("order", list(itertools.permutations(TWO)))
def test_whoever_comes_second_commits(
    store: FolderStore, house: House, order: tuple[PartName, PartName]
) -> None:
    """A point would only be made when the functions end in one order."""
    first, _ = cut(store, house, order[0])
    assert (first.state, first.needs) == ("waiting", order[1])
    second, _ = cut(store, house, order[1])
    assert second.state == "committed"
    assert second.manifest is not None
    assert (second.manifest.code_revision, second.manifest.release) == ("abc", "r1")
    assert whole(store) == 5


@pytest.mark.parametrize("order", list(itertools.permutations(TWO)))
def test_an_ingestion_between_the_parts_has_the_older_one_cut_again(
    store: FolderStore, house: House, order: tuple[PartName, PartName]
) -> None:
    """A point would tie a database to vectors that it does not know."""
    cut(store, house, order[0])
    house.ledger_version += 1
    outcome, _ = cut(store, house, order[1])
    assert (outcome.state, outcome.needs) == ("differs", order[0])
    assert "version 5" in outcome.reason
    assert "version 6" in outcome.reason
    with pytest.raises(Missing):
        store.stat(manifest_name(POINT), soon())
    assert cut(store, house, order[0])[0].state == "committed"
    assert whole(store) == 6


def test_a_rerun_cuts_nothing_twice(store: FolderStore, house: House) -> None:
    """A retry of Cloud Scheduler would export everything once more, or make a second point."""
    assert cut(store, house, "neon")[1] == 1
    again, runs = cut(store, house, "neon")
    assert (again.state, runs) == ("waiting", 0)
    cut(store, house, "qdrant")
    before = [info.name for info in store.list("points/", soon())]
    outcome, runs = cut(store, house, "qdrant")
    assert (outcome.state, runs) == ("committed", 0)
    assert [info.name for info in store.list("points/", soon())] == before


def test_a_part_whose_objects_are_gone_is_cut_again(store: FolderStore, house: House) -> None:
    """Retention that took the objects of an old attempt would leave a manifest that names nothing."""
    cut(store, house, "neon")
    (rows,) = [i.name for i in store.list(part_prefix(POINT, "neon"), soon()) if i.name.endswith("rows")]
    store.delete(rows, soon())
    outcome, _ = cut(store, house, "qdrant")
    assert (outcome.state, outcome.needs) == ("waiting", "neon")
    outcome, runs = cut(store, house, "neon")
    assert (outcome.state, runs) == ("committed", 1)
    assert whole(store) == 5


def test_a_ledger_that_moves_during_the_export_has_it_done_again(store: FolderStore, house: House) -> None:
    """An ingestion of an older release, which knows no backup lease, would tear the point."""
    moves = iter([1, 0])

    def write() -> None:
        house.ledger_version += next(moves)

    outcome, runs = cut(store, house, "neon", write)
    assert (outcome.state, runs) == ("waiting", 2)
    cut(store, house, "qdrant")
    assert whole(store) == 6


def test_a_lost_lease_has_the_export_done_again(store: FolderStore, house: House) -> None:
    """Vectors of the ingestion that took over, written before the ledger was, would be in the point."""
    house.losses = 1
    outcome, runs = cut(store, house, "qdrant")
    assert (outcome.state, runs) == ("waiting", 2)


def test_a_ledger_that_never_rests_is_given_up_by_name(store: FolderStore, house: House) -> None:
    """A backup would go round for ever."""

    def write() -> None:
        house.ledger_version += 1

    exporter = Exporter(store, house, "neon", write)
    with pytest.raises(PreconditionFailed, match=rf"each of {TRIES} tries"):
        cutting(store, house).part("neon", exporter, soon())
    assert exporter.runs == TRIES


def test_two_that_finish_together_make_one_point(store: FolderStore, house: House) -> None:
    """The second manifest would replace the first, or the second function would fail."""
    cut(store, house, "neon")
    theirs: list[Outcome] = []

    class Late(FolderStore):
        """Between our listing and our manifest, the other function commits."""

        def put(self, name: str, *rest: object, **options: object) -> object:
            if name == manifest_name(POINT):
                theirs.append(commit.settle(store, POINT, None, soon(), now=NOON, provenance=Provenance("o")))
            return super().put(name, *rest, **options)

    late = Late(store._root)
    mine, _ = cut(late, house, "qdrant")
    assert mine.manifest == theirs[0].manifest
    assert mine.manifest is not None
    assert mine.manifest.code_revision == "o"


def test_both_parts_in_one_run_share_one_lease(store: FolderStore, house: House) -> None:
    """`lectern backup` would let an ingestion in between its two exports."""
    exports = {part: Exporter(store, house, part, lambda: None) for part in TWO}
    outcome = cutting(store, house).parts(exports, soon())
    assert outcome.state == "committed"
    assert whole(store) == 5
    assert house.held == 0


class EncryptsOnly:
    """A key that a backup may wrap with, and not unwrap."""

    def __init__(self, keys: KeyFile) -> None:
        self._keys = keys

    @property
    def key_id(self) -> str:
        return self._keys.key_id

    def wrap(self, data_key: bytes, context: str, deadline: Deadline) -> bytes:
        return self._keys.wrap(data_key, context, deadline)

    def unwrap(self, _wrapped: bytes, _key_id: str, context: str, _deadline: Deadline) -> bytes:
        raise AccessDenied("test", "decrypt", f"{context} is not yours to read")


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    make_key_file(tmp_path / "key")
    return KeyFile(tmp_path / "key")


def cut_sealed(store: FolderStore, house: House, part: PartName, keys: KeyFile) -> Outcome:
    """Cut a part as a function does that may encrypt and not decrypt."""
    cipher = PointCipher(EncryptsOnly(keys), POINT)
    exporter = Exporter(store, house, part, lambda: None, cipher)
    return replace(cutting(store, house), cipher=cipher).part(part, exporter, soon())


def test_cutting_a_point_needs_no_right_to_decrypt(store: FolderStore, house: House, keys: KeyFile) -> None:
    """Whoever breaks into a backup function could read every backup that there is."""
    assert cut_sealed(store, house, "neon", keys).state == "waiting"
    assert cut_sealed(store, house, "neon", keys).state == "waiting"
    assert cut_sealed(store, house, "qdrant", keys).state == "committed"
    assert cut_sealed(store, house, "qdrant", keys).state == "committed"
    manifest = sealed.read_manifest(store, POINT, PointCipher(keys, POINT), soon())
    assert manifest.encrypted


def test_a_forged_record_that_was_committed_is_found(store: FolderStore, house: House, keys: KeyFile) -> None:
    """Somebody who can write to the bucket could take a table out of the point before it is committed."""
    cut_sealed(store, house, "neon", keys)
    (record,) = sealed.records(store, POINT, "neon", None, soon())
    name = record_name(POINT, "neon", record.attempt)
    store.put(name, sealed.encode(msgspec.structs.replace(record, objects=()), None, soon()), soon())
    assert cut_sealed(store, house, "qdrant", keys).state == "committed"
    genuine = PointCipher(keys, POINT)
    with pytest.raises(Corrupt, match="its seal is missing"):
        sealed.read_manifest(store, POINT, genuine, soon())
    store.put(name, sealed.encode(record, genuine, soon()), soon())
    with pytest.raises(Corrupt, match="says something else"):
        sealed.read_manifest(store, POINT, genuine, soon())
    store.delete(name, soon())
    with pytest.raises(Corrupt, match="record is missing"):
        sealed.read_manifest(store, POINT, genuine, soon())


def test_no_name_is_written_twice(store: FolderStore, house: House) -> None:
    """A bucket with a retention policy would refuse the second run."""

    class Retained(FolderStore):
        def open_write(self, name: str, *rest: object, **options: object) -> object:
            if any(info.name == name for info in self.list(name, soon())):
                raise Rejected("test", "write", f"{name} is retained")
            return super().open_write(name, *rest, **options)

    retained = Retained(store._root)
    moves = iter([1, 0, 0, 1, 0, 0, 0])

    def write() -> None:
        house.ledger_version += next(moves)

    cut(retained, house, "neon", write)
    house.ledger_version += 1
    cut(retained, house, "qdrant", write)
    cut(retained, house, "neon", write)
    assert cut(retained, house, "qdrant", write)[0].state == "committed"
    whole(store)
