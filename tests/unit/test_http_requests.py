"""Request ids, traces, Accept headers, routes, CORS: the pure parts of the HTTP package."""

from __future__ import annotations

import pytest

from shared.errors import RequestError, StackError, Throttled
from shared.http.cors import Cors
from shared.http.errors import failure_of, too_many_requests, whole_seconds
from shared.http.ids import new_request_id, read_request_id, read_trace
from shared.http.requests import Body, Request, wants_stream
from shared.http.routes import Reply, Route, Table
from shared.telemetry.logs import Trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01", Trace(TRACE, "00f067aa0ba902b7", True)),
        ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-00", Trace(TRACE, "00f067aa0ba902b7", False)),
        ("traceparent", f"01-{TRACE}-00f067aa0ba902b7-01-more", Trace(TRACE, "00f067aa0ba902b7", True)),
        ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        ("traceparent", f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        ("traceparent", f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        ("traceparent", f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        ("x-cloud-trace-context", f"{TRACE}/255;o=1", Trace(TRACE, "00000000000000ff", True)),
        ("x-cloud-trace-context", TRACE, Trace(TRACE, "", False)),
        ("x-cloud-trace-context", f"{TRACE}/{2**64};o=1", Trace(TRACE, "", True)),
        ("x-cloud-trace-context", "nonsense", None),
    ],
)
def test_a_trace_is_read_or_ignored(header: str, value: str, expected: Trace | None) -> None:
    """A malformed header from outside would break the link between a request and its log lines."""
    assert read_trace({header: value}) == expected


def test_the_callers_id_wins_if_it_is_safe() -> None:
    """A caller could write what it likes into our logs and headers through its request id."""
    trace = Trace(TRACE)
    assert read_request_id({"x-request-id": "abc-123_4.5"}, trace) == "abc-123_4.5"
    for bad in ("short", "x" * 65, "a b c d e f", "abcdefgh\n", "ÀÀÀÀÀÀÀÀÀ", ""):
        assert read_request_id({"x-request-id": bad}, trace) == TRACE
        assert read_request_id({"x-request-id": bad}, None) == ""
    assert read_request_id({"x-request-id": new_request_id()}, None)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("text/event-stream, */*", True),
        ("application/json, text/event-stream", True),
        ("text/event-stream;q=0.1, application/json", False),
        ("text/event-stream;q=0", False),
        ("*/*", False),
        ("text/*", False),
        ("", False),
        (";;q=,,", False),
    ],
)
def test_events_only_for_those_who_ask(accept: str, expected: bool) -> None:
    """A script that asks with curl would get events that it cannot read, or the page would get none."""
    assert wants_stream(Request("POST", "/chat", headers={"accept": accept})) is expected


def test_routes_match_whole_segments() -> None:
    """An id with odd characters, or a slash at the end, would not find its answer."""
    table = Table([Route("GET", "/chat/{id}", _nothing), Route("DELETE", "/chat/{id}", _nothing)])
    assert table.find("HEAD", "/chat/1.2-x/").params == {"id": "1.2-x"}
    assert table.find("DELETE", "/chat/ü").route.method == "DELETE"
    assert table.pattern("/chat/5") == "/chat/{id}"
    assert table.methods("/chat/5") == "DELETE, GET, HEAD, OPTIONS"
    for path in ("/chat", "/chat//", "/chat/1/2", "", "/", "/CHAT/1"):
        with pytest.raises(RequestError) as caught:
            table.find("GET", path)
        assert caught.value.status == 404


def test_a_path_that_cloud_run_reserves_is_refused() -> None:
    """A route ending in z would work here and be unreachable once it is deployed."""
    with pytest.raises(ValueError, match="reserves"):
        Route("GET", "/healthz", _nothing)


def test_errors_as_the_caller_sees_them() -> None:
    """A client would not know when to come back, or would come back a moment too early."""
    assert [whole_seconds(s) for s in (0.0, 0.2, 1.0, 1.01, 60)] == ["1", "1", "1", "2", "60"]
    assert failure_of(too_many_requests("Slow down.", 2.5)).headers == {"Retry-After": "3"}
    assert failure_of(Throttled("gemini", "embed", "429", retry_after=9)).headers == {"Retry-After": "9"}
    assert failure_of(StackError("no")).status == 503
    hidden = failure_of(ZeroDivisionError("secret"))
    assert (hidden.status, hidden.code, hidden.expected) == (500, "internal", False)
    assert "secret" not in str(hidden)


def test_a_quoted_field_name_is_bounded() -> None:
    """A megabyte of field name would come back in the error, and stand in the log."""
    body = b'{"%s": 1}' % (b"x" * 100_000)
    request = Request("POST", "/", headers={"content-type": "application/json"}, body=body)
    with pytest.raises(RequestError) as caught:
        request.decode(_Empty)
    assert len(caught.value.message) < 500


def test_cors_says_nothing_without_a_list() -> None:
    """A deployment without a list would open itself to pages that its owner never named."""
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert Cors().headers(asked) == {}
    assert Cors().preflight_headers(asked, "POST") == {}


class _Empty(Body):
    pass


def _nothing(_request: Request) -> Reply:
    return Reply()
