"""Tokens of the metadata server, from a local one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from shared.adapters.access_token import MetadataToken
from shared.adapters.gcs_http import GcsHttpStore
from shared.errors import AccessDenied, Garbled, TimedOut, Unreachable
from shared.resilience.deadline import Deadline
from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs.faults import Fault


def soon() -> Deadline:
    return Deadline.after(10.0)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False) as found:
        yield found


def test_a_token_is_fetched_once_and_renewed_before_it_ends(client: httpx.Client) -> None:
    """Without it, each call would cost a fetch more, or calls would fail once an hour."""
    now = [100.0]
    with FakeGcs(token="first") as fake:
        token = MetadataToken(client, url=fake.metadata_url, clock=lambda: now[0])
        assert [token(soon()) for _ in range(3)] == ["first"] * 3
        assert fake.faults.calls["token"] == 1
        fake.token = "second"
        now[0] += 3600 - 121
        assert token(soon()) == "first"
        now[0] += 2
        assert token(soon()) == "second"


def test_a_store_works_with_it(client: httpx.Client) -> None:
    """Without it, chat could not reach the bucket on Cloud Run."""
    with FakeGcs(token="secret") as fake:
        token = MetadataToken(client, url=fake.metadata_url)
        store = GcsHttpStore(fake.bucket.name, endpoint=fake.endpoint, token=token, client=client)
        store.put("a", b"1", soon())
        assert store.get("a", soon())[0] == b"1"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("token", status=403), AccessDenied),
        (Fault("token", status=503), Unreachable),
        (Fault("token", lose_answer=True), Unreachable),
        (Fault("token", garbage=b"<html>"), Garbled),
        (Fault("token", garbage=b"{}"), Garbled),
        (Fault("token", delay=9.0), TimedOut),
    ],
)
def test_its_failures_are_ours(client: httpx.Client, fault: Fault, expected: type[Exception]) -> None:
    """Without it, a machine without a service account would show a stack trace of a library."""
    with FakeGcs(token="secret") as fake:
        fake.faults.add(fault)
        with pytest.raises(expected):
            MetadataToken(client, url=fake.metadata_url)(Deadline.after(0.5))
