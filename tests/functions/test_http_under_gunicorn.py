"""The HTTP package as it is deployed: gunicorn, functions-framework, real sockets."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
ORIGIN = "https://docs.example.com"


class Toy:
    """A running toy function: its address, its log lines, and what its generators wrote down."""

    def __init__(self, folder: Path) -> None:
        self.diary = folder / "diary"
        self.output = folder / "stdout"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = self._start()
        self.client = httpx.Client(base_url=self.url, timeout=20)
        wait_for(self._answers, 20)

    def _start(self) -> subprocess.Popen[bytes]:
        own = {
            "PYTHONPATH": str(ROOT),
            "FUNCTION_SOURCE": str(ROOT / "tests/functions/toy_http.py"),
            "FUNCTION_TARGET": "toy",
            "TOY_DIARY": str(self.diary),
        }
        command = [sys.executable, "-m", "gunicorn", "--workers", "1", "--threads", "8", "--timeout", "0"]
        command += [
            "--no-control-socket",
            "--bind",
            f"127.0.0.1:{self.port}",
            "functions_framework:create_app()",
        ]
        with self.output.open("wb") as out:
            return subprocess.Popen(command, env={**os.environ, **own}, stdout=out, stderr=out, cwd=ROOT)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.output.read_text()
        try:
            return self.client.get("/live").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.client.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]

    def line_of(self, request_id: str) -> dict:
        """The request's own line."""

        def found() -> list[dict]:
            return [x for x in self.lines() if x.get("request_id") == request_id and "httpRequest" in x]

        wait_for(lambda: bool(found()), 5)
        return found()[0]

    def closings(self) -> list[float]:
        text = self.diary.read_text() if self.diary.exists() else ""
        return [float(line.split()[1]) for line in text.splitlines()]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toy]:
    running = Toy(tmp_path_factory.mktemp("toy"))
    yield running
    running.stop()


def shape(response: httpx.Response, status: int, code: str) -> dict:
    """The error of a response, after checking that it has the documented shape and nothing else."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    error = body["error"]
    assert sorted(error) == ["code", "hint", "message", "request_id"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    return error


BAD_INPUT = {
    "form": (
        b"question=x",
        "application/x-www-form-urlencoded",
        415,
        "unsupported_media_type",
        "application/json",
    ),
    "no type": (b'{"question":"x"}', None, 415, "unsupported_media_type", "application/json"),
    "latin-1": (b"{}", "application/json; charset=latin-1", 415, "unsupported_media_type", "UTF-8"),
    "empty": (b"", "application/json", 400, "empty_body", "empty"),
    "cut": (b'{"question"', "application/json", 400, "invalid_json", "JSON"),
    "not utf-8": (b'{"question":"\xff"}', "application/json", 400, "invalid_json", "JSON"),
    "a list": (b"[1]", "application/json", 400, "invalid_request", "array"),
    "wrong type": (b'{"question":1}', "application/json", 400, "invalid_request", "$.question"),
    "missing": (b"{}", "application/json", 400, "invalid_request", "question"),
    "unknown": (b'{"question":"x","user":1}', "application/json", 400, "invalid_request", "user"),
    "unknown inside": (b'{"question":"x","page":{"u":1}}', "text/plain", 400, "invalid_request", "$.page"),
    "empty question": (b'{"question":""}', "application/json", 400, "invalid_request", "$.question"),
    "long question": (
        b'{"question":"%s"}' % (b"x" * 201),
        "text/plain",
        400,
        "invalid_request",
        "$.question",
    ),
    "deep": (b"[" * 4000, "application/json", 400, "invalid_request", "array"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_named(toy: Toy, case: str) -> None:
    """A developer who sends a wrong request would not learn which part of it is wrong."""
    body, kind, status, code, says = BAD_INPUT[case]
    headers = {"content-type": kind} if kind else {}
    error = shape(toy.client.post("/chat", content=body, headers=headers), status, code)
    assert says in error["message"] + error["hint"]
    assert error["hint"]


def test_a_compressed_body_is_refused_by_name(toy: Toy) -> None:
    """A client that compresses its bodies would be told that its JSON is broken."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    error = shape(
        toy.client.post("/chat", content=b"\x1f\x8b", headers=headers), 415, "unsupported_media_type"
    )
    assert "gzip" in error["message"]


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=UTF-8", "text/plain;charset=UTF-8"]
)
def test_json_is_taken_under_both_types(toy: Toy, kind: str) -> None:
    """A browser that avoids the preflight with text/plain, or a client with a charset, would be refused."""
    response = toy.client.post("/chat", content=b'{"question":"hi"}', headers={"content-type": kind})
    assert response.json() == {"answer": "HI"}


