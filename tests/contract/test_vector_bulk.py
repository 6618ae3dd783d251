"""The contract of VectorBulk, on every Qdrant."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.errors import DeadlineExceeded, Missing, PreconditionFailed, Rejected, TimedOut, Unreachable
from shared.ports import CollectionFacts, CollectionSpec, Point, SparseVector, VectorAdmin, VectorBulk
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import RunningDigest, packed, points_digest
from tests.contract.qdrant_faults import FAULTS, Fault, http, peer
from tests.contract.qdrant_places import PLACES, Place, free_port, place
from tests.contract.test_vector_search import _drip, _tls

SPEC = CollectionSpec({"dense": 3}, ("headings", "text"), ("page",))
FACTS = CollectionFacts(
    SPEC,
    {
        "params": {
            "vectors": {"dense": {"size": 3, "distance": "Cosine"}},
            "sparse_vectors": {"text": {}, "headings": {}},
        },
        "hnsw_config": {"m": 24, "ef_construct": 120},
        "quantization_config": None,
    },
    {"page": "keyword"},
)
THIRD = struct.unpack("<f", struct.pack("<f", 1 / 3))[0]
ODD = [
    Point(str(UUID(int=0)), {}, {"statistics": "e30=", "facts": {"generation": "g0001"}}),
    Point(str(UUID(int=1)), {"text": SparseVector((9, 3, 2**32 - 1), (0.1, 1e-30, 3.4e38))}, {}),
    Point(str(UUID(int=2)), {"dense": (2 * THIRD, THIRD, -2 * THIRD)}, {"n": None, "f": 1.0, "i": 1}),
    Point(str(UUID(int=3)), {"dense": (1.0, 0.0, 0.0)}, {"text": 'ünï 🌳 "\\\n\u0000 \u2028', "": [{}, []]}),
    Point(str(UUID(int=4)), {}, {"big": 2**63 - 1, "small": -(2**63), "e": 1.5e300, "page": "a/b"}),
    Point(str(UUID(int=2**127)), {"dense": (1e-8, 0.6, 0.8)}, {"deep": {"a": {"b": [1, [2, [3]]]}}}),
]


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.fixture(scope="module", params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture
def bulk(where: Place) -> Iterator[VectorBulk]:
    with QdrantBulk(where.url, where.api_key) as port:
        yield port


@pytest.fixture
def admin(where: Place) -> Iterator[VectorAdmin]:
    with QdrantAdmin(where.url, where.api_key) as port:
        yield port


@pytest.fixture
def name(admin: VectorAdmin) -> Iterator[str]:
    mine = f"bulk-{uuid4().hex[:8]}"
    yield mine
    for collection in admin.collections(soon()):
        if collection.startswith(mine):
            admin.drop(collection, soon())


def digest(bulk: VectorBulk, collection: str, limit: int = 256) -> str:
    running, offset = RunningDigest(), None
    while True:
        page = bulk.read(collection, soon(), offset=offset, limit=limit)
        for point in page.points:
            running.add(point)
        offset = page.next_offset
        if offset is None:
            return running.text


def test_what_is_read_can_be_written_elsewhere_and_reads_the_same(
    bulk: VectorBulk, admin: VectorAdmin, name: str
) -> None:
    """A restored index would differ from the one that was backed up, in a number or a letter."""
    admin.create(name, SPEC, soon())
    admin.upsert(name, ODD, soon())
    before = points_digest(admin.scroll(name, soon(), with_vectors=True).points)
    page = bulk.read(name, soon())
    bulk.create(f"{name}-2", bulk.facts(name, soon()), soon())
    bulk.write(f"{name}-2", page.points, soon())
    assert digest(bulk, name) == before
    assert digest(bulk, f"{name}-2") == before
    again = points_digest(admin.scroll(f"{name}-2", soon(), with_vectors=True).points)
    assert again == before


def test_a_point_packed_by_hand_is_the_one_that_comes_back(
    bulk: VectorBulk, admin: VectorAdmin, name: str
) -> None:
    """Numbers would change on their way into Qdrant and look right on the way out."""
    admin.create(name, SPEC, soon())
    given = [packed(point) for point in ODD]
    bulk.write(name, given, soon())
    page = bulk.read(name, soon())
    assert page.next_offset is None
    assert [point.id for point in page.points] == [point.id for point in given]
    assert [dict(point.payload) for point in page.points] == [dict(point.payload) for point in given]
    wanted = RunningDigest()
    for point in given:
        wanted.add(point)
    assert digest(bulk, name) == wanted.text


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 7])
def test_pages_hold_every_point_once(bulk: VectorBulk, admin: VectorAdmin, name: str, limit: int) -> None:
    """Points at the border of two pages would be lost or doubled."""
    admin.create(name, SPEC, soon())
    bulk.write(name, [packed(point) for point in ODD], soon())
    assert digest(bulk, name, limit) == digest(bulk, name)
    assert bulk.count(name, soon()) == len(ODD)


def test_a_collection_is_made_as_it_was_described(bulk: VectorBulk, admin: VectorAdmin, name: str) -> None:
    """A restored collection would be searched without its indexes, or with another tuning."""
    bulk.create(name, FACTS, soon())
    bulk.index(name, FACTS, soon())
    bulk.index(name, FACTS, soon())
    facts = bulk.facts(name, soon())
    assert facts.spec == SPEC
    assert facts.config["hnsw_config"]["m"] == 24
    bulk.create(f"{name}-2", facts, soon())
    bulk.index(f"{name}-2", facts, soon())
    again = bulk.facts(f"{name}-2", soon())
    assert again.spec == SPEC
    assert again.config["hnsw_config"] == facts.config["hnsw_config"]
    admin.create(f"{name}-2", SPEC, soon())  # ingestion takes it for its own


def test_one_that_exists_is_not_made_again(bulk: VectorBulk, name: str) -> None:
    """A restore would write among the points that readers see."""
    bulk.create(name, FACTS, soon())
    with pytest.raises(PreconditionFailed):
        bulk.create(name, FACTS, soon())


def test_what_is_not_there_is_missing(bulk: VectorBulk, name: str) -> None:
    """A backup of nothing would look like a backup."""
    for call in (
        lambda: bulk.facts(name, soon()),
        lambda: bulk.read(name, soon()),
        lambda: bulk.count(name, soon()),
        lambda: bulk.write(name, [packed(ODD[0])], soon()),
    ):
        with pytest.raises(Missing, match=name):
            call()


def test_aliases_are_listed(bulk: VectorBulk, admin: VectorAdmin, name: str) -> None:
    """The collection that readers see would not be found."""
    admin.create(name, SPEC, soon())
    admin.switch_alias(f"{name}-live", name, soon())
    assert bulk.aliases(soon())[f"{name}-live"] == name


def test_only_the_points_that_are_named_are_deleted(bulk: VectorBulk, admin: VectorAdmin, name: str) -> None:
    """A repair would take passages from the readers that are in order."""
    admin.create(name, SPEC, soon())
    bulk.write(name, [packed(point) for point in ODD], soon())
    bulk.delete(name, [ODD[1].id, str(UUID(int=77))], soon())
    bulk.delete(name, [], soon())
    left = [point.id for point in bulk.read(name, soon()).points]
    assert left == [point.id for point in ODD if point is not ODD[1]]


def test_ids_and_names_that_are_none_are_not_sent(bulk: VectorBulk) -> None:
    """A name could be another path of the service."""
    for call in (
        lambda: bulk.read("a/b", soon()),
        lambda: bulk.count("", soon()),
        lambda: bulk.facts("..", soon()),
        lambda: bulk.read("a", soon(), offset="7"),
        lambda: bulk.read("a", soon(), limit=0),
        lambda: bulk.delete("a", ["7"], soon()),
    ):
        with pytest.raises(Rejected):
            call()


CALLS: dict[str, Callable[[VectorBulk, Deadline], object]] = {
    "facts": lambda port, deadline: port.facts("c", deadline),
    "aliases": lambda port, deadline: port.aliases(deadline),
    "count": lambda port, deadline: port.count("c", deadline),
    "read": lambda port, deadline: port.read("c", deadline),
    "create": lambda port, deadline: port.create("c", FACTS, deadline),
    "delete": lambda port, deadline: port.delete("c", [ODD[0].id], deadline),
    "write": lambda port, deadline: port.write("c", [packed(ODD[0])], deadline),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_name(fault: Fault, call: Callable[[VectorBulk, Deadline], object]) -> None:
    """A backup would end in a stack trace, or give up what a retry would have saved."""
    with peer(fault.sent) as url, QdrantBulk(url, "key") as port:
        began = time.monotonic()
        with pytest.raises(fault.raised) as caught:
            call(port, Deadline.after(0.15 if fault.sent is None else 10))
        assert time.monotonic() - began < 2
        assert type(caught.value) is fault.raised
        assert caught.value.service == "qdrant"
        assert fault.retry_after in (None, caught.value.retry_after)


def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    """A peer that sends a byte now and then would hold a backup for hours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_drip, args=(listener,))
        thread.start()
        began = time.monotonic()
        with QdrantBulk(f"http://127.0.0.1:{listener.getsockname()[1]}") as port, pytest.raises(TimedOut):
            port.read("c", Deadline.after(0.3))
        assert time.monotonic() - began < 1.5
        thread.join()


