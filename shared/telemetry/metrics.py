"""Figures of this instance in Prometheus's text form, each made from the record of a request.

A record is what the request's log line is written from, so the same figures can be had from the log lines
when an instance is gone. Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, 0.0.4).
Written here, in less than a hundred lines, because importing prometheus_client costs 105 ms of a cold start
on the chat path, and nothing of it is needed but counters and one histogram.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import LecternError
from shared.resilience.deadline import Clock
from shared.telemetry.logs import RequestRecord

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Upper bounds in seconds: Prometheus's usual ones, up to a question's deadline."""
_SESSIONS_SECONDS = 15.0
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})

_HELP = {
    "http_requests_total": ("counter", "Requests answered."),
    "http_request_duration_seconds": ("histogram", "Time until the last byte was handed over."),
    "lectern_rung_total": ("counter", "Rung on which a step of an answer was served."),
    "lectern_citations_dropped_total": ("counter", "Citations that did not pass their check."),
    "lectern_spend_usd_total": ("counter", "US dollars spent on language models by this instance."),
    "active_sessions": ("gauge", "Conversations with a question in the last half hour, of all instances."),
}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts requests; give :meth:`observe` to ``App(on_finish=...)`` and :meth:`text` to ``GET /metrics``.

    ``sessions`` counts the active sessions when somebody looks, at most every 15 seconds of ``clock``
    (monotonic); one of our errors leaves the last known number in place, or the metric out.
    """

    def __init__(self, sessions: Callable[[], int], clock: Clock) -> None:
        self._count_sessions = sessions
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._sessions: int | None = None
        self._looked_at: float | None = None

    def observe(self, record: RequestRecord) -> None:
        """Count a finished request. Fields of its log that are read: ``rungs`` (step -> rung, else ``rung``),
        ``citations_dropped`` (reason -> number), ``cost_usd``.
        """
        method = record.method if record.method in _METHODS else "OTHER"
        # The pattern, not the path: a scanner's made-up paths would be a series each.
        endpoint = record.route or "none"
        fields = record.fields
        with self._lock:
            self._add(
                "http_requests_total",
                1,
                ("method", method),
                ("endpoint", endpoint),
                ("status", str(record.status)),
            )
            self._time(record.seconds, ("method", method), ("endpoint", endpoint))
            for step, rung in _rungs(fields).items():
                self._add("lectern_rung_total", 1, ("step", str(step)), ("rung", str(rung)))
            for reason, number in _mapping(fields.get("citations_dropped")).items():
                self._add("lectern_citations_dropped_total", float(number), ("reason", str(reason)))
            if fields.get("cost_usd"):
                self._add("lectern_spend_usd_total", float(fields["cost_usd"]))

    def text(self) -> bytes:
        """Every figure so far."""
        sessions = self._active_sessions()
        with self._lock:
            counts = dict(self._counts)
        if sessions is not None:
            counts[("active_sessions", ())] = sessions
        return "".join(_family(name, counts) for name in _HELP).encode()

    def _time(self, seconds: float, *labels: tuple[str, str]) -> None:
        name = "http_request_duration_seconds"
        for bound in BUCKETS:
            self._add(f"{name}_bucket", float(seconds <= bound), *labels, ("le", f"{bound:g}"))
        self._add(f"{name}_bucket", 1, *labels, ("le", "+Inf"))
        self._add(f"{name}_sum", seconds, *labels)
        self._add(f"{name}_count", 1, *labels)

    def _add(self, name: str, amount: float, *labels: tuple[str, str]) -> None:
        self._counts[name, labels] = self._counts.get((name, labels), 0.0) + amount

    def _active_sessions(self) -> int | None:
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= _SESSIONS_SECONDS:
            self._looked_at = now
            try:
                self._sessions = self._count_sessions()
            except LecternError:
                return self._sessions
        return self._sessions


def _rungs(fields: Mapping[str, Any]) -> Mapping[Any, Any]:
    return _mapping(fields.get("rungs")) or ({"search": fields["rung"]} if fields.get("rung") else {})


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _family(name: str, counts: Mapping[tuple[str, Labels], float]) -> str:
    kind, words = _HELP[name]
    parts = (f"{name}_bucket", f"{name}_sum", f"{name}_count") if kind == "histogram" else (name,)
    lines = [_line(*key, value) for key, value in counts.items() if key[0] in parts]
    return f"# HELP {name} {words}\n# TYPE {name} {kind}\n" + "".join(lines) if lines else ""


def _line(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{shown}}} {value:.15g}\n" if shown else f"{name} {value:.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
