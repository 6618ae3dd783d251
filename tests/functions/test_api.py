"""The API around a question, on the real stack and real sockets, and its description."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from werkzeug.serving import make_server
from werkzeug.wrappers import Request as WerkzeugRequest

from shared.http.app import App
from shared.http.openapi import encode
from shared.ports import AnswerRecord
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.telemetry.logs import Logger
from shared.wiring import keys, upkeep
from shared.wiring.chat_api import ChatApi, FeedbackBody, State
from shared.wiring.openapi import INGEST, OPERATIONS, described
from shared.wiring.parts import Parts

DESCRIPTION = ROOT / "docs" / "reference" / "openapi.json"
ANSWER_ID = "answer-0123456789"
CONVERSATION = "conversation-0123456789"


class Served:
    """The handlers behind a loopback address."""

    def __init__(self, settings: Settings) -> None:
        self.parts = Parts(settings)
        self.state = State(self.parts)
        api = ChatApi(self.state, serves_metrics=settings.monitoring_enabled)
        app = App(
            api.routes(),
            name="chat",
            logger=Logger("chat", write=lambda _line: None),
            on_finish=self.state.metrics.observe,
        )
        application = WerkzeugRequest.application(app)
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server = make_server("127.0.0.1", 0, application, threaded=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._server.server_port}", timeout=30, trust_env=False
        )

    def record(self, **changes: Any) -> AnswerRecord:
        made = AnswerRecord(
            ANSWER_ID, CONVERSATION, time.time(), "Q?", "extractive", "A.", ("/a",), "g1", "hybrid"
        )
        made = replace(made, detail={"answer_id": ANSWER_ID, "answer": "A."}, **changes)
        self.state.recorder.keep(made, Deadline.after(10))
        return made

    def close(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._server.server_close()
        self.parts.close()


@contextmanager
def serve(stack: Settings, tmp_path: Path, **changes: Any) -> Iterator[Served]:
    bucket = (tmp_path / "bucket").as_uri()
    own = {"trusted_proxies": 1, "rate_limit_requests": 100_000, "storage_bucket": bucket}
    served = Served(replace(stack, **{**own, **changes}))
    try:
        yield served
    finally:
        served.close()


@pytest.fixture(scope="module")
def api(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(stack, tmp_path_factory.mktemp("api")) as served:
        yield served


@pytest.fixture
def without_postgres(stack: Settings, tmp_path: Path) -> Iterator[Served]:
    away = re.sub(r"host=[^&]*", f"host={quote(str(tmp_path / 'nowhere'), safe='')}", stack.database_url)
    assert away != stack.database_url
    with serve(stack, tmp_path, database_url=away) as served:
        yield served


def test_the_description_is_that_of_the_code() -> None:
    """A developer would write a client for an API that is another one."""
    fresh = encode(described())
    assert DESCRIPTION.read_bytes() == fresh, "python -m shared.wiring.openapi > docs/reference/openapi.json"


def test_the_description_is_openapi() -> None:
    """Generators of clients would refuse the document."""
    from schemathesis import openapi

    operations = [found.ok() for found in openapi.from_dict(described()).get_all_operations()]
    assert len(operations) == len(OPERATIONS) + len(INGEST)


def test_every_route_is_described(api: Served) -> None:
    """A path would be there that nobody knows of."""
    known = {(one.method, one.path) for one in OPERATIONS}
    routes = ChatApi(api.state, serves_metrics=True).routes()
    assert {(route.method, route.path) for route in routes} <= known


def test_feedback_is_stored(api: Served) -> None:
    """A reader's verdict would be thanked for and lost."""
    body = {"answer_id": ANSWER_ID, "rating": "down", "reason": "outdated", "comment": "mail a@b.example"}
    for headers in ({}, {"Content-Type": "text/plain"}):
        response = api.client.post("/feedback", content=json.dumps(body), headers=headers or JSON)
        assert (response.status_code, response.json()) == (200, {"recorded": True})
    sql = "SELECT rating, reason, comment FROM feedback WHERE answer_id = :id"
    rows = api.parts._pool.statement(sql, {"id": ANSWER_ID}, Deadline.after(5), "look")
    assert rows == [["down", "outdated", "mail [email]"]]