@pytest.mark.parametrize("size", [4097, 40_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/chat", "/nowhere"])
def test_a_long_body_is_413(toy: Toy, size: int, path: str, *, chunked: bool) -> None:
    """A huge upload would fill the instance's memory, or its sender would see a reset without a reason."""
    body = b"x" * size
    content = (body[i : i + 65536] for i in range(0, size, 65536)) if chunked else body
    try:
        response = toy.client.post(path, content=content, headers={"content-type": "application/json"})
    except httpx.TransportError:
        assert size > 4096 * 8  # only a sender that goes on far beyond the limit may be cut off
        return
    shape(response, 413, "body_too_large")


def test_a_body_that_never_arrives_whole_is_not_an_error_of_ours(toy: Toy) -> None:
    """A reader who closes the page while sending would be counted as a failure of the service."""
    head = b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
    head += b"X-Request-Id: cut-body-1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", toy.port)) as raw:
        raw.sendall(head + b'{"question"')
        raw.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b'"body_cut"' in answer
    assert toy.line_of("cut-body-1")["severity"] == "WARNING"


def test_unknown_paths_and_methods(toy: Toy) -> None:
    """A mistyped path or method would get an HTML page instead of the documented error."""
    shape(toy.client.get("/nowhere"), 404, "not_found")
    shape(toy.client.get("/"), 404, "not_found")
    shape(toy.client.get("/chat/"), 405, "method_not_allowed")
    response = toy.client.delete("/chat")
    shape(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST, OPTIONS"
    shape(toy.client.request("BREW", "/chat/1"), 405, "method_not_allowed")


def test_path_query_head_and_options(toy: Toy) -> None:
    """Links with an id, uptime checks by HEAD and tools that ask with OPTIONS would not work."""
    response = toy.client.get("/chat/a%20b?x=1&x=2&y=")
    assert response.json() == {"answer_id": "a b", "query": {"x": "1", "y": ""}}
    head = toy.client.head("/chat/a%20b?x=1&x=2&y=")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(response.content))
    options = toy.client.options("/chat/1")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "access-control-allow-methods" not in options.headers
    assert toy.client.head("/stream/ticks").headers["content-type"].startswith("text/event-stream")


def test_live_and_ready(toy: Toy) -> None:
    """Cloud Run would restart an instance that only waits for its database, or send readers to it."""
    assert toy.client.get("/live").json() == {"status": "live"}
    error = shape(toy.client.get("/ready"), 503, "stack_unavailable")
    assert error["hint"] == "Wait for it."


@pytest.mark.parametrize(
    ("kind", "status", "code", "retry_after"),
    [
        ("throttled", 503, "throttled", "2"),
        ("busy", 429, "too_many_requests", "7"),
        ("later", 501, "not_implemented", None),
    ],
)
def test_our_errors_keep_their_status(
    toy: Toy, kind: str, status: int, code: str, retry_after: str | None
) -> None:
    """A client could not tell "come back in 2 s" from "this does not exist here"."""
    response = toy.client.get(f"/fail/{kind}")
    shape(response, status, code)
    assert response.headers.get("retry-after") == retry_after


