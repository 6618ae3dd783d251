"""The stand-in for Gemini, where it promises more than the contract suites look at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.embedded.fake_gemini import FakeGemini, Fault, words

GENERATE = "/v1beta/models/gemini-3.5-flash-lite:generateContent"
STREAM = "/v1beta/models/gemini-3.5-flash-lite:streamGenerateContent"
EMBED = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
PASSAGES = """<passage id="1" url="/a">Backups run every night. More.</passage>
<passage id="2">Restoring takes ten minutes. More.</passage>"""
ASKED = {"contents": [{"role": "user", "parts": [{"text": "hello world"}]}]}


@pytest.fixture
def fake() -> Iterator[FakeGemini]:
    with FakeGemini() as running:
        yield running


@pytest.fixture
def http(fake: FakeGemini) -> Iterator[httpx.Client]:
    key = {"x-goog-api-key": "fake-key"}
    with httpx.Client(base_url=fake.base_url, headers=key, trust_env=False) as client:
        yield client


def test_both_stream_forms_carry_the_same_words(http: httpx.Client) -> None:
    """One of the two clients would be tested against a wire that does not exist."""
    array = http.post(STREAM + "?$alt=json;enum-encoding=int", json=ASKED).json()
    events = http.post(STREAM + "?alt=sse", json=ASKED).text.split("\r\n\r\n")
    assert array[-1]["candidates"][0]["finishReason"] == 1
    assert '"finishReason": "STOP"' in events[-2]
    assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in array] == [
        "echo: hello ",
        "world",
    ]


def test_the_rest_of_the_api_answers(http: httpx.Client) -> None:
    """Trying another client or command on the fake would end at the first unknown path."""
    whole = http.post(GENERATE, json=ASKED).json()
    assert whole["candidates"][0]["content"]["parts"][0]["text"] == "echo: hello world"
    counted = http.post("/v1beta/models/gemini-3.5-flash-lite:countTokens", json=ASKED).json()
    assert counted == {"totalTokens": 2}
    one = {"content": {"parts": [{"text": "a b"}]}, "output_dimensionality": 8}
    vector = http.post("/v1beta/models/gemini-embedding-2:embedContent", json=one).json()
    assert len(vector["embedding"]["values"]) == 8
    assert "models/gemini-embedding-001" in [m["name"] for m in http.get("/v1beta/models").json()["models"]]


@pytest.mark.parametrize(
    ("key", "path", "body", "refusal"),
    [
        ("no", GENERATE, ASKED, (400, "API key not valid")),
        ("", GENERATE, ASKED, (403, "unregistered callers")),
        ("fake-key", GENERATE, {**ASKED, "prompt": 1}, (400, 'Unknown name "prompt"')),
        ("fake-key", GENERATE, {}, (400, "contents is not specified")),
        ("fake-key", "/v1beta/models/gpt:generateContent", ASKED, (404, "is not found")),
        ("fake-key", "/v1beta/models/gemini-x:fly", ASKED, (404, "not found")),
        ("fake-key", EMBED, {"requests": [{}] * 101}, (400, "at most 100")),
    ],
)
def test_it_refuses_what_the_real_one_refuses(
    http: httpx.Client, key: str, path: str, body: Any, refusal: tuple[int, str]
) -> None:
    """A request that only the fake takes would fail first in production."""
    answer = http.post(path, json=body, headers={"x-goog-api-key": key})
    assert answer.status_code == refusal[0]
    assert refusal[1] in answer.json()["error"]["message"]


def test_it_stops_while_requests_wait(fake: FakeGemini) -> None:
    """Ctrl-C on a trial would hang until the slowest request."""
    fake.faults.always(Fault(chunk_delay=60))
    with httpx.Client(base_url=fake.base_url, trust_env=False) as client:
        request = client.build_request("POST", STREAM, json=ASKED, headers={"x-goog-api-key": "fake-key"})
        answer = client.send(request, stream=True)
        started = time.monotonic()
        fake.stop()
        with contextlib.suppress(httpx.HTTPError):
            answer.read()
        answer.close()
        assert time.monotonic() - started < 2


def test_its_vectors_put_shared_words_near() -> None:
    """Search on the fake would return nothing that looks like an answer."""
    query, near, far = (
        words.embed(t, 768) for t in ("restore backup", "Restore the backups", "blue sidebar")
    )
    assert _dot(query, near) > 0.5
    assert abs(_dot(query, far)) < 0.3
    assert abs(_dot(near, near) - 1) < 1e-9
    assert len(words.embed("", 5)) == 5


@pytest.mark.parametrize(
    "prompt",
    [
        PASSAGES,
        "[1] Backups run every night. More.\n[2] Restoring takes ten minutes. More.\n\n# Question\nhow?",
    ],
)
def test_its_answers_are_made_of_the_passages(prompt: str) -> None:
    """The path from prompt to checked citation could not be tried without an account."""
    assert words.answer(prompt) == "Backups run every night. [1] Restoring takes ten minutes. [2]"


def test_a_fault_concerns_the_operation_it_names(fake: FakeGemini, http: httpx.Client) -> None:
    """A slow writer could not be tried without slowing down the search before it."""
    fake.faults.always(Fault(operation="stream", status=503))
    fake.faults.next(Fault(operation="mbed", status=429), Fault(operation="stream", status=500))
    found = [http.post(path, json=ASKED).status_code for path in (STREAM, STREAM, GENERATE, EMBED)]
    assert found == [500, 503, 200, 429]


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
