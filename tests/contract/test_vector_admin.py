"""The contract of VectorAdmin, on every Qdrant."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.search import QdrantSearch
from shared.errors import (
    AccessDenied,
    DeadlineExceeded,
    LecternError,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    SettingsError,
    Unreachable,
)
from shared.ports import CollectionSpec, Condition, Point, SparseVector, VectorAdmin
from shared.resilience.deadline import Deadline
from tests.contract.qdrant_faults import FAULTS, Fault, answering, peer
from tests.contract.qdrant_places import PLACES, Place, free_port, place
from tests.contract.test_vector_search import _tls

SPEC = CollectionSpec({"dense": 3}, ("text", "headings"), ("page",))


def soon() -> Deadline:
    return Deadline.after(20)


def identity(number: int) -> str:
    return str(UUID(int=number))


def point(number: int, page: str = "a") -> Point:
    vectors = {"dense": (0.0, 0.6, 0.8), "text": SparseVector((3, number + 10), (0.5, 2.0))}
    return Point(identity(number), vectors, {"page": page, "lines": [1, 2], "more": {"x": None}})


@pytest.fixture(scope="module", params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(request.param, tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture
def admin(where: Place) -> Iterator[VectorAdmin]:
    with QdrantAdmin(where.url, where.api_key) as port:
        yield port


@pytest.fixture
def name(admin: VectorAdmin) -> Iterator[str]:
    """A name for a collection; what is made under it goes after the test."""
    mine = f"contract-{uuid4().hex[:8]}"
    yield mine
    for collection in admin.collections(soon()):
        if collection.startswith(mine):
            admin.drop(collection, soon())


@pytest.fixture
def made(admin: VectorAdmin, name: str) -> str:
    admin.create(name, SPEC, soon())
    return name


def ids(admin: VectorAdmin, collection: str) -> list[int]:
    return [UUID(each.id).int for each in admin.scroll(collection, soon(), limit=1000).points]


def test_what_was_made_is_listed_until_it_is_dropped(admin: VectorAdmin, name: str) -> None:
    """Old generations would pile up, or a live one vanish from the list."""
    admin.create(name, SPEC, soon())
    admin.create(f"{name}-2", SPEC, soon())
    listed = admin.collections(soon())
    assert listed == sorted(listed)
    assert {name, f"{name}-2"} <= set(listed)
    admin.drop(name, soon())
    admin.drop(name, soon())
    assert name not in admin.collections(soon())


def test_making_it_again_changes_nothing(admin: VectorAdmin, made: str) -> None:
    """An ingestion that was interrupted could not be started again."""
    admin.upsert(made, [point(1)], soon())
    admin.create(made, SPEC, soon())
    assert admin.count(made, soon()) == 1


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (replace(SPEC, dense={"dense": 4}), "3 numbers there and dense with 4"),
        (replace(SPEC, dense={}), "'dense' is dense with 3 numbers there and missing here"),
        (replace(SPEC, dense={"dense": 3, "title": 3}), "'title' is missing there"),
        (replace(SPEC, sparse=("text",)), "'headings' is sparse there"),
        (replace(SPEC, sparse=("text", "headings", "code")), "'code' is missing there and sparse here"),
    ],
)
def test_other_vectors_under_the_name_are_rejected_by_name(
    admin: VectorAdmin, made: str, other: CollectionSpec, difference: str
) -> None:
    """Points of a new embedding model would land among those of the old one."""
    with pytest.raises(Rejected, match=difference):
        admin.create(made, other, soon())


def test_two_that_make_it_at_once_both_succeed(where: Place, name: str) -> None:
    """Two ingestions started by a double delivery would fail each other."""
    failures: list[LecternError] = []

    def make() -> None:
        with QdrantAdmin(where.url, where.api_key) as port:
            try:
                port.create(name, SPEC, soon())
            except LecternError as error:
                failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_points_come_back_as_they_were_written(admin: VectorAdmin, made: str) -> None:
    """A backup would hold something else than the index."""
    bare = Point(identity(2), {}, {})
    assert admin.upsert(made, [point(1), bare], soon()) == 2
    page = admin.scroll(made, soon(), with_vectors=True)
    assert page.next_offset is None
    first, second = page.points
    assert (second, first.payload, first.id) == (bare, point(1).payload, identity(1))
    assert first.vectors["text"] == point(1).vectors["text"]
    assert first.vectors["dense"] == pytest.approx((0.0, 0.6, 0.8), abs=1e-6)
    assert set(first.vectors) == {"dense", "text"}


def test_stored_vectors_come_back_as_the_engine_keeps_them(where: Place, made: str) -> None:
    """Vectors would be paid for again, or copied with an error that grows from generation to generation."""
    with QdrantAdmin(where.url, where.api_key) as admin:
        admin.upsert(
            made, [point(1), point(2), Point(identity(3), {"text": SparseVector((1,), (1.0,))})], soon()
        )
        asked = [identity(number) for number in (1, 2, 3, 9)]
        found = admin.dense(made, "dense", asked, soon())
        assert set(found) == {identity(1), identity(2)}
        assert found[identity(1)] == pytest.approx((0.0, 0.6, 0.8), abs=1e-6)
        admin.upsert(made, [Point(identity(2), {"dense": found[identity(1)]})], soon())
        assert admin.dense(made, "dense", [identity(2)], soon()) == {identity(2): found[identity(1)]}
        assert admin.dense(made, "dense", [], soon()) == {}


def test_writing_a_point_again_replaces_it(admin: VectorAdmin, made: str) -> None:
    """A changed passage would keep its old text beside the new one."""
    admin.upsert(made, [point(1), point(2)], soon())
    admin.upsert(made, [replace(point(1), payload={"page": "b"})], soon())
    assert [each.payload for each in admin.scroll(made, soon()).points] == [{"page": "b"}, point(2).payload]


def test_more_points_than_a_batch_are_all_written(admin: VectorAdmin, made: str) -> None:
    """The tail of a large site would be missing from the index."""
    assert admin.upsert(made, (point(number) for number in range(600)), soon()) == 600
    assert admin.count(made, soon()) == 600
    assert admin.upsert(made, [], soon()) == 0


def test_scrolling_meets_every_point_once_in_the_order_of_ids(admin: VectorAdmin, made: str) -> None:
    """A backup would lack points, or hold some twice."""
    admin.upsert(made, [point(number) for number in (5, 3, 9, 1, 7)], soon())
    seen: list[str] = []
    offset = None
    while True:
        page = admin.scroll(made, soon(), offset=offset, limit=2)
        assert all(not each.vectors for each in page.points)
        seen += [each.id for each in page.points]
        offset = page.next_offset
        if offset is None:
            break
    assert seen == [identity(number) for number in (1, 3, 5, 7, 9)]


def test_deleting_takes_what_meets_all_conditions_but_the_kept(admin: VectorAdmin, made: str) -> None:
    """Passages of a page that was rewritten would stay, or those of other pages go."""
    admin.upsert(made, [point(number, "ab"[number % 2]) for number in range(8)], soon())
    keep = [identity(2), identity(3)]
    admin.delete(made, soon(), conditions=[Condition("page", ("a",))], keep_ids=keep)
    assert ids(admin, made) == [1, 2, 3, 5, 7]
    admin.delete(made, soon(), conditions=[Condition("page", ("b",)), Condition("lines", (99,))])
    assert ids(admin, made) == [1, 2, 3, 5, 7]
    admin.delete(made, soon(), conditions=[Condition("page", ("b", "a"))])
    assert ids(admin, made) == []


def test_deleting_without_a_condition_is_rejected(admin: VectorAdmin, made: str) -> None:
    """An empty list of pages would empty the index."""
    admin.upsert(made, [point(1)], soon())
    for conditions in ([], [Condition("page", ())]):
        with pytest.raises(Rejected):
            admin.delete(made, soon(), conditions=conditions)
    assert admin.count(made, soon()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        Point("not-a-uuid"),
        Point(identity(9), {"dense": (1.0, 2.0)}),
        Point(identity(9), {"dense": (1.0, 2.0, math.nan)}),
        Point(identity(9), {"dense": (1.0, 2.0, -math.inf)}),
        Point(identity(9), {"dense": (1.0, 2.0, 1e300)}),
        Point(identity(9), {"elsewhere": (1.0, 2.0, 3.0)}),
        Point(identity(9), {"dense": SparseVector((1,), (1.0,))}),
        Point(identity(9), {"text": (1.0, 2.0, 3.0)}),
        Point(identity(9), {"text": SparseVector((1, 2), (1.0,))}),
        Point(identity(9), {"text": SparseVector((1, 1), (1.0, 2.0))}),
        Point(identity(9), {"text": SparseVector((-1,), (1.0,))}),
        Point(identity(9), {"text": SparseVector((1,), (math.nan,))}),
        Point(identity(9), {"text": SparseVector((), ())}),
    ],
    ids=str,
)
def test_a_wrong_vector_is_rejected_with_its_batch(admin: VectorAdmin, made: str, wrong: Point) -> None:
    """One bad passage would be indexed unfindable, or break the engine for all."""
    with pytest.raises(Rejected):
        admin.upsert(made, [point(1), wrong], soon())
    assert admin.count(made, soon()) == 0
    admin.upsert(made, [point(1)], soon())
    assert admin.count(made, soon()) == 1


def test_an_alias_moves_from_one_collection_to_the_next(where: Place, admin: VectorAdmin, made: str) -> None:
    """Readers would go on asking the old generation after a new one was built."""
    alias, following = f"{made}-live", f"{made}-2"
    admin.create(following, SPEC, soon())
    with QdrantSearch(where.url, where.api_key) as search:
        for target in (made, following, following, made):
            admin.switch_alias(alias, target, soon())
            assert search.aliases(soon())[alias] == target
        admin.drop(made, soon())
        assert alias not in search.aliases(soon())


def test_an_alias_stays_when_its_next_collection_is_not_there(
    where: Place, admin: VectorAdmin, made: str
) -> None:
    """A failed build would take the search down with it."""
    admin.switch_alias(f"{made}-live", made, soon())
    with pytest.raises(Missing):
        admin.switch_alias(f"{made}-live", f"{made}-no", soon())
    with QdrantSearch(where.url, where.api_key) as search:
        assert search.aliases(soon())[f"{made}-live"] == made


def test_an_alias_cannot_take_a_collections_name(admin: VectorAdmin, made: str) -> None:
    """A collection would be hidden behind its own name."""
    with pytest.raises(PreconditionFailed):
        admin.switch_alias(made, made, soon())


def test_an_alias_is_not_touched_for_a_collection_that_is_not_there() -> None:
    """Qdrant carries out the first half of a switch whose second half fails: the alias would be gone."""
    other = b'{"result": {"collections": [{"name": "old"}], "aliases": []}, "status": "ok", "time": 0}'
    with (
        answering({}, other) as url,
        QdrantAdmin(url) as port,
        pytest.raises(Missing, match="no collection new"),
    ):
        port.switch_alias("live", "new", soon())


def test_an_outage_is_no_absent_collection() -> None:
    """A collection would be made anew because the cluster could not say for a moment that it is there."""
    with (
        answering({"GET /collections/c": None}, b"an answer to anything else") as url,
        QdrantAdmin(url) as port,
        pytest.raises(Overloaded),
    ):
        port.create("c", SPEC, soon())


def test_an_alias_that_reads_otherwise_is_reported() -> None:
    """The switch would be taken for done while readers are sent elsewhere."""
    both = b'{"result": {"collections": [{"name": "new"}], "aliases": []}, "status": "ok", "time": 0}'
    applied = both.replace(b'{"collections"', b'true, "ignored": {"collections"')
    with (
        answering({"POST /collections/aliases": applied}, both) as url,
        QdrantAdmin(url) as port,
        pytest.raises(PreconditionFailed, match="nothing"),
    ):
        port.switch_alias("live", "new", soon())


@pytest.mark.parametrize("verb", ["count", "scroll", "upsert", "delete", "dense"])
def test_a_collection_that_is_not_there_is_missing(admin: VectorAdmin, name: str, verb: str) -> None:
    """A mistake in a name would be retried like an outage."""
    call = CALLS[verb]
    with pytest.raises(Missing):
        call(_Named(admin, name), soon())


def test_a_page_of_no_points_is_rejected(admin: VectorAdmin, made: str) -> None:
    """A backup with a wrong setting would loop for ever."""
    with pytest.raises(Rejected):
        admin.scroll(made, soon(), limit=0)
    with pytest.raises(Rejected):
        admin.scroll(made, soon(), offset="seven")


@pytest.mark.parametrize("wrong", ["a/b", "..", ""])
def test_a_name_that_would_be_another_path_is_rejected(admin: VectorAdmin, wrong: str) -> None:
    """A typing mistake in a setting would reach into other collections."""
    with pytest.raises(Rejected):
        admin.create(wrong, SPEC, soon())


class _Named:
    """Runs CALLS, which name the collection c, on another one."""

    def __init__(self, port: VectorAdmin, collection: str) -> None:
        self._port, self._collection = port, collection

    def __getattr__(self, verb: str) -> Callable[..., object]:
        method = getattr(self._port, verb)
        return lambda _collection, *args, **kwargs: method(self._collection, *args, **kwargs)


CALLS: dict[str, Callable[[QdrantAdmin, Deadline], object]] = {
    "create": lambda port, deadline: port.create("c", SPEC, deadline),
    "drop": lambda port, deadline: port.drop("c", deadline),
    "collections": lambda port, deadline: port.collections(deadline),
    "upsert": lambda port, deadline: port.upsert("c", [point(1)], deadline),
    "delete": lambda port, deadline: port.delete("c", deadline, conditions=[Condition("page", ("a",))]),
    "scroll": lambda port, deadline: port.scroll("c", deadline),
    "dense": lambda port, deadline: port.dense("c", "dense", [identity(1)], deadline),
    "count": lambda port, deadline: port.count("c", deadline),
    "switch_alias": lambda port, deadline: port.switch_alias("live", "c", deadline),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@every_call
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_has_its_name(fault: Fault, call: Callable[[QdrantAdmin, Deadline], object]) -> None:
    """An ingestion would end in a stack trace of the client, or give up what a retry would have saved."""
    with peer(fault.sent) as url, QdrantAdmin(url, "key") as port:
        began = time.monotonic()
        with pytest.raises(fault.raised) as caught:
            call(port, Deadline.after(0.15 if fault.sent is None else 10))
        assert time.monotonic() - began < 2, "the client's own time-out is longer than the deadline"
        assert type(caught.value) is fault.raised
        assert caught.value.service == "qdrant"
        assert fault.retry_after in (None, caught.value.retry_after)


@every_call
def test_nobody_listening_is_unreachable(call: Callable[[QdrantAdmin, Deadline], object]) -> None:
    """A stopped cluster would not be told from a slow one."""
    with QdrantAdmin(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(Unreachable, match="refused"):
        call(port, soon())


@every_call
def test_no_time_left_sends_nothing(call: Callable[[QdrantAdmin, Deadline], object]) -> None:
    """A job that is being stopped would go on writing."""
    with QdrantAdmin(f"http://127.0.0.1:{free_port()}") as port, pytest.raises(DeadlineExceeded):
        call(port, Deadline.after(-1))


@every_call
def test_a_wrong_key_is_denied(where: Place, call: Callable[[QdrantAdmin, Deadline], object]) -> None:
    """An expired key would be retried for ever instead of being reported."""
    with QdrantAdmin(where.url, "not-the-key") as port, pytest.raises(AccessDenied) as caught:
        call(port, soon())
    assert "not-the-key" not in str(caught.value)


def test_a_wrong_certificate_is_unreachable() -> None:
    """The API key would be handed to whoever answers at that address."""
    server, _ = _tls("127.0.0.1")
    with peer(b"", server) as url, QdrantAdmin(url, "key") as port, pytest.raises(Unreachable) as caught:
        port.collections(soon())
    assert "certificate" in caught.value.hint


def test_an_address_that_is_none_is_a_setting_to_correct() -> None:
    """The mistake would show in the middle of an ingestion instead of at the start."""
    with pytest.raises(SettingsError, match="QDRANT_URL"):
        QdrantAdmin("qdrant:6333")
