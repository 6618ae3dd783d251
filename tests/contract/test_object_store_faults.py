"""What the two Cloud Storage adapters make of a service that fails: the same errors, whichever is in use.

Continues ``test_object_store.py`` with what only a network can do.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator

import pytest

from shared.errors import (
    AccessDenied,
    Corrupt,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.objects import crc32c
from shared.ports import ObjectStore
from shared.resilience.deadline import Deadline
from tests.contract.object_store_subjects import CHUNK, FAKES, open_store
from tests.contract.qdrant_faults import http, peer
from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs.faults import Fault

Rig = tuple[ObjectStore, FakeGcs]
Act = Callable[[ObjectStore, Deadline], object]


def soon() -> Deadline:
    return Deadline.after(20.0)


@pytest.fixture(params=FAKES)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A store and the fake behind it, which holds one object ``old`` of two chunks."""
    with FakeGcs() as fake:
        store = open_store({"kind": request.param, "where": fake.bucket.name, "endpoint": fake.endpoint})
        fake.bucket.insert("old", bytes(2 * CHUNK), {}, {}, {})
        yield store, fake
        store.close()  # type: ignore[attr-defined]


def label(value: object) -> str:
    """A fault by what is unusual about it."""
    if not isinstance(value, Fault):
        return getattr(value, "__name__", str(value))
    plain = Fault(value.on)
    return ",".join(f"{key}={each}" for key, each in vars(value).items() if each != getattr(plain, key))


def stream(store: ObjectStore, deadline: Deadline, size: int = 3 * CHUNK + 5) -> bytes:
    data = random.Random(size).randbytes(size)
    with store.open_write("new", deadline) as writer:
        writer.write(data)
    return data


ACTS: dict[str, Act] = {
    "insert": lambda store, deadline: store.put("new", b"x", deadline),
    "initiate": stream,
    "stat": lambda store, deadline: store.stat("old", deadline),
    "media": lambda store, deadline: store.get("old", deadline),
    "list": lambda store, deadline: list(store.list("", deadline)),
    "delete": lambda store, deadline: store.delete("old", deadline),
}
on_each = pytest.mark.parametrize("on", ACTS)


STATUSES: dict[int, type[DependencyError]] = {
    400: Rejected,
    401: AccessDenied,
    403: AccessDenied,
    404: Missing,
    408: TimedOut,
    412: PreconditionFailed,
    413: Rejected,
    429: Throttled,
    500: Overloaded,
    502: Overloaded,
    503: Overloaded,
    504: TimedOut,
}


@on_each
def test_each_status_has_its_error(rig: Rig, on: str) -> None:
    """Without it, a wrong key would be retried and a passing overload would be final."""
    store, fake = rig
    found = {}
    for status in STATUSES:
        fake.faults.answer(on, status)
        with pytest.raises(DependencyError) as caught:
            ACTS[on](store, soon())
        found[status] = type(caught.value)
        assert caught.value.service == "gcs"
        assert caught.value.hint
    # One that was there a moment ago was replaced: reading again helps.
    assert found == STATUSES | ({404: Interrupted} if on == "media" else {})
    assert fake.faults.calls[on] == len(STATUSES), "adapters do not try again"
    assert [version.name for version in fake.bucket.listing("", versions=False)] == ["old"]


@on_each
def test_retry_after_reaches_the_caller(rig: Rig, on: str) -> None:
    """Without it, callers would knock again while the service asks them to wait."""
    store, fake = rig
    fake.faults.answer(on, 429, retry_after="7")
    with pytest.raises(Throttled) as caught:
        ACTS[on](store, soon())
    assert caught.value.retry_after == 7.0


def test_retry_after_may_be_a_date(rig: Rig) -> None:
    """Without it, the other form that HTTP allows would be ignored."""
    store, fake = rig
    fake.faults.answer("stat", 503, retry_after="Fri, 01 Jan 2100 00:00:00 GMT")
    with pytest.raises(Overloaded) as caught:
        store.stat("old", soon())
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 1e6