@pytest.mark.parametrize(
    ("kind", "code"), [("bug", "internal"), ("unencodable", "internal"), ("settings", "settings_invalid")]
)
def test_an_unforeseen_error_says_nothing_and_logs_everything(toy: Toy, kind: str, code: str) -> None:
    """A stack trace or a secret would reach the public, or the operator would have nothing to go by."""
    response = toy.client.get(f"/fail/{kind}", headers={"x-request-id": f"unforeseen-{kind}"})
    shape(response, 500, code)
    assert "secret-detail" not in response.text
    assert "Traceback" not in response.text
    assert toy.line_of(f"unforeseen-{kind}")["severity"] == "ERROR"
    stacks = [
        x["stack_trace"]
        for x in toy.lines()
        if x.get("request_id") == f"unforeseen-{kind}" and "stack_trace" in x
    ]
    assert len(stacks) == 1
    assert "toy_http.py" in stacks[0] or kind == "unencodable"


def test_cors_follows_the_list(toy: Toy) -> None:
    """The chat would not work on the documentation site, or would work on a stranger's."""
    ours = toy.client.options(
        "/chat", headers={"origin": ORIGIN, "access-control-request-method": "POST"}
    ).headers
    assert ours["access-control-allow-origin"] == ORIGIN
    assert ours["access-control-allow-methods"] == "POST, OPTIONS"
    assert ours["access-control-max-age"] == "7200"
    answer = toy.client.get("/nowhere", headers={"origin": ORIGIN}).headers
    assert answer["access-control-allow-origin"] == ORIGIN
    assert answer["access-control-expose-headers"] == "retry-after, x-request-id"
    for headers in ({}, {"origin": "https://docs.example.com.evil.test"}, {"origin": "null"}):
        other = toy.client.get("/live", headers=headers).headers
        assert other["vary"] == "Origin"
        assert not [name for name in other if name.startswith("access-control")]
    assert "access-control-allow-credentials" not in answer


