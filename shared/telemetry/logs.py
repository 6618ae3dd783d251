"""One JSON line for each thing that happened, in the field names that Cloud Logging understands.

Source of the names: Cloud Logging, "Structured logging" (special fields ``severity``, ``message``,
``time``, ``httpRequest``, ``logging.googleapis.com/trace``, ``…/spanId``, ``…/trace_sampled``,
``…/labels``) and Error Reporting (``stack_trace``). Cloud Run reads them from standard output.

The reader's address, browser and query string are left out on purpose: a line can be kept without
holding personal data.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.telemetry.catalogue import Measure

_CLIENT_ERROR, _SERVER_ERROR = 400, 500
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a request stands in a distributed trace: 32 hex digits, 16 hex digits, and the sampling flag."""

    trace_id: str
    span_id: str = ""
    sampled: bool = False


class RequestLog:
    """What a handler wants said about its request, collected until the request ends.

    The fields stand at the top level of the line, beside Cloud Logging's own, which they cannot replace.
    Safe to use from the thread that serves the request and the one that feeds its stream.
    """

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._lock = threading.Lock()

    def add(self, **fields: Any) -> None:
        """Set fields of the line; a later value replaces an earlier one."""
        with self._lock:
            self._fields.update(fields)

    def fields(self) -> dict[str, Any]:
        """A copy of what was collected so far."""
        with self._lock:
            return dict(self._fields)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One finished request. ``route`` is the pattern that matched (empty: none), ``error_code`` the
    machine name of the error that was answered or streamed (empty: none), ``seconds`` the time until
    the last byte was handed over, ``client_left`` whether the caller went away before the end.
    """

    method: str
    path: str
    route: str
    status: int
    seconds: float
    request_id: str
    request_bytes: int = 0
    response_bytes: int = 0
    trace: Trace | None = None
    error_code: str = ""
    client_left: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)


class Logger:
    """Writes the lines. ``service`` becomes a label; ``project`` makes trace links work in the console.

    ``write`` gets one line with its newline; a sink that fails loses the line, never the request.
    """

    def __init__(
        self,
        service: str,
        *,
        project: str = "",
        level: str = "INFO",
        write: Callable[[str], object] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if level not in SEVERITIES:
            raise ValueError(f"level is {level!r}; it must be one of {', '.join(SEVERITIES)}")
        self._service = service
        self._project = project
        self._floor = SEVERITIES.index(level)
        self._write = write or _to_stdout
        self._clock = clock
        self._lock = threading.Lock()

    def log(self, severity: str, message: str, *, trace: Trace | None = None, **fields: Any) -> None:
        """Write one line unless ``severity`` is below the level."""
        if SEVERITIES.index(severity) >= self._floor:
            self._put({**fields, **self._frame(severity, message), **self._trace(trace)})

    def measure(self, measure: Measure, value: float, **labels: str) -> None:
        """Write one figure for the metric that is made from such lines. The level does not hold it back: an
        alert on figures that nobody writes is silent.
        """
        wrong = labels.keys() ^ set(measure.labels)
        if wrong:
            raise ValueError(f"{measure.name} has the labels {measure.labels}; {sorted(wrong)} do not fit")
        frame = self._frame("INFO", f"{measure.name} {value:g}")
        self._put({**frame, "measure": measure.name, "value": value, "labels": labels})

    def _put(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)
        # Lone surrogates cannot be written as UTF-8; a log line must not fail over what it quotes.
        safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
        try:
            with self._lock:
                self._write(safe + "\n")
        except (OSError, ValueError):
            return

    def failure(
        self, message: str, error: BaseException, *, trace: Trace | None = None, **fields: Any
    ) -> None:
        """Write an ``ERROR`` line with the traceback of ``error`` where Error Reporting looks for it."""
        import traceback

        stack = "".join(traceback.format_exception(error))
        self.log("ERROR", message, trace=trace, stack_trace=stack, **fields)

    def request(self, record: RequestRecord) -> None:
        """Write the line of a finished request; ``ERROR`` for 5xx, ``DEBUG`` for probes that went well."""
        message = f"{record.method} {_place(record)} {record.status}"
        own: dict[str, Any] = {"request_id": record.request_id, "route": record.route}
        if record.error_code:
            own["error_code"] = record.error_code
        if record.client_left:
            own["client_left"] = True
        line = {**record.fields, **own, "httpRequest": _http_request(record)}
        for reserved in ("severity", "message", "trace"):
            line.pop(reserved, None)
        self.log(_severity(record), message, trace=record.trace, **line)

    def _frame(self, severity: str, message: str) -> dict[str, Any]:
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e6):06d}Z"
        labels = {"service": self._service}
        return {
            "severity": severity,
            "message": message,
            "time": stamp,
            "logging.googleapis.com/labels": labels,
        }

    def _trace(self, trace: Trace | None) -> dict[str, Any]:
        if trace is None:
            return {}
        name = f"projects/{self._project}/traces/{trace.trace_id}" if self._project else trace.trace_id
        found: dict[str, Any] = {"logging.googleapis.com/trace": name}
        if trace.span_id:
            found["logging.googleapis.com/spanId"] = trace.span_id
        found["logging.googleapis.com/trace_sampled"] = trace.sampled
        return found


def _severity(record: RequestRecord) -> str:
    broken_stream = record.status < _CLIENT_ERROR and record.error_code and not record.client_left
    if record.status >= _SERVER_ERROR or broken_stream:
        return "ERROR"
    if record.status >= _CLIENT_ERROR:
        return "WARNING"
    return "DEBUG" if record.route in {"/live", "/ready"} else "INFO"


def _place(record: RequestRecord) -> str:
    """The pattern where one matched: a path may hold an id that is itself a right, a conversation's."""
    return record.route or record.path


def _http_request(record: RequestRecord) -> dict[str, Any]:
    return {
        "requestMethod": record.method,
        "requestUrl": _place(record),
        "status": record.status,
        "latency": f"{record.seconds:.6f}s",
        "requestSize": str(record.request_bytes),
        "responseSize": str(record.response_bytes),
    }


def _to_stdout(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()