def test_after_an_answer_that_was_left_the_next_one_is_its_own() -> None:
    """The rest of a broken answer would be read as the answer to another question."""
    whole = http("200 OK", b'{"result": {"count": 5}}').replace(b"Connection: close\r\n", b"")
    with peer(whole + b"HTTP/1.1 200 OK\r\n") as url, QdrantBulk(url) as port:
        assert port.count("c", soon()) == 5
        assert port.count("c", soon()) == 5


def test_a_certificate_of_somebody_else_is_refused() -> None:
    """The key of the cluster would be sent to whoever sits between."""
    server, client = _tls("127.0.0.1")
    _, stranger = _tls("127.0.0.1")
    body = http("200 OK", b'{"result": {"count": 5}}')
    with peer(body, server) as url, QdrantBulk(url, verify=client) as port:
        assert port.count("c", soon()) == 5
    refused = pytest.raises(Unreachable, match="TLS")
    with peer(body, server) as url, QdrantBulk(url, verify=stranger) as port, refused:
        port.count("c", soon())


@every_call
def test_nobody_listening_is_unreachable(call: Callable[[VectorBulk, Deadline], object]) -> None:
    """A stopped cluster would not be told from a slow one."""
    with QdrantBulk(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(Unreachable, match="refused"):
        call(port, soon())


@every_call
def test_no_time_left_sends_nothing(call: Callable[[VectorBulk, Deadline], object]) -> None:
    """A job that is being stopped would go on writing."""
    with QdrantBulk(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(DeadlineExceeded):
        call(port, Deadline.after(-1))