def test_one_line_a_request_with_the_callers_trace(toy: Toy) -> None:
    """An operator could not follow one reader's question through the logs."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "content-type": "text/plain"}
    response = toy.client.post("/chat?secret=1", content=b'{"question":"hi"}', headers=headers)
    assert response.headers["x-request-id"] == trace
    line = toy.line_of(trace)
    assert line["logging.googleapis.com/trace"] == trace
    assert line["logging.googleapis.com/spanId"] == "00f067aa0ba902b7"
    assert (line["severity"], line["rung"], line["route"]) == ("INFO", "toy", "/chat")
    assert line["logging.googleapis.com/labels"] == {"service": "toy"}
    assert line["httpRequest"]["status"] == 200
    assert re.fullmatch(r"\d+\.\d+s", line["httpRequest"]["latency"])
    assert "secret" not in json.dumps(line)


def events(response: httpx.Response) -> Iterator[tuple[str, dict]]:
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def test_an_answer_as_events(toy: Toy) -> None:
    """The page would wait for an answer that came in a form that it does not read."""
    headers = {"accept": "text/event-stream", "content-type": "text/plain", "x-request-id": "as-events"}
    with toy.client.stream("POST", "/chat", content=b'{"question":"hi"}', headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-length" not in response.headers
        assert list(events(response)) == [("meta", {"answer_id": "a1"}), ("done", {"kind": "extractive"})]
    assert toy.line_of("as-events")["rung"] == "toy"
    bad = toy.client.post("/chat", content=b"{}", headers=headers)
    shape(bad, 400, "invalid_request")


def test_events_arrive_when_they_are_made(toy: Toy) -> None:
    """The reader would look at an empty box until the whole answer is written."""
    late = []
    with toy.client.stream("GET", "/stream/ticks") as response:
        for _, data in events(response):
            late.append(time.monotonic() - data["at"])
            if len(late) == 5:
                break
    assert sorted(late)[2] < 0.1


@pytest.mark.parametrize("kind", ["ticks", "silence"])
def test_the_source_is_closed_when_the_reader_leaves(toy: Toy, kind: str) -> None:
    """A closed tab would go on costing tokens and a thread."""
    before = len(toy.closings())
    request_id = f"reader-leaves-{kind}"
    with toy.client.stream("GET", f"/stream/{kind}", headers={"x-request-id": request_id}) as response:
        assert next(events(response))[0] == "token"
    left = time.monotonic()
    wait_for(lambda: len(toy.closings()) > before, 5)
    assert toy.closings()[-1] - left < 1
    line = toy.line_of(request_id)
    assert line["client_left"] is True
    assert line["severity"] == "INFO"


def test_heartbeats_fill_a_silence(toy: Toy) -> None:
    """A proxy would cut the stream while the model is thinking."""
    with toy.client.stream("GET", "/stream/silence") as response:
        beats = 0
        started = time.monotonic()
        for line in response.iter_lines():
            beats += line == ": heartbeat"
            if beats == 3:
                break
    assert 0.6 < time.monotonic() - started < 3


@pytest.mark.parametrize(("kind", "code"), [("breaks", "internal"), ("throttles", "interrupted")])
def test_an_error_in_the_middle_is_an_event(toy: Toy, kind: str, code: str) -> None:
    """Half an answer would look like a whole one."""
    headers = {"x-request-id": f"in-the-middle-{kind}"}
    with toy.client.stream("GET", f"/stream/{kind}", headers=headers) as response:
        seen = list(events(response))
    assert [name for name, _ in seen] == ["token", "error"]
    error = seen[1][1]["error"]
    assert (error["code"], error["request_id"]) == (code, headers["x-request-id"])
    assert "secret-detail" not in json.dumps(seen)
    line = toy.line_of(headers["x-request-id"])
    assert (line["severity"], line["error_code"]) == ("ERROR", code)


def test_a_reader_that_takes_nothing_does_not_hold_the_others_up(toy: Toy) -> None:
    """One stuck browser with a full buffer would make the source run ahead without bound."""
    before = len(toy.closings())
    with socket.create_connection(("127.0.0.1", toy.port)) as raw:
        raw.sendall(b"GET /stream/flood HTTP/1.1\r\nHost: x\r\n\r\n")
        raw.recv(100)
        assert toy.client.get("/live").status_code == 200
    wait_for(lambda: len(toy.closings()) > before, 5)


def test_streams_run_beside_each_other(toy: Toy) -> None:
    """A second reader would wait until the first one's answer is finished."""
    all_reading = threading.Barrier(6, timeout=10)
    waited: list[float] = []

    def read() -> None:
        started = time.monotonic()
        with httpx.stream("GET", f"{toy.url}/stream/ticks", timeout=10) as response:
            next(events(response))
            waited.append(time.monotonic() - started)
            all_reading.wait()

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(10)
    assert len(waited) == 6
    assert max(waited) < 1.5


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=200)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda question, page: json.dumps({"question": question, "page": page}).encode(),
        JSON_VALUES,
        JSON_VALUES,
    )
)
TYPES = st.sampled_from(
    ["application/json", "text/plain", "text/plain;charset=utf-8", "text/html", "", ";;=", "a/b;c"]
)


def fuzz(toy: Toy, runs: int) -> None:
    @settings(
        max_examples=runs,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(body=BODIES, kind=TYPES, path=st.sampled_from(["/chat", "/chat/%ff%00", "/live", "/x//y"]))
    def run(body: bytes, kind: str, path: str) -> None:
        response = toy.client.post(path, content=body, headers={"content-type": kind})
        assert response.status_code < 500
        if response.status_code >= 400:
            shape(response, response.status_code, response.json()["error"]["code"])

    run()


def test_no_body_breaks_it(toy: Toy) -> None:
    """Some body out of the wild would show a stack trace or count as an outage."""
    fuzz(toy, 300)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_body_of_many_breaks_it(toy: Toy) -> None:
    """A rare body out of the wild would show a stack trace or count as an outage."""
    fuzz(toy, 10_000)
