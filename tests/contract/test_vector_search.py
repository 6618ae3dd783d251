"""The contract of VectorSearch, on every Qdrant."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import trustme

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.search import QdrantSearch
from shared.embedded.qdrant import EmbeddedQdrant
from shared.errors import (
    AccessDenied,
    DeadlineExceeded,
    Garbled,
    Missing,
    Rejected,
    SettingsError,
    TimedOut,
    Unreachable,
)
from shared.ports import CollectionSpec, Condition, Point, Search, SparseVector, VectorSearch
from shared.resilience.deadline import Deadline
from tests.contract.qdrant_faults import FAULTS, Fault, http, peer
from tests.contract.qdrant_places import PLACES, Place, free_port, place

SPEC = CollectionSpec({"dense": 4}, ("text",), ("page",))
ANY = Search("dense", (1.0, 0.0, 0.0, 0.0), 3)


def soon() -> Deadline:
    return Deadline.after(20)


def identity(number: int) -> str:
    return str(UUID(int=number))


def points(number: int) -> list[Point]:
    """Point n leans away from the first axis by n, and carries the terms 1 and n + 2."""
    return [
        Point(
            identity(n),
            {"dense": (1.0, 0.0, n / 10, 0.0), "text": SparseVector((1, n + 2), (0.5, 1.0 + n))},
            {"page": f"p{n % 3}", "number": n, "code": n % 2 == 0, "nested": {"path": ["a", None, 1.5]}},
        )
        for n in range(number)
    ]


@pytest.fixture(scope="module", params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture(scope="module")
def collection(where: Place) -> Iterator[str]:
    """Twelve points, behind an alias too."""
    name = f"contract-{uuid4().hex[:8]}"
    with QdrantAdmin(where.url, where.api_key) as admin:
        admin.create(name, SPEC, soon())
        admin.upsert(name, points(12), soon())
        admin.switch_alias(f"{name}-live", name, soon())
        yield name
        admin.drop(name, soon())


@pytest.fixture
def search(where: Place) -> Iterator[VectorSearch]:
    with QdrantSearch(where.url, where.api_key) as port:
        yield port


def test_one_batch_answers_each_search_in_order(search: VectorSearch, collection: str) -> None:
    """Lists would be swapped or unsorted, and the fusion would rank by the wrong scores."""
    dense, sparse = search.search(
        collection,
        [ANY, Search("text", SparseVector((5, 7), (1.0, 1.0)), 10)],
        soon(),
    )
    assert [hit.id for hit in dense] == [identity(0), identity(1), identity(2)]
    assert dense[0].score == pytest.approx(1.0)
    assert dense[1].score == pytest.approx(1 / math.hypot(1, 0.1), abs=1e-5)
    assert [(hit.id, hit.score) for hit in sparse] == [(identity(5), 6.0), (identity(3), 4.0)]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((Condition("page", ("p1",)),), {1, 4, 7, 10}),
        ((Condition("page", ("p1", "p2")), Condition("code", (True,))), {2, 4, 8, 10}),
        ((Condition("code", (False,)),), {1, 3, 5, 7, 9, 11}),
        ((Condition("code", (True, False)), Condition("number", (3, 4, 99))), {3, 4}),
        ((Condition("number", (3, "p1")),), {3}),
        ((Condition("nested.path", ("a",)), Condition("number", (6,))), {6}),
        ((Condition("absent", ("x",)),), set()),
    ],
)
def test_conditions_keep_what_meets_them_all(
    search: VectorSearch, collection: str, conditions: tuple[Condition, ...], expected: set[int]
) -> None:
    """A reader of one version of the docs would be answered from another."""
    [hits] = search.search(collection, [Search("dense", ANY.vector, 100, conditions)], soon())
    assert {hit.id for hit in hits} == {identity(n) for n in expected}


def test_an_alias_is_searched_like_its_collection(search: VectorSearch, collection: str) -> None:
    """A switch to the next generation would need a release."""
    assert search.search(f"{collection}-live", [ANY], soon()) == search.search(collection, [ANY], soon())
    assert search.aliases(soon())[f"{collection}-live"] == collection


def test_terms_that_nothing_has_find_nothing(search: VectorSearch, collection: str) -> None:
    """A question in another language would be an error instead of 'the docs do not say'."""
    assert search.search(collection, [Search("text", SparseVector((4000000000,), (1.0,)), 5)], soon()) == [[]]


def test_points_come_back_in_the_order_asked(search: VectorSearch, collection: str) -> None:
    """Passages would be shown under the wrong titles."""
    wanted = [identity(7), str(uuid4()), identity(2), identity(11).upper()]
    found = search.retrieve(collection, wanted, soon())
    assert [point.payload["number"] for point in found] == [7, 2, 11]
    assert found[0] == Point(identity(7), {}, points(12)[7].payload)


def test_asking_for_nothing_is_answered_with_nothing(search: VectorSearch, collection: str) -> None:
    """An empty page of results would cost a round trip or fail."""
    assert search.retrieve(collection, [], soon()) == []
    assert search.search(collection, [], soon()) == []


def test_one_port_serves_many_threads(search: VectorSearch, collection: str) -> None:
    """Two readers at once would get each other's answers."""
    wrong: list[object] = []

    def ask(number: int) -> None:
        for _ in range(10):
            [hits] = search.search(
                collection, [Search("text", SparseVector((number + 2,), (1.0,)), 5)], soon()
            )
            wrong.extend(hit for hit in hits if hit.id != identity(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_collection_that_is_not_there_is_missing(search: VectorSearch, collection: str) -> None:
    """Chat could not tell 'not ingested yet' from an outage, and would wait for nothing."""
    with pytest.raises(Missing, match=f"{collection}-no"):
        search.search(f"{collection}-no", [ANY], soon())
    with pytest.raises(Missing):
        search.retrieve(f"{collection}-no", [identity(1)], soon())


@pytest.mark.parametrize(
    "wrong",
    [
        Search("dense", (1.0, 0.0), 3),
        Search("dense", (), 3),
        Search("dense", (1.0, 0.0, 0.0, math.nan), 3),
        Search("dense", (1.0, 0.0, 0.0, math.inf), 3),
        Search("dense", (1.0, 0.0, 0.0, 1e39), 3),
        Search("dense", ANY.vector, 0),
        Search("nowhere", ANY.vector, 3),
        Search("text", ANY.vector, 3),
        Search("dense", SparseVector((1,), (1.0,)), 3),
        Search("text", SparseVector((1, 2), (1.0,)), 3),
        Search("text", SparseVector((1, 1), (1.0, 2.0)), 3),
        Search("text", SparseVector((-1,), (1.0,)), 3),
        Search("text", SparseVector((2**32,), (1.0,)), 3),
        Search("text", SparseVector((1,), (math.nan,)), 3),
        Search("text", SparseVector((), ()), 3),
        Search("dense", ANY.vector, 3, (Condition("page", ()),)),
    ],
    ids=str,
)
def test_a_search_that_cannot_be_meant_is_rejected(
    search: VectorSearch, collection: str, wrong: Search
) -> None:
    """A bad vector would rank at random, or take the engine down with it."""
    with pytest.raises(Rejected):
        search.search(collection, [ANY, wrong], soon())
    assert len(search.search(collection, [ANY], soon())[0]) == 3


def test_an_id_that_is_no_uuid_is_rejected(search: VectorSearch, collection: str) -> None:
    """A mistake in a citation would look like an outage."""
    with pytest.raises(Rejected, match="seven"):
        search.retrieve(collection, ["seven"], soon())


def test_a_wrong_key_is_denied_everywhere(where: Place, collection: str) -> None:
    """An expired key would be retried for ever instead of being reported."""
    if not where.api_key:
        pytest.fail("give QDRANT_API_KEY with QDRANT_URL")
    with QdrantSearch(where.url, "not-the-key") as port:
        for call in CALLS.values():
            with pytest.raises(AccessDenied) as caught:
                call(port, soon())
            assert "not-the-key" not in str(caught.value)
            assert "QDRANT_API_KEY" in caught.value.hint


def test_ping_returns_when_it_answers(search: VectorSearch) -> None:
    """The health page would call a working service down."""
    search.ping(soon())


CALLS: dict[str, Callable[[VectorSearch, Deadline], object]] = {
    "search": lambda port, deadline: port.search("c", [ANY], deadline),
    "retrieve": lambda port, deadline: port.retrieve("c", [identity(1)], deadline),
    "aliases": lambda port, deadline: port.aliases(deadline),
    "ping": lambda port, deadline: port.ping(deadline),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_name(fault: Fault, call: Callable[[VectorSearch, Deadline], object]) -> None:
    """A rung of the ladder would see an exception that it does not know, and the reader a stack trace."""
    with peer(fault.sent) as url, QdrantSearch(url, "key") as port:
        with pytest.raises(fault.raised) as caught:
            call(port, Deadline.after(0.15 if fault.sent is None else 10))
        assert type(caught.value) is fault.raised
        assert caught.value.service == "qdrant"
        if fault.raised is not Missing and fault.retry_after is not None:
            assert caught.value.retry_after == fault.retry_after


@every_call
def test_nobody_listening_is_unreachable(call: Callable[[VectorSearch, Deadline], object]) -> None:
    """A stopped cluster would not be told from a slow one."""
    with QdrantSearch(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(Unreachable, match="refused"):
        call(port, soon())


def test_no_such_host_is_unreachable() -> None:
    """A typing mistake in the address would surface as something internal."""
    with QdrantSearch("http://qdrant.invalid:6333") as port, pytest.raises(Unreachable) as caught:
        port.ping(soon())
    assert "QDRANT_URL" in caught.value.hint


@every_call
def test_no_time_left_sends_nothing(call: Callable[[VectorSearch, Deadline], object]) -> None:
    """A request whose reader has gone would still load the cluster."""
    with QdrantSearch(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(DeadlineExceeded):
        call(port, Deadline.after(-1))


def test_an_answer_that_drips_ends_with_the_deadline() -> None:
    """A peer that sends a byte now and then would hold a request for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_drip, args=(listener,))
        thread.start()
        started = time.monotonic()
        with QdrantSearch(f"http://127.0.0.1:{listener.getsockname()[1]}") as port, pytest.raises(TimedOut):
            port.ping(Deadline.after(0.3))
        assert time.monotonic() - started < 1.5
        thread.join()


def _drip(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                connection.sendall(b" ")
                time.sleep(0.02)
        except OSError:
            return


def test_a_slow_peer_is_given_no_more_than_the_setting() -> None:
    """One hanging replica would eat the whole request, and leave nothing for the next rung."""
    with peer(None) as url, QdrantSearch(url, most_seconds=0.1) as port:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            port.ping(soon())
        assert time.monotonic() - started < 1.5


def test_too_few_lists_are_garbled() -> None:
    """The fusion would take one ranking for another."""
    body = b'{"result": [{"points": []}], "status": "ok", "time": 0.1}'
    with (
        peer(http("200 OK", body)) as url,
        QdrantSearch(url) as port,
        pytest.raises(Garbled, match="1 lists"),
    ):
        port.search("c", [ANY, ANY], soon())


def test_a_connection_that_was_closed_meanwhile_is_replaced(tmp_path: Path) -> None:
    """The first question after a pause would fail, since the balancer ends idle connections."""
    number = free_port()
    with QdrantSearch(f"http://127.0.0.1:{number}") as port:
        for _ in range(3):
            with EmbeddedQdrant(tmp_path, port=number):  # its stop hangs up on kept connections
                port.ping(soon())
                port.ping(soon())


def _tls(host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context of one throw-away authority."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_a_trusted_certificate_is_accepted() -> None:
    """Nothing would work on Qdrant Cloud."""
    server, client = _tls("127.0.0.1")
    body = b'{"result": {"collections": []}, "status": "ok", "time": 0.1}'
    with peer(http("200 OK", body), server) as url, QdrantSearch(url, verify=client) as port:
        port.ping(soon())


@pytest.mark.parametrize("trusted", [True, False], ids=["another host's", "unknown authority's"])
def test_a_wrong_certificate_is_unreachable(trusted: bool) -> None:
    """The API key would be handed to whoever answers at that address."""
    server, client = _tls("elsewhere.example" if trusted else "127.0.0.1")
    verify = client if trusted else None
    with peer(http("200 OK", b"{}"), server) as url, QdrantSearch(url, "key", verify=verify) as port:
        with pytest.raises(Unreachable, match="certificate") as caught:
            port.ping(soon())
        assert "certificate" in caught.value.hint


@pytest.mark.parametrize("url", ["", "localhost:6333", "ftp://q", "http://", "http://q:port"])
def test_an_address_that_is_none_is_a_setting_to_correct(url: str) -> None:
    """The mistake would show at the first question instead of at the start."""
    with pytest.raises(SettingsError, match="QDRANT_URL"):
        QdrantSearch(url)
