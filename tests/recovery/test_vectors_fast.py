"""The fast tier: snapshots of the server beside the export, used where they fit and never trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from shared.adapters.qdrant.snapshots import QdrantSnapshots
from shared.embedded.qdrant import EmbeddedQdrant
from shared.ports.snapshots import VectorSnapshots
from shared.recovery.point import PartRecord
from shared.recovery.vectors import Cut, VectorExport, VectorFacts
from shared.recovery.vectors_check import check_vectors
from shared.recovery.vectors_restore import Restored, VectorRestore
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import packed
from tests.recovery.engine_snapshots import EngineSnapshots
from tests.recovery.vector_world import AT, POINT, World, many_points, patient, reserved


def soon() -> Deadline:
    return Deadline.after(30)


@dataclass
class Fast:
    """A filled world and its node; ``stand_in`` where the engine makes no snapshots itself."""

    world: World
    node: VectorSnapshots
    stand_in: EngineSnapshots
    name: str
    digest: str

    def export(self, nodes: Sequence[VectorSnapshots]) -> PartRecord:
        world = self.world
        export = VectorExport(
            world.bulk,
            world.store,
            world.cipher(),
            alias=world.alias,
            now=lambda: AT,
            object_bytes=20_000,
            nodes=nodes,
        )
        return export.run(Cut(POINT, 7, AT, "a-1"), patient())

    def restore(self, record: PartRecord, nodes: Sequence[VectorSnapshots]) -> Restored:
        world = self.world
        world.admin.drop(self.name, soon())
        work = VectorRestore(
            world.bulk, world.admin, world.store, world.cipher(), alias=world.alias, nodes=nodes
        )
        done = work.run(record, patient())
        assert world.digest(self.name) == self.digest
        assert world.bulk.aliases(soon())[world.alias] == self.name
        ours = [one for one in world.admin.collections(soon()) if one.startswith(self.name)]
        assert ours == [self.name], "probes were to be removed"
        return done


@pytest.fixture
def fast(world: World, request: pytest.FixtureRequest) -> Iterator[Fast]:
    name = world.fill([packed(reserved()), *many_points(300)])
    stand_in = EngineSnapshots(world.bulk, world.admin)
    with QdrantSnapshots(world.place.url, world.place.api_key) as real:
        embedded = request.node.callspec.params["where"] == "embedded"
        yield Fast(world, stand_in if embedded else real, stand_in, name, world.digest(name))


def test_snapshots_are_stored_beside_the_export_and_come_back(fast: Fast) -> None:
    """A large index would take as long as its slowest way back."""
    record = fast.export([fast.node])
    (entry,) = record.facts(VectorFacts).snapshots
    assert entry.object in {one.name for one in record.objects}
    assert all(one.key_id for one in record.objects), "the snapshot was to be encrypted, too"
    done = fast.restore(record, [fast.node])
    assert (done.fast, done.fast_problem) == (True, "")
    assert "recover" in done.seconds
    assert check_vectors(record, fast.world.store, fast.world.cipher(), patient()).digest == fast.digest
    assert not fast.stand_in.files, "nothing was to be left on the node"


def test_without_nodes_the_export_is_restored(fast: Fast) -> None:
    """A point with snapshots could only be restored to the cluster that it came from."""
    record = fast.export([fast.node])
    done = fast.restore(record, [])
    assert (done.fast, done.fast_problem) == (False, "")


def test_an_engine_that_makes_none_is_backed_up_all_the_same(world: World) -> None:
    """On one machine the setting would break the backup."""
    other = EmbeddedQdrant(world.key.parent / "other", api_key="k")
    with other, QdrantSnapshots(other.url, "k") as node:
        name = world.fill([packed(reserved()), *many_points(300)])
        record = Fast(world, node, EngineSnapshots(world.bulk, world.admin), name, "").export([node])
    facts = record.facts(VectorFacts)
    assert (facts.snapshots, facts.snapshots_problem) == ((), "")
    assert check_vectors(record, world.store, world.cipher(), patient()).points == 301


def test_a_server_of_another_version_is_restored_from_the_export(fast: Fast) -> None:
    """After an upgrade no older recovery point would come back."""
    record = fast.export([fast.stand_in])
    fast.stand_in.refuses = True
    done = fast.restore(record, [fast.stand_in])
    assert not done.fast
    assert "does not fit" in done.fast_problem


def test_another_number_of_nodes_is_restored_from_the_export(fast: Fast) -> None:
    """Half of the shards would come back, and count as the whole."""
    record = fast.export([fast.stand_in])
    done = fast.restore(record, [fast.stand_in, fast.stand_in])
    assert "there are 2" in done.fast_problem
    assert fast.stand_in.recovered == 0


def test_the_nodes_of_another_cluster_are_left_alone(fast: Fast) -> None:
    """A drill with production's settings would restore over production."""
    record = fast.export([fast.stand_in])
    other = EmbeddedQdrant(fast.world.key.parent / "other", api_key="k")
    with other, QdrantSnapshots(other.url, "k") as stranger:
        done = fast.restore(record, [stranger])
    assert "another cluster" in done.fast_problem


def test_a_download_that_was_changed_is_not_kept(fast: Fast) -> None:
    """The damage would be noticed on the day of the restore."""
    fast.stand_in.damage = lambda data: data[:-1] + bytes([data[-1] ^ 1])
    record = fast.export([fast.stand_in])
    facts = record.facts(VectorFacts)
    assert facts.snapshots == ()
    assert "SHA-256" in facts.snapshots_problem
    assert facts.digest == fast.digest


def test_a_snapshot_that_was_damaged_in_the_bucket_is_not_used(fast: Fast) -> None:
    """A flipped bit would come back where nothing reads it again."""
    record = fast.export([fast.stand_in])
    (entry,) = record.facts(VectorFacts).snapshots
    stored = bytearray(fast.world.store.get(entry.object, soon())[0])
    stored[len(stored) // 2] ^= 1
    fast.world.store.put(entry.object, bytes(stored), soon())
    done = fast.restore(record, [fast.stand_in])
    assert not done.fast
    assert done.fast_problem