JSON = {"Content-Type": "application/json"}


def test_a_broken_stream_is_picked_up(api: Served) -> None:
    """A reader whose train entered a tunnel would lose the answer."""
    assert api.client.get("/chat/unknown-answer").json()["error"]["code"] == "unknown_answer"
    api.record()
    assert api.client.get(f"/chat/{ANSWER_ID}").json()["answer"] == "A."
    api.state.recent.add("only-here-0001", {"answer": "B."})
    assert api.client.get("/chat/only-here-0001").json()["answer"] == "B."


def test_a_conversation_is_deleted(api: Served) -> None:
    """A reader's conversation would stay after it was deleted."""
    api.record(id="answer-deleted-1")
    assert api.client.delete(f"/conversations/{CONVERSATION}").status_code == 204
    assert api.client.get("/chat/answer-deleted-1").status_code == 404
    assert api.client.delete(f"/conversations/{CONVERSATION}").status_code == 204


def test_suggestions_are_pages_of_the_site_or_the_operators(stack: Settings, tmp_path: Path) -> None:
    """The page would greet a reader with nothing to ask, or not with what the writers chose."""
    with serve(stack, tmp_path) as served:
        found = served.client.get("/suggestions").json()["suggestions"]
        assert {"question": "When do I pick?", "url": "/docs/apples/picking#when-to-pick"} in found
        assert "/docs/pears" in {one["url"] for one in found}
        page = {"url": "https://docs.example/docs/apples/picking", "version": "", "locale": "en"}
        [first, *_] = served.client.get("/suggestions", params=page).json()["suggestions"]
        assert first["question"] == "When do I pick?"
        assert served.client.get("/suggestions", params={"locale": "x" * 36}).status_code == 400
    with serve(stack, tmp_path) as served:
        chosen = b'{"suggestions": [{"question": "When do I pick?"}]}'
        served.state.store.put("suggestions.json", chosen, Deadline.after(5))
        found = served.client.get("/suggestions").json()["suggestions"]
        assert found == [{"question": "When do I pick?", "url": ""}]


def test_without_postgres_nothing_acknowledged_is_lost(without_postgres: Served, stack: Settings) -> None:
    """An outage would lose verdicts and deletions, or answer them with errors."""
    client, bucket = without_postgres.client, without_postgres.parts.settings.storage_bucket
    without_postgres.record(id="answer-outage-1", conversation_id="outage-conversation-1")
    assert client.get("/chat/answer-outage-1").json()["answer"] == "A."
    assert client.get("/chat/answer-outage-2").status_code == 503
    given = client.post("/feedback", json={"answer_id": "answer-outage-1", "rating": "up"})
    assert given.json() == {"recorded": True}
    assert client.delete("/conversations/outage-conversation-2").status_code == 202
    assert client.get("/suggestions").json() == {"suggestions": []}
    assert client.get("/metrics").status_code == 200
    with Parts(replace(stack, storage_bucket=bucket)) as parts:
        tended = upkeep.tend(parts, Deadline.after(20))
        assert (tended.replayed, tended.set_aside, tended.problems) == (3, 0, ())
        assert parts.answer_log.detail("answer-outage-1", Deadline.after(5))


def test_metrics_count_what_was_answered(api: Served) -> None:
    """An operator would see nothing of a failing function."""
    api.client.get("/nowhere")
    text = api.client.get("/metrics").text
    assert 'http_requests_total{method="GET",endpoint="none",status="404"}' in text
    assert "active_sessions" in text


def test_metrics_can_be_turned_off(stack: Settings, tmp_path: Path) -> None:
    """Figures would be public that the operator wants to keep."""
    with serve(stack, tmp_path, monitoring_enabled=False) as served:
        assert served.client.get("/metrics").status_code == 404


