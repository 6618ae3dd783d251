"""The fake bucket keeps the rules of Cloud Storage's JSON API, also those that our adapters never break."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs.uploads import UNIT

OBJECTS = "/storage/v1/b/lectern-test/o"
UPLOAD = "/upload" + OBJECTS


@pytest.fixture
def fake() -> Iterator[FakeGcs]:
    with FakeGcs() as found:
        yield found


@pytest.fixture
def http(fake: FakeGcs) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fake.endpoint, trust_env=False, verify=False) as found:
        yield found


def begin(http: httpx.Client, name: str = "a", **query: str) -> str:
    answer = http.post(UPLOAD, params={"uploadType": "resumable", "name": name, **query}, json={})
    assert answer.status_code == 200
    return answer.headers["Location"]


def send(http: httpx.Client, url: str, span: str, body: bytes = b"", **headers: str) -> httpx.Response:
    return http.put(url, content=body, headers={"Content-Range": f"bytes {span}", **headers})


def test_a_resumable_session_says_where_it_stands(http: httpx.Client) -> None:
    """Without it, resuming would be tested against a server that forgets nothing."""
    url = begin(http)
    assert "Range" not in send(http, url, "*/*").headers
    answer = send(http, url, f"0-{UNIT - 1}/*", bytes(UNIT))
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert send(http, url, f"{2 * UNIT}-{3 * UNIT - 1}/*", bytes(UNIT)).status_code == 400, "a gap"
    assert send(http, url, f"{UNIT}-{UNIT + 9}/*", bytes(10)).status_code == 400, "no multiple of 256 KiB"
    overlap = send(http, url, f"0-{UNIT}/{UNIT + 1}", bytes(UNIT + 1))
    assert (overlap.status_code, overlap.json()["size"]) == (200, str(UNIT + 1))
    assert send(http, url, "*/*").json() == overlap.json(), "asking again after the end"


def test_a_cancelled_session_is_gone(http: httpx.Client, fake: FakeGcs) -> None:
    """Without it, a cancelled upload could come back to life in the tests alone."""
    url = begin(http)
    assert http.delete(url).status_code == 499
    assert send(http, url, "0-0/1", b"x").status_code == 410
    assert fake.bucket.live("a") is None


@pytest.mark.parametrize("way", ["media", "multipart", "initiate", "finish", "delete"])
def test_preconditions_hold_on_every_path(http: httpx.Client, fake: FakeGcs, way: str) -> None:
    """Without it, a race that production loses would pass here."""
    if way != "finish":
        fake.bucket.insert("a", b"old", {}, {}, {})
    must = {"name": "a", "ifGenerationMatch": "0"}
    if way == "delete":
        answer = http.delete(f"{OBJECTS}/a", params={"ifGenerationMatch": "1"})
    elif way == "media":
        answer = http.post(UPLOAD, params={"uploadType": "media", **must}, content=b"new")
    elif way == "multipart":
        body = b'--m\r\n\r\n{"name": "a"}\r\n--m\r\n\r\nnew\r\n--m--\r\n'
        kind = {"Content-Type": "multipart/related; boundary=m"}
        answer = http.post(UPLOAD, params={"uploadType": "multipart", **must}, content=body, headers=kind)
    elif way == "initiate":
        answer = http.post(UPLOAD, params={"uploadType": "resumable", **must}, json={})
    else:
        url = begin(http, ifGenerationMatch="0")
        fake.bucket.insert("a", b"old", {}, {}, {})
        answer = send(http, url, "0-2/3", b"new")
    assert answer.status_code == 412
    assert answer.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    live = fake.bucket.live("a")
    assert live is not None
    assert live.data == b"old"


@pytest.mark.parametrize("hashes", ["crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA=="])
def test_wrong_checksums_are_refused_on_every_path(http: httpx.Client, fake: FakeGcs, hashes: str) -> None:
    """Without it, an adapter that sends no checksum could not be told from one that does."""
    simple = http.post(
        UPLOAD, params={"uploadType": "media", "name": "a"}, content=b"x", headers={"X-Goog-Hash": hashes}
    )
    last = send(http, begin(http), "0-0/1", b"x", **{"X-Goog-Hash": hashes})
    assert [simple.status_code, last.status_code] == [400, 400]
    assert fake.bucket.live("a") is None


def test_reading_conditions_ranges_and_metageneration(http: httpx.Client, fake: FakeGcs) -> None:
    """Without it, the fake would answer requests that the service refuses."""
    generation = fake.bucket.insert("a/b c", b"0123456789", {}, {}, {}).generation
    url = f"{OBJECTS}/{quote('a/b c', safe='')}"
    assert http.get(url, params={"ifGenerationNotMatch": str(generation)}).status_code == 304
    assert http.get(url, params={"ifGenerationMatch": "1"}).status_code == 412
    part = http.get(url, params={"alt": "media"}, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert http.get(url, params={"alt": "media"}, headers={"Range": "bytes=10-"}).status_code == 416
    patched = http.patch(url, json={"metadata": {"k": "v"}}).json()
    assert (patched["metageneration"], patched["generation"]) == ("2", str(generation))


def test_holds_and_retention_keep_the_object(http: httpx.Client, fake: FakeGcs) -> None:
    """Without it, a clean-up that would fail in production would pass here."""
    fake.bucket.insert("a", b"1", {}, {}, {})
    fake.hold("a")
    assert http.delete(f"{OBJECTS}/a").status_code == 403
    fake.hold("a", on=False)
    assert http.delete(f"{OBJECTS}/a").status_code == 204
    fake.bucket.retention_seconds = 60
    fake.bucket.insert("b", b"1", {}, {}, {})
    answer = http.post(UPLOAD, params={"uploadType": "media", "name": "b"}, content=b"2")
    assert answer.json()["error"]["errors"][0]["reason"] == "retentionPolicyNotMet"
