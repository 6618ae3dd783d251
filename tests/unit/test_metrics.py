"""The figures of GET /metrics, read back by a parser of their format."""

from __future__ import annotations

import re
import threading

from shared.errors import Unreachable
from shared.telemetry.logs import RequestRecord
from shared.telemetry.metrics import Metrics

_LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|\+Inf)')


def samples(metrics: Metrics) -> dict[str, float]:
    found = {}
    for line in metrics.text().decode().splitlines():
        if not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, line
            found[f"{match[1]}{{{match[2] or ''}}}"] = float(match[3])
    return found


def record(**changes: object) -> RequestRecord:
    facts = {"method": "POST", "path": "/chat", "route": "/chat", "status": 200, "seconds": 0.3}
    return RequestRecord(**{**facts, "request_id": "r", **changes})


def test_requests_are_counted_by_method_endpoint_and_status() -> None:
    """A dashboard made for the usual names would stay empty."""
    metrics = Metrics(lambda: 3, lambda: 0.0)
    for status in (200, 200, 429):
        metrics.observe(record(status=status))
    found = samples(metrics)
    assert found['http_requests_total{method="POST",endpoint="/chat",status="200"}'] == 2
    assert found['http_requests_total{method="POST",endpoint="/chat",status="429"}'] == 1
    timed = 'http_request_duration_seconds_bucket{method="POST",endpoint="/chat",le='
    assert [found[f'{timed}"{bound}"}}'] for bound in ("0.25", "0.5", "20", "+Inf")] == [0, 3, 3, 3]
    assert found['http_request_duration_seconds_count{method="POST",endpoint="/chat"}'] == 3
    assert found["active_sessions{}"] == 3


def test_rungs_dropped_citations_and_spend_come_from_the_fields_of_the_log_line() -> None:
    """An operator would not see that answers are degraded, unproven or dear."""
    metrics = Metrics(lambda: 0, lambda: 0.0)
    fields = {"rungs": {"search": "lifeboat", "memory": "spool"}, "citations_dropped": {"number": 2}}
    metrics.observe(record(fields={**fields, "cost_usd": 0.25}))
    metrics.observe(record(fields={"rung": "hybrid", "cost_usd": 0.5}))
    found = samples(metrics)
    assert found['lectern_rung_total{step="search",rung="lifeboat"}'] == 1
    assert found['lectern_rung_total{step="search",rung="hybrid"}'] == 1
    assert found['lectern_rung_total{step="memory",rung="spool"}'] == 1
    assert found['lectern_citations_dropped_total{reason="number"}'] == 2
    assert found["lectern_spend_usd_total{}"] == 0.75


def test_a_scanner_makes_no_series_and_no_broken_line() -> None:
    """Made-up paths and methods would grow the instance's memory, or break the whole scrape."""
    metrics = Metrics(lambda: 0, lambda: 0.0)
    for number in range(500):
        metrics.observe(record(method=f"X{number}", path=f"/{number}", route="", status=404))
    metrics.observe(record(fields={"rungs": {'a"b\\c\n': "x"}}))
    assert len(samples(metrics)) < 50


def test_sessions_are_counted_seldom_and_never_break_the_scrape() -> None:
    """Each scrape would cost a query, and a database that is down would take all other figures along."""
    now, counts = [0.0], []

    def count() -> int:
        counts.append(1)
        if len(counts) > 1:
            raise Unreachable("neon", "count", "refused")
        return 7

    metrics = Metrics(count, lambda: now[0])
    assert [samples(metrics)["active_sessions{}"] for _ in range(3)] == [7, 7, 7]
    assert len(counts) == 1
    now[0] = 60.0
    assert samples(metrics)["active_sessions{}"] == 7


def test_nothing_is_lost_when_many_count_at_once() -> None:
    """Figures of a busy instance would be too low."""
    metrics = Metrics(lambda: 0, lambda: 0.0)

    def many() -> None:
        for _ in range(500):
            metrics.observe(record())

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(metrics)['http_requests_total{method="POST",endpoint="/chat",status="200"}'] == 2000
