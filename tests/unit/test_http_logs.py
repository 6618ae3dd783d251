"""The log lines, as Cloud Logging reads them."""

from __future__ import annotations

import json

import pytest

from shared.telemetry.catalogue import FIRST_TOKEN
from shared.telemetry.logs import Logger, RequestLog, RequestRecord, Trace


class Lines(list[str]):
    """Where the lines go."""

    def read(self) -> list[dict]:
        return [json.loads(line) for line in self]


def record(**changes) -> RequestRecord:
    known = {
        "method": "POST",
        "path": "/chat",
        "route": "/chat",
        "status": 200,
        "seconds": 0.25,
        "request_id": "r",
    }
    return RequestRecord(**{**known, **changes})


def test_a_line_has_cloud_loggings_fields() -> None:
    """The console would show a request as a nameless line without severity, trace or latency."""
    lines = Lines()
    logger = Logger("chat", project="docs", write=lines.append, clock=lambda: 1_700_000_000.25)
    logger.request(record(trace=Trace("ab" * 16, "cd" * 8, True), fields={"rung": "hybrid"}))
    assert lines.read() == [
        {
            "severity": "INFO",
            "message": "POST /chat 200",
            "time": "2023-11-14T22:13:20.250000Z",
            "request_id": "r",
            "route": "/chat",
            "rung": "hybrid",
            "httpRequest": {
                "requestMethod": "POST",
                "requestUrl": "/chat",
                "status": 200,
                "latency": "0.250000s",
                "requestSize": "0",
                "responseSize": "0",
            },
            "logging.googleapis.com/labels": {"service": "chat"},
            "logging.googleapis.com/trace": f"projects/docs/traces/{'ab' * 16}",
            "logging.googleapis.com/spanId": "cd" * 8,
            "logging.googleapis.com/trace_sampled": True,
        }
    ]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "INFO"),
        ({"status": 404}, "WARNING"),
        ({"status": 503}, "ERROR"),
        ({"error_code": "internal"}, "ERROR"),
        ({"error_code": "cancelled", "client_left": True}, "INFO"),
        ({"route": "/live"}, "DEBUG"),
        ({"route": "/ready", "status": 503}, "ERROR"),
    ],
)
def test_severity_follows_the_outcome(changes: dict, severity: str) -> None:
    """An alert on errors would miss a broken stream, or ring for a closed tab."""
    lines = Lines()
    Logger("chat", level="DEBUG", write=lines.append).request(record(**changes))
    assert lines.read()[0]["severity"] == severity


def test_fields_cannot_replace_the_frame_or_break_the_line() -> None:
    """A handler, or text from outside, could forge a line or make one that nothing can parse."""
    lines = Lines()
    fields = {
        "severity": "INFO",
        "trace": "x",
        "message": "all is well",
        "text": "a\nb\ud800",
        "odd": {1, 2}.__class__,
    }
    Logger("chat", write=lines.append).request(record(status=500, fields=fields))
    assert len(lines) == 1
    assert lines[0].count("\n") == 1
    line = lines.read()[0]
    assert (line["severity"], line["message"]) == ("ERROR", "POST /chat 500")
    lines[0].encode()


def test_levels_and_a_broken_sink() -> None:
    """A full disk under the log would take the service down with it."""
    lines = Lines()
    quiet = Logger("chat", level="WARNING", write=lines.append)
    quiet.log("INFO", "not this")
    quiet.log("WARNING", "this", code="x")
    assert [line["message"] for line in lines.read()] == ["this"]

    def full(_line: str) -> None:
        raise OSError(28, "No space left on device")

    Logger("chat", write=full).log("ERROR", "lost")
    with pytest.raises(ValueError, match="LOUD"):
        Logger("chat", level="LOUD")


def test_a_failure_carries_its_traceback() -> None:
    """Error Reporting would not group crashes, and nobody would know where it happened."""
    lines = Lines()
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        Logger("chat", write=lines.append).failure("it failed", error, request_id="r")
    line = lines.read()[0]
    assert "ZeroDivisionError" in line["stack_trace"]
    assert "test_http_logs.py" in line["stack_trace"]


def test_what_handlers_add_is_kept_apart() -> None:
    """A handler that goes on adding would change a line that is being written."""
    log = RequestLog()
    log.add(rung="hybrid", n=1)
    copy = log.fields()
    log.add(n=2)
    assert copy == {"rung": "hybrid", "n": 1}
    assert log.fields() == {"rung": "hybrid", "n": 2}


def test_a_figure_is_written_whatever_the_level() -> None:
    """Production logs warnings only: the alert on the age of the backup would never hear of it."""
    lines = Lines()
    logger = Logger("health", level="ERROR", write=lines.append)
    logger.measure(FIRST_TOKEN, 0.25, kind="answer", search="hybrid", writing="quotes")
    [line] = lines.read()
    assert (line["severity"], line["measure"], line["value"]) == ("INFO", "lectern_first_token_seconds", 0.25)
    assert line["labels"] == {"kind": "answer", "search": "hybrid", "writing": "quotes"}
    with pytest.raises(ValueError, match="writing"):
        logger.measure(FIRST_TOKEN, 0.25, kind="answer", search="hybrid")