def test_a_quota_that_answers_403_is_throttled(rig: Rig) -> None:
    """Without it, an exhausted quota would be reported as missing rights."""
    store, fake = rig
    fake.faults.add(Fault("stat", status=403, reason="rateLimitExceeded", message="Slow down."))
    with pytest.raises(Throttled):
        store.stat("old", soon())


@on_each
@pytest.mark.parametrize("kind", ["drop", "answer"])
def test_a_cut_connection_is_told_as_such(rig: Rig, on: str, kind: str) -> None:
    """Without it, a reset would end in a stack trace of some library."""
    store, fake = rig
    fake.faults.add(Fault(on, drop=True) if kind == "drop" else Fault(on, lose_answer=True))
    with pytest.raises((Unreachable, Interrupted)):
        ACTS[on](store, soon())


@on_each
def test_a_silent_service_is_a_time_out_in_time(rig: Rig, on: str) -> None:
    """Without it, one hanging call would take the whole request with it."""
    store, fake = rig
    fake.faults.add(Fault(on, delay=15.0))
    began = time.monotonic()
    with pytest.raises(TimedOut):
        ACTS[on](store, Deadline.after(0.4))
    assert time.monotonic() - began < 2.0


def test_a_dripping_download_ends_with_the_deadline(rig: Rig) -> None:
    """Without it, a service that sends a little now and then would never time out."""
    store, fake = rig
    fake.faults.add(Fault("media", drip=0.05))
    began = time.monotonic()
    with pytest.raises(TimedOut):
        store.get("old", Deadline.after(0.5))
    assert time.monotonic() - began < 3.0


@pytest.mark.parametrize("on", ["insert", "stat", "list"])
def test_garbage_is_garbled(rig: Rig, on: str) -> None:
    """Without it, the page of some gateway would be a stack trace, or be taken for an empty bucket."""
    store, fake = rig
    for body in (b"", b"<html>gateway</html>", b"[1, 2]", b'{"items": [{}]}', b'"text"', b"\xff\x00"):
        fake.faults.add(Fault(on, garbage=body))
        with pytest.raises(Garbled):
            ACTS[on](store, soon())


def test_garbage_at_the_end_of_an_upload_is_garbled(rig: Rig) -> None:
    """Without it, an upload whose fate is unknown would pass as done."""
    store, fake = rig
    fake.faults.add(Fault("chunk", garbage=b"<html>"))
    with pytest.raises(Garbled):
        stream(store, soon(), size=10)


@pytest.mark.parametrize("kind", FAKES)
def test_an_upload_that_gets_no_session_is_garbled(kind: str) -> None:
    """Without it, a gateway that answers for the service would end in a stack trace of some library."""
    with peer(http("200 OK", b"{}")) as endpoint:
        store = open_store({"kind": kind, "where": "bucket", "endpoint": endpoint})
        with pytest.raises(Garbled):
            stream(store, soon())
        store.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("on", ["insert", "chunk"])
def test_other_bytes_stored_than_sent_are_corrupt(rig: Rig, on: str) -> None:
    """Without it, a write would pass as done although the service itself says that it holds other bytes."""
    store, fake = rig
    resource = {
        "name": "new",
        "size": "1",
        "generation": "7",
        "crc32c": crc32c(b"y"),
        "updated": "2026-01-01T00:00:00Z",
    }
    fake.faults.add(Fault(on, garbage=json.dumps(resource).encode()))
    with pytest.raises(Corrupt):
        ACTS["insert"](store, soon()) if on == "insert" else stream(store, soon(), size=1)


def test_nobody_listening_is_unreachable() -> None:
    """Without it, a wrong endpoint would be a stack trace of some library."""
    with FakeGcs() as fake:
        endpoint = fake.endpoint
    for kind in FAKES:
        store = open_store({"kind": kind, "where": "bucket", "endpoint": endpoint})
        with pytest.raises(Unreachable):
            store.put("a", b"", soon())
        store.close()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("kind", FAKES)
