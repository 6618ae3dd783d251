"""Exports and restores of vectors while Qdrant, the network or the bucket fails."""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from shared.adapters.gcs import GcsStore
from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.errors import DependencyError, Overloaded, Throttled, Unreachable
from shared.recovery.patience import Patient
from shared.recovery.vectors import VectorFacts
from shared.recovery.vectors_check import check_vectors
from shared.recovery.vectors_restore import VectorRestore
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import packed
from tests.contract.object_store_subjects import CHUNK
from tests.fakes.gcs import FakeGcs
from tests.faults import FaultProxy
from tests.recovery.flaky import flaky
from tests.recovery.vector_world import World, many_points, patient, reserved


def soon() -> Deadline:
    return Deadline.after(30)


def filled(world: World, count: int = 800) -> tuple[str, str]:
    """The collection and its digest."""
    name = world.fill([packed(reserved()), *many_points(count)])
    return name, world.digest(name)


@pytest.mark.parametrize("status", [503, 429, 500])
def test_a_qdrant_that_fails_every_fourth_call_is_got_through(world: World, status: int) -> None:
    """A cluster that is being moved would cost the backup of the night, or the restore."""
    name, wanted = filled(world)
    with (
        flaky(world.place.url, status, 4, {"retry-after": "1"}) as url,
        QdrantBulk(url, world.place.api_key) as bulk,
        QdrantAdmin(url, world.place.api_key) as admin,
    ):
        record = world.export(bulk=bulk)
        world.admin.drop(name, soon())
        work = VectorRestore(bulk, admin, world.store, world.cipher(), alias=world.alias)
        work.run(record, patient())
    assert record.facts(VectorFacts).digest == wanted == world.digest(name)


def test_a_pause_that_is_asked_for_is_kept(world: World) -> None:
    """A cluster at its limit would be asked all the more."""
    filled(world)
    slept: list[float] = []
    waiting = Patient(soon(), jitter=random.Random(1), sleep=slept.append)
    with (
        flaky(world.place.url, 429, 2, {"retry-after": "3"}) as url,
        QdrantBulk(url, world.place.api_key) as bulk,
    ):
        for _ in range(2):
            waiting(bulk.aliases)
    assert len(slept) == 1
    assert slept[0] >= 3


@pytest.mark.parametrize("status", [503, 429])
def test_a_qdrant_that_is_down_is_given_up_by_name(world: World, status: int) -> None:
    """A backup would hang until its time-out, and end without a reason."""
    filled(world)
    kind = Overloaded if status == 503 else Throttled
    with (
        flaky(world.place.url, status, 1) as url,
        QdrantBulk(url, world.place.api_key) as bulk,
        pytest.raises(kind, match=str(status)),
    ):
        world.export(bulk=bulk)


def test_connections_that_are_cut_in_the_middle_are_made_again(world: World) -> None:
    """Half a page would be taken for a whole one, or the export be lost."""
    name, wanted = filled(world)
    target = urlsplit(world.place.url)
    with FaultProxy((target.hostname or "", target.port or 0)) as proxy:
        proxy.cut_after(40_000, times=3)
        with QdrantBulk(f"http://127.0.0.1:{proxy.port}", world.place.api_key) as bulk:
            record = world.export(bulk=bulk)
        assert proxy.connections > 3
    assert record.facts(VectorFacts).digest == wanted
    assert check_vectors(record, world.store, world.cipher(), patient()).digest == wanted
    assert world.digest(name) == wanted


def test_a_network_that_is_gone_ends_it_by_name(world: World) -> None:
    """A restore would be taken for one that goes on."""
    _, wanted = filled(world)
    record = world.export()
    target = urlsplit(world.place.url)
    with FaultProxy((target.hostname or "", target.port or 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        proxy.refuse()
        with QdrantBulk(url, "k") as bulk, QdrantAdmin(url, "k") as admin:
            work = VectorRestore(bulk, admin, world.store, world.cipher(), alias=world.alias)
            with pytest.raises(Unreachable):
                work.run(record, patient())
    assert world.digest(world.alias) == wanted


# ------------------------------------------------------------ the bucket


def test_a_bucket_that_fails_now_and_then_is_got_through(world: World) -> None:
    """One answer of 503 in some thousand would cost the backup."""
    _, wanted = filled(world)
    with FakeGcs() as gcs:
        store = GcsStore("lectern-test", endpoint=gcs.endpoint, chunk_bytes=CHUNK)
        on_gcs = replace(world, store=store)
        gcs.faults.answer("initiate", 503, skip=1)
        gcs.faults.answer("chunk", 503, times=2, skip=2)
        gcs.faults.answer("insert", 503, skip=1)
        gcs.faults.answer("stat", 503, skip=2)
        record = on_gcs.export(object_bytes=100_000)
        assert check_vectors(record, store, world.cipher(), patient()).digest == wanted
        store.close()


def test_a_bucket_that_takes_nothing_more_ends_it_by_name(world: World) -> None:
    """A full bucket would be found when a restore is needed."""
    filled(world)
    with FakeGcs() as gcs:
        store = GcsStore("lectern-test", endpoint=gcs.endpoint, chunk_bytes=CHUNK)
        gcs.faults.answer("initiate", 503, times=100, skip=2)
        with pytest.raises(DependencyError, match="503"):
            replace(world, store=store).export(object_bytes=100_000)
        store.close()
