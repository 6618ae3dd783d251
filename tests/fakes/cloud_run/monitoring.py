"""Cloud Monitoring's time series of Cloud Run requests: sampled, and late.

On Google Cloud a sample is 60 s long and can be seen up to 180 s after its end. Here both are settings, so
that a test takes seconds.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.fakes.cloud_run.front import Served

BOUNDS_MS = [float(f"{1.4**power:.4g}") for power in range(1, 36)]
_METRIC = re.compile(r'metric\.type="([^"]+)"')
_SERVICE = re.compile(r'service_name="([^"]+)"')
_LOCATION = re.compile(r'location="([^"]+)"')
_PATH = re.compile(r"/v3/projects/[^/]+/timeSeries$")
Json = dict[str, Any]


class Monitoring:
    """``sample_seconds`` and ``lag_seconds`` stand for Google's 60 and 180."""

    def __init__(
        self, clock: Callable[[], float], *, sample_seconds: float = 1.0, lag_seconds: float = 3.0
    ) -> None:
        self._clock = clock
        self.sample_seconds = sample_seconds
        self.lag_seconds = lag_seconds
        self._lock = threading.Lock()
        self._seen: list[Served] = []

    def note(self, served: Served) -> None:
        with self._lock:
            self._seen.append(served)

    def all(self) -> list[Served]:
        """Every request so far, as no operator can see them."""
        with self._lock:
            return list(self._seen)

    def owns(self, path: str) -> bool:
        return bool(_PATH.match(path))

    def answer(self, _method: str, _path: str, query: dict[str, str], _body: Json) -> Json:
        """``projects.timeSeries.list`` for the two metrics that Lectern reads."""
        metric = _METRIC.search(query["filter"])
        service = _SERVICE.search(query["filter"])
        location = _LOCATION.search(query["filter"])
        assert metric
        assert service
        start, end = _seconds(query["interval.startTime"]), _seconds(query["interval.endTime"])
        counted = metric[1].endswith("request_count")
        groups: dict[tuple[str, int, str], dict[int, list[Served]]] = {}
        for one in self._visible(service[1], start, end):
            if location and one.region != location[1]:
                continue
            key = (one.revision, one.status if counted else 0, f"{one.status // 100}xx")
            groups.setdefault(key, {}).setdefault(self._sample(one), []).append(one)
        return {
            "timeSeries": [self._series(metric[1], service[1], *item, counted) for item in groups.items()]
        }

    def _visible(self, service: str, start: float, end: float) -> list[Served]:
        now = self._clock()
        with self._lock:
            return [
                one
                for one in self._seen
                if one.service == service
                and start <= one.at + one.seconds < end
                and (self._sample(one) + 1) * self.sample_seconds + self.lag_seconds <= now
            ]

    def _sample(self, one: Served) -> int:
        return int((one.at + one.seconds) // self.sample_seconds)

    def _series(
        self,
        metric: str,
        service: str,
        key: tuple[str, int, str],
        samples: dict[int, list[Served]],
        counted: bool,
    ) -> Json:
        revision, status, kind = key
        labels = {"response_code_class": kind, **({"response_code": str(status)} if counted else {})}
        points = [
            {
                "interval": {
                    "startTime": _stamp(number * self.sample_seconds),
                    "endTime": _stamp((number + 1) * self.sample_seconds),
                },
                "value": {"int64Value": str(len(found))}
                if counted
                else {"distributionValue": _spread(found)},
            }
            for number, found in sorted(samples.items(), reverse=True)
        ]
        return {
            "metric": {"type": metric, "labels": labels},
            "resource": {
                "type": "cloud_run_revision",
                "labels": {"service_name": service, "revision_name": revision},
            },
            "metricKind": "DELTA",
            "valueType": "INT64" if counted else "DISTRIBUTION",
            "points": points,
        }


def _spread(found: list[Served]) -> Json:
    counts = [0] * (len(BOUNDS_MS) + 1)
    for one in found:
        counts[bisect_left(BOUNDS_MS, one.seconds * 1000)] += 1
    while counts and not counts[-1]:
        counts.pop()
    return {
        "count": str(len(found)),
        "mean": sum(one.seconds for one in found) * 1000 / len(found),
        "bucketOptions": {"explicitBuckets": {"bounds": BOUNDS_MS}},
        "bucketCounts": [str(number) for number in counts],
    }


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
