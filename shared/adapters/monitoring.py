"""Requests by revision from Cloud Monitoring, over REST with httpx alone.

Metrics: https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run (``request_count``, a DELTA sampled
every 60 s and visible up to 180 s later; ``request_latencies``, a distribution in milliseconds). Protocol:
https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any

import httpx
import msgspec

from shared.adapters.access_token import TokenProvider
from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.ports import Readers
from shared.ports.services import located
from shared.resilience.deadline import Deadline

SERVICE = "monitoring"
ENDPOINT = "https://monitoring.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/monitoring.read"

_MOST_SECONDS = 10.0
_PAGE = 1000
_ERROR_CLASS, _REFUSED_CLASS = "5xx", "4xx"
_OTHERS_FAULT = {"404", "405", "429"}
"""Scanners ask for pages that no release has, and a limit is the reader's own."""
_COUNT = "run.googleapis.com/request_count"
_LATENCY = "run.googleapis.com/request_latencies"
_KINDS: dict[int, type[DependencyError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: Missing,
    429: Throttled,
}
_SERVER_ERROR = 500
_HINT = "Give the account roles/monitoring.viewer."


class CloudMeasurements:
    """:class:`~shared.ports.Measurements` of one project and its first ``region``. ``token`` gives the bearer
    token; None is anonymous.
    """

    def __init__(
        self,
        project: str,
        region: str,
        client: httpx.Client,
        *,
        token: TokenProvider | None,
        endpoint: str = ENDPOINT,
    ) -> None:
        self._region = region
        self._url = f"{endpoint}/v3/projects/{project}/timeSeries"
        self._client = client
        self._token = token

    def readers(
        self, service: str, revisions: Sequence[str], start: float, end: float, deadline: Deadline
    ) -> dict[str, Readers]:
        found = {name: Readers() for name in revisions}
        for series in self._series(_COUNT, service, start, end, deadline):
            _add(found, series, _counted(series))
        for series in self._series(_LATENCY, service, start, end, deadline):
            _add(found, series, _timed(series))
        return found

    def _series(
        self, metric: str, service: str, start: float, end: float, deadline: Deadline
    ) -> Iterator[dict[str, Any]]:
        # A revision has the same name in each region: without the place they would be one.
        name, region = located(service)
        wanted = {
            "filter": f'metric.type="{metric}" AND resource.type="cloud_run_revision" '
            f'AND resource.labels.service_name="{name}" '
            f'AND resource.labels.location="{region or self._region}"',
            "interval.startTime": _stamp(start),
            "interval.endTime": _stamp(end),
            "pageSize": str(_PAGE),
        }
        token = ""
        while True:
            page = self._page({**wanted, **({"pageToken": token} if token else {})}, deadline)
            yield from page.get("timeSeries", [])
            token = page.get("nextPageToken", "")
            if not token:
                return

    def _page(self, query: dict[str, str], deadline: Deadline) -> dict[str, Any]:
        seconds = deadline.timeout(_MOST_SECONDS, attempted=f"{SERVICE}: read")
        headers = {"Authorization": f"Bearer {self._token(deadline)}"} if self._token else {}
        try:
            answer = self._client.get(self._url, params=query, headers=headers, timeout=seconds)
        except httpx.TimeoutException as error:
            raise TimedOut(SERVICE, "read", str(error) or "no answer", hint="Try again.") from error
        except httpx.HTTPError as error:
            raise Unreachable(SERVICE, "read", str(error), hint="Check the network.") from error
        if answer.status_code != httpx.codes.OK:
            status = answer.status_code
            kind = _KINDS.get(status, Overloaded if status >= _SERVER_ERROR else Rejected)
            raise kind(SERVICE, "read", f"it answered {status}: {answer.text[:200]}", hint=_HINT)
        try:
            return msgspec.json.decode(answer.content, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Garbled(SERVICE, "read", "the answer is not JSON", hint="Try again.") from error


def _add(found: dict[str, Readers], series: dict[str, Any], more: Readers) -> None:
    name = _label(series, "resource", "revision_name")
    if name in found:
        found[name] = found[name].plus(more)


def _label(series: dict[str, Any], part: str, name: str) -> str:
    try:
        return str(series[part]["labels"][name])
    except (KeyError, TypeError) as error:
        raise Garbled(SERVICE, "read", f"a time series has no label {name}", hint="Try again.") from error


def _counted(series: dict[str, Any]) -> Readers:
    total = sum(int(point["int64Value"]) for point in _values(series, "int64Value"))
    kind = _label(series, "metric", "response_code_class")
    is_refused = kind == _REFUSED_CLASS and _label(series, "metric", "response_code") not in _OTHERS_FAULT
    return Readers(total, total if kind == _ERROR_CLASS else 0, refused=total if is_refused else 0)


def _timed(series: dict[str, Any]) -> Readers:
    """The buckets of all points together, in seconds; the metric has milliseconds."""
    counts: dict[float, int] = {}
    for point in _values(series, "distributionValue"):
        value = point["distributionValue"]
        for bound, number in zip(_bounds(value), value.get("bucketCounts", []), strict=False):
            counts[bound] = counts.get(bound, 0) + int(number)
    return Readers(seconds=tuple(sorted(counts.items())))


def _values(series: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for point in series.get("points", []):
        if kind not in point.get("value", {}):
            raise Garbled(SERVICE, "read", f"a point has no {kind}", hint="Try again.")
        yield point["value"]


def _bounds(value: dict[str, Any]) -> Iterator[float]:
    """Upper bounds of a distribution's buckets in seconds: the underflow, then each finite one, then
    infinity.
    """
    options = value.get("bucketOptions", {})
    if "explicitBuckets" in options:
        bounds = [float(one) for one in options["explicitBuckets"]["bounds"]]
    elif "exponentialBuckets" in options:
        own = options["exponentialBuckets"]
        count = int(own["numFiniteBuckets"])
        bounds = [float(own["scale"]) * float(own["growthFactor"]) ** power for power in range(count + 1)]
    else:
        raise Garbled(SERVICE, "read", "a distribution has buckets of an unknown kind", hint="Try again.")
    yield from (bound / 1000.0 for bound in bounds)
    yield inf


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
