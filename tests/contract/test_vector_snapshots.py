"""The contract of VectorSnapshots: on a server that makes them, on an engine that does not."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.adapters.qdrant.snapshots import QdrantSnapshots
from shared.errors import DeadlineExceeded, Missing, Rejected, Unreachable
from shared.ports.snapshots import Snapshot, VectorSnapshots
from shared.recovery.vectors_check import count_collection
from shared.resilience.deadline import Deadline
from tests.contract.qdrant_faults import FAULTS, Fault, peer
from tests.contract.qdrant_places import PLACES, Place, free_port, place
from tests.recovery.vector_world import SPEC, many_points, patient

SNAPSHOT = Snapshot("c-1.snapshot", 3, "ab" * 32, "1.16.3")


def soon() -> Deadline:
    return Deadline.after(30)


@pytest.fixture(scope="module", params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture
def node(where: Place) -> Iterator[VectorSnapshots]:
    with QdrantSnapshots(where.url, where.api_key) as port:
        yield port


@pytest.fixture
def collection(where: Place) -> Iterator[str]:
    """A collection with 300 points."""
    name = f"snap-{uuid4().hex[:8]}"
    with QdrantAdmin(where.url, where.api_key) as admin, QdrantBulk(where.url, where.api_key) as bulk:
        admin.create(name, SPEC, soon())
        bulk.write(name, many_points(300), soon())
        yield name
        for each in admin.collections(soon()):
            if each.startswith(name):
                admin.drop(each, soon())


@pytest.fixture
def makes_none(request: pytest.FixtureRequest) -> bool:
    """Whether it is the embedded engine."""
    return bool(request.node.callspec.params["where"] == "embedded")


def downloaded(node: VectorSnapshots, collection: str, made: Snapshot) -> bytes:
    pieces = []
    with node.download(collection, made.name, soon()) as read:
        while piece := read(50_000):
            assert len(piece) <= 50_000
            pieces.append(piece)
    return b"".join(pieces)


def test_a_collection_comes_back_from_its_snapshot(
    node: VectorSnapshots, where: Place, collection: str, makes_none: bool
) -> None:
    """The fast way back would be a slow one, or none."""
    if makes_none:
        with pytest.raises(Missing):
            node.create(collection, soon())
        return
    with QdrantBulk(where.url, where.api_key) as bulk, QdrantAdmin(where.url, where.api_key) as admin:
        before = count_collection(bulk, collection, patient())
        made = node.create(collection, soon())
        data = downloaded(node, collection, made)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (made.size, made.sha256)
        assert made.version
        node.delete(collection, made.name, soon())
        with pytest.raises(Missing):
            downloaded(node, collection, made)
        admin.drop(collection, soon())
        node.recover(collection, made, [data[n : n + 9999] for n in range(0, len(data), 9999)], soon())
        assert count_collection(bulk, collection, patient()) == before


def test_what_is_there_is_replaced_and_not_mixed(
    node: VectorSnapshots, where: Place, collection: str, makes_none: bool
) -> None:
    """A server takes its own state for the newer one unless it is told otherwise."""
    if makes_none:
        return  # the test above has said so
    with QdrantBulk(where.url, where.api_key) as bulk:
        before = count_collection(bulk, collection, patient())
        made = node.create(collection, soon())
        data = downloaded(node, collection, made)
        bulk.write(collection, many_points(50, seed=9), soon())
        node.recover(collection, made, [data], soon())
        assert count_collection(bulk, collection, patient()) == before


def test_bytes_that_were_changed_are_refused(
    node: VectorSnapshots, collection: str, makes_none: bool
) -> None:
    """A damaged snapshot would be taken into the cluster."""
    if makes_none:
        with pytest.raises(Missing):
            node.recover(collection, SNAPSHOT, [b"abc"], soon())
        return
    made = node.create(collection, soon())
    data = bytearray(downloaded(node, collection, made))
    data[len(data) // 2] ^= 1
    with pytest.raises(Rejected, match=r"[Cc]hecksum"):
        node.recover(f"{collection}-2", made, [bytes(data)], soon())


def test_a_node_sees_the_collections_of_its_cluster(node: VectorSnapshots, collection: str) -> None:
    """A drill would restore over production."""
    assert node.sees(collection, soon())
    assert not node.sees(f"{collection}-none", soon())


CALLS: dict[str, Callable[[VectorSnapshots, Deadline], object]] = {
    "sees": lambda port, deadline: port.sees("c", deadline),
    "create": lambda port, deadline: port.create("c", deadline),
    "delete": lambda port, deadline: port.delete("c", "s", deadline),
    "recover": lambda port, deadline: port.recover("c", SNAPSHOT, [b"abc"], deadline),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_name(fault: Fault, call: Callable[[VectorSnapshots, Deadline], object]) -> None:
    """A backup would end in a stack trace."""
    with peer(fault.sent) as url, QdrantSnapshots(url, "key") as port:
        began = time.monotonic()
        with pytest.raises(fault.raised) as caught:
            call(port, Deadline.after(0.15 if fault.sent is None else 10))
        assert time.monotonic() - began < 2
        assert caught.value.service == "qdrant"


@every_call
def test_nobody_listening_is_unreachable(call: Callable[[VectorSnapshots, Deadline], object]) -> None:
    """A stopped node would not be told from a slow one."""
    with QdrantSnapshots(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(Unreachable):
        call(port, soon())


@every_call
def test_no_time_left_sends_nothing(call: Callable[[VectorSnapshots, Deadline], object]) -> None:
    """A job that is being stopped would go on."""
    with QdrantSnapshots(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(DeadlineExceeded):
        call(port, Deadline.after(-1))