def test_only_the_right_token_opens_the_bucket(kind: str) -> None:
    """Without it, wrong credentials would be retried, or would not be noticed by the tests."""
    with FakeGcs(token="right") as fake:
        for token, opens in (("right", True), ("wrong", False), ("", False)):
            spec = {"kind": kind, "where": fake.bucket.name, "endpoint": fake.endpoint, "token": token}
            store = open_store(spec)
            if opens:
                data = stream(store, soon())
                assert store.get("new", soon())[0] == data
            else:
                for act in ACTS.values():
                    with pytest.raises(AccessDenied):
                        act(store, soon())
            store.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("why", ["hold", "retention"])
def test_a_protected_object_is_rejected_not_denied(rig: Rig, why: str) -> None:
    """Without it, an operator would look for missing rights where a hold is the reason."""
    store, fake = rig
    fake.bucket.retention_seconds = 3600.0 if why == "retention" else 0.0
    store.put("kept", b"1", soon())
    if why == "hold":
        fake.hold("kept")
    for attempt in (
        lambda: store.put("kept", b"2", soon()),
        lambda: store.open_write("kept", soon()).__enter__(),
        lambda: store.delete("kept", soon()),
    ):
        with pytest.raises(Rejected, match=r"hold|retention"):
            attempt()
    assert store.get("kept", soon())[0] == b"1"


def test_a_wrong_bucket_is_missing(rig: Rig) -> None:
    """Without it, a typing error in a setting would look like an outage."""
    _, fake = rig
    for kind in FAKES:
        store = open_store({"kind": kind, "where": "another", "endpoint": fake.endpoint})
        with pytest.raises(Missing):
            store.put("a", b"", soon())
        with pytest.raises(Missing):
            list(store.list("", soon()))
        store.close()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- downloads