def test_limits_hold_also_beside_questions(stack: Settings, tmp_path: Path) -> None:
    """A visitor could fill the database with verdicts."""
    with serve(stack, tmp_path, rate_limit_requests=3) as served:
        replies = [
            served.client.get("/suggestions", headers={"X-Forwarded-For": f"{n}.9.9.9, 1.2.3.4"})
            for n in range(5)
        ]
        assert [one.status_code for one in replies] == [200, 200, 200, 429, 429]
        assert int(replies[-1].headers["retry-after"]) >= 1
        other = served.client.get("/suggestions", headers={"X-Forwarded-For": "1.2.3.5"})
        assert other.status_code == 200


def test_a_key_opens_the_api_and_a_revoked_one_does_not(stack: Settings, tmp_path: Path) -> None:
    """A site with keys would be open to everybody, or closed to its customers."""
    made, text = keys.add(stack, "customer", 50)
    with serve(stack, tmp_path, access_mode="key") as served:
        assert served.client.get("/suggestions").status_code == 401
        assert served.client.get("/suggestions", headers={"X-Api-Key": text}).status_code == 200
    assert keys.revoke(stack, made.id)
    with serve(stack, tmp_path, access_mode="key") as served:
        refused = served.client.get("/suggestions", headers={"X-Api-Key": text})
        assert refused.status_code == 401
    assert text not in str(keys.listed(stack))


def test_a_foreign_site_may_not_ask(stack: Settings, tmp_path: Path) -> None:
    """Pages of a stranger would spend the operator's money."""
    with serve(stack, tmp_path, allowed_origins=("https://docs.example",)) as served:
        for origin, status in (("https://docs.example", 200), ("https://evil.example", 403)):
            assert served.client.get("/suggestions", headers={"Origin": origin}).status_code == status


# ---------------------------------------------------------------- fuzz

TEXTS = st.text(max_size=40) | st.sampled_from(["", "\x00", "a\nb", "x" * 3000, "../..", "%00", "é" * 70])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: VALUES | st.sampled_from([ANSWER_ID, "up", "down", "a" * 64])
        for name in FeedbackBody.__struct_fields__
    },
)
BODIES = FIELDS.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


def assert_documented(response: httpx.Response, method: str, path: str) -> None:
    """The status is one that the description names, and what came has the form that it promises."""
    document = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    assert response.status_code < 500, response.text
    replies = document["paths"][path][method.lower()]["responses"]
    assert str(response.status_code) in replies, response.text
    schema = replies[str(response.status_code)].get("content", {}).get("application/json", {}).get("schema")
    if schema and response.status_code >= 400:
        jsonschema.validate(response.json(), {**schema, "components": document["components"]})
    assert "Traceback" not in response.text


@pytest.fixture(scope="session")
def examples(full: bool) -> int:
    return 10_000 if full else 150


def test_no_body_breaks_feedback(api: Served, examples: int) -> None:
    """A crafted body would be answered with a 500, or leak what is inside."""

    @example_settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(BODIES, st.sampled_from(["application/json", "text/plain", "text/html", ""]))
    def run(body: bytes, kind: str) -> None:
        response = api.client.post("/feedback", content=body, headers={"Content-Type": kind} if kind else {})
        assert_documented(response, "POST", "/feedback")

    run()


def test_no_path_and_no_header_breaks_the_others(api: Served, examples: int) -> None:
    """A crafted address would be answered with a 500."""
    latin = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)
    places = st.sampled_from([("GET", "/chat/{answer_id}"), ("DELETE", "/conversations/{conversation_id}")])

    @example_settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(places, st.text(min_size=1, max_size=80).filter(lambda t: t not in {".", ".."}), latin, latin)
    def run(place: tuple[str, str], value: str, forwarded: str, token: str) -> None:
        method, path = place
        filled = re.sub(r"\{\w+\}", quote(value.encode("utf-8", "replace"), safe=""), path)
        headers = {"X-Forwarded-For": forwarded, "Authorization": token, "X-Api-Key": token}
        response = api.client.request(method, filled, headers=headers)
        if response.status_code == 404 and response.json()["error"]["code"] == "not_found":
            return  # a slash in the value makes it another path
        assert_documented(response, method, path)

    run()
