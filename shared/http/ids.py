"""Who a request is: its id and its place in a trace, read from the usual headers.

Sources: W3C Trace Context (``traceparent``), Google Cloud's ``X-Cloud-Trace-Context``
(``TRACE_ID/SPAN_ID;o=1``, the span in decimal) and the customary ``X-Request-Id``.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from shared.telemetry.logs import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}", re.ASCII)
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_CLOUD_TRACE = re.compile(r"([0-9A-Fa-f]{32})(?:/([0-9]{1,20}))?(?:;o=([0-9]))?", re.ASCII)
_MAX_SPAN = 2**64


def new_request_id() -> str:
    """A fresh id: 32 hex digits."""
    return uuid.uuid4().hex


def read_trace(headers: Mapping[str, str]) -> Trace | None:
    """The trace that the caller named, ``traceparent`` first; None when there is none or it is malformed.

    ``headers`` has lower-case names.
    """
    return _from_traceparent(headers.get("traceparent", "")) or _from_cloud(
        headers.get("x-cloud-trace-context", "")
    )


def read_request_id(headers: Mapping[str, str], trace: Trace | None) -> str:
    """The caller's own id when it is 8 to 64 safe characters, else the trace id, else empty."""
    given = headers.get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given):
        return given
    return trace.trace_id if trace else ""


def _from_traceparent(value: str) -> Trace | None:
    found = _TRACEPARENT.fullmatch(value.strip())
    if not found:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    # Version ff is forbidden, version 00 has exactly four parts, and all-zero ids are invalid.
    broken = version == "ff" or (version == "00" and rest is not None)
    if broken or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Trace(trace_id, span_id, bool(int(flags, 16) & 1))


def _from_cloud(value: str) -> Trace | None:
    found = _CLOUD_TRACE.fullmatch(value.strip())
    if not found or not int(found[1], 16):
        return None
    span = int(found[2] or 0)
    return Trace(found[1].lower(), f"{span:016x}" if 0 < span < _MAX_SPAN else "", found[3] == "1")