@pytest.mark.parametrize("after", [0, 1, CHUNK // 2, CHUNK - 1])
def test_a_download_that_is_cut_is_interrupted(rig: Rig, after: int) -> None:
    """Without it, half a lifeboat would be opened as if it were whole."""
    store, fake = rig
    fake.faults.add(Fault("media", cut_response=after))
    with pytest.raises(Interrupted):
        store.get("old", soon())


def test_a_download_with_a_flipped_bit_is_corrupt(rig: Rig) -> None:
    """Without it, bytes damaged on the way would be restored."""
    store, fake = rig
    fake.faults.add(Fault("media", flip=True))
    with pytest.raises(Corrupt, match="CRC32C"):
        store.get("old", soon())


def test_an_object_replaced_while_it_is_read_is_never_mixed(rig: Rig) -> None:
    """Without it, a reader could get the head of one version and the tail of another."""
    store, fake = rig
    with store.open_read("old", soon()) as reader:
        head = reader.read(100)
        fake.bucket.insert("old", b"\1" * (2 * CHUNK), {}, {}, {})
        try:
            rest = reader.read()
        except Interrupted:
            rest = None
    assert head == bytes(100)
    assert rest is None or set(rest) == {0}


def test_a_page_of_a_list_that_fails_fails_the_list(rig: Rig) -> None:
    """Without it, retention would decide on half of the backups."""
    store, fake = rig
    fake.page_size = 2
    for number in range(5):
        store.put(f"n/{number}", b"", soon())
    fake.faults.answer("list", 503, skip=1)
    seen = []
    with pytest.raises(Overloaded):
        seen.extend(info.name for info in store.list("n/", soon()))
    assert [info.name for info in store.list("n/", soon())] == [f"n/{number}" for number in range(5)]


# ---------------------------------------------------------------- uploads


@pytest.mark.parametrize(
    "fault",
    [
        Fault("chunk", skip=1, status=503),
        Fault("chunk", skip=0, times=2, status=503),
        Fault("chunk", skip=1, status=429, retry_after="0"),
        Fault("chunk", skip=3, status=500),
        Fault("chunk", skip=1, cut_request=300_000),
        Fault("chunk", skip=1, cut_request=0),
        Fault("chunk", skip=3, cut_request=2),
        Fault("chunk", skip=1, lose_answer=True),
        Fault("chunk", skip=3, lose_answer=True),
    ],
    ids=label,
)
def test_an_upload_survives_a_passing_fault(rig: Rig, fault: Fault) -> None:
    """Without it, one 503 in an hour of upload would cost the whole backup."""
    store, fake = rig
    fake.faults.add(Fault(**{name: getattr(fault, name) for name in fault.__dataclass_fields__}))
    data = stream(store, soon())
    assert store.get("new", soon())[0] == data
    assert fake.faults.calls["status"] >= 1


def test_an_upload_survives_a_status_query_that_fails(rig: Rig) -> None:
    """Without it, the second fault in a row would end the upload."""
    store, fake = rig
    fake.faults.answer("chunk", 503, skip=1)
    fake.faults.answer("status", 503)
    data = stream(store, soon())
    assert store.get("new", soon())[0] == data


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("chunk", times=99, status=503), Overloaded),
        (Fault("chunk", skip=1, status=429, retry_after="60"), Throttled),
        (Fault("chunk", skip=1, status=403), AccessDenied),
        (Fault("chunk", skip=2, status=410), Interrupted),
        (Fault("chunk", skip=2, status=404), Interrupted),
        (Fault("chunk", skip=3, status=412), PreconditionFailed),
    ],
    ids=label,
)
def test_an_upload_that_cannot_end_leaves_nothing(
    rig: Rig, fault: Fault, expected: type[DependencyError]
) -> None:
    """Without it, an upload would hang for ever, or leave a truncated object."""
    store, fake = rig
    fake.faults.add(Fault(**{name: getattr(fault, name) for name in fault.__dataclass_fields__}))
    if fault.times > 1:
        fake.faults.answer("status", 503, times=99)
    with pytest.raises(expected):
        stream(store, soon())
    assert fake.bucket.live("new") is None
    assert fake.faults.calls["chunk"] + fake.faults.calls["status"] <= 5, "five tries, then it gives up"
    assert fake.faults.calls["cancel"] == 1, "the session is given back"


def test_a_precondition_that_fails_at_the_end_of_an_upload(rig: Rig) -> None:
    """Without it, the slower of two backups would overwrite the manifest of the faster."""
    store, fake = rig

    def lose() -> None:
        with store.open_write("new", soon(), if_generation_match=0) as writer:
            writer.write(bytes(2 * CHUNK))
            fake.bucket.insert("new", b"first", {}, {}, {})

    with pytest.raises(PreconditionFailed):
        lose()
    assert store.get("new", soon())[0] == b"first"


@pytest.mark.parametrize("size", [10, 3 * CHUNK])
def test_an_upload_damaged_on_the_way_is_refused(rig: Rig, size: int) -> None:
    """Without it, bytes damaged on the way would be stored with a checksum that fits them."""
    store, fake = rig
    fake.faults.add(Fault("chunk", skip=1 if size > CHUNK else 0, damage_request=True))
    with pytest.raises(Corrupt):
        stream(store, soon(), size)
    fake.faults.add(Fault("insert", damage_request=True))
    with pytest.raises(Corrupt):
        store.put("new", b"x" * 10, soon())
    assert fake.bucket.live("new") is None


def test_the_adapters_leave_no_session_behind(rig: Rig) -> None:
    """Without it, each cancelled backup would keep its bytes in the service for a week."""
    store, fake = rig

    def cancel() -> None:
        with store.open_write("new", soon()) as writer:
            writer.write(bytes(2 * CHUNK))
            raise KeyError

    with pytest.raises(KeyError):
        cancel()
    assert [session.cancelled for session in fake.sessions.values()] == [True]
