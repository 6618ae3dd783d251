"""Google's error answers, as errors of ours.

The JSON shape is that of AIP-193 (https://google.aip.dev/193): ``{"error": {"code", "status",
"message", "details"}}``, ``details`` holding google.rpc messages by ``@type``. A stream in the JSON
form wraps it in an array.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from shared.errors import (
    AccessDenied,
    Blocked,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
)

SERVICE = "gemini"
_KEY_HINT = "Check GEMINI_API_KEY: it must be a key of a project with the Gemini API switched on."
_MODEL_HINT = "Check gemini_model and gemini_embedding_model against the models that the key may use."
_LATER_HINT = "Try again later."
_ADDRESS_HINT = "Check gemini_base_url, and try again."
_LONGEST_DETAIL = 300
_BY_STATUS: dict[int, tuple[type[DependencyError], str]] = {
    401: (AccessDenied, _KEY_HINT),
    403: (AccessDenied, _KEY_HINT),
    404: (Missing, _MODEL_HINT),
    408: (TimedOut, _LATER_HINT),
    429: (Throttled, _LATER_HINT),
}


def answer_error(
    operation: str, status: int, body: bytes, headers: Mapping[str, str], key: str
) -> DependencyError:
    """The error behind an HTTP answer that is not 200. ``headers`` are looked up in lower case."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, list) and found:
        found = found[0]
    inner = found.get("error") if isinstance(found, dict) else None
    error = inner if isinstance(inner, dict) else {}
    return status_error(operation, status, error, key, retry_after=_header_delay(headers))


def status_error(
    operation: str, status: int, error: Mapping[str, Any], key: str, *, retry_after: float | None = None
) -> DependencyError:
    """The error for an HTTP ``status`` and the inner ``error`` object, which may be empty."""
    named = _detail_delay(error)
    delay = retry_after if named is None else named
    kind, hint = _meaning(status, error)
    return kind(SERVICE, operation, _detail(status, error, key), hint=hint, retry_after=delay)


def _meaning(status: int, error: Mapping[str, Any]) -> tuple[type[DependencyError], str]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:  # noqa: PLR2004 - HTTP
        return Overloaded, _LATER_HINT
    if "API_KEY_INVALID" in _reasons(error):  # a wrong key is answered with 400
        return AccessDenied, _KEY_HINT
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP
        return Rejected, _MODEL_HINT
    return Garbled, _ADDRESS_HINT


def stream_error(operation: str, error: Any, key: str) -> DependencyError:
    """The error for an error object inside a stream that had begun with 200."""
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500  # noqa: PLR2004 - HTTP
    return status_error(operation, status, fields, key)


def garbled(operation: str, detail: str) -> Garbled:
    return Garbled(SERVICE, operation, detail, hint=_ADDRESS_HINT)


def interrupted(operation: str, detail: str) -> Interrupted:
    return Interrupted(SERVICE, operation, detail, hint="What arrived is not the whole answer; ask again.")


def timed_out(operation: str, detail: str = "no answer in the time given") -> TimedOut:
    return TimedOut(SERVICE, operation, detail, hint=_LATER_HINT)


def blocked(operation: str, what: str, reason: str) -> Blocked:
    return Blocked(
        SERVICE, operation, f"{what} was withheld: {reason}", hint="Ask in other words, or read the passages."
    )


def _detail(status: int, error: Mapping[str, Any], key: str) -> str:
    message = error.get("message")
    text = message if isinstance(message, str) else "without an explanation"
    if key:
        # A suspended project's message quotes the whole key.
        text = text.replace(key, "[key]")
    name = error.get("status")
    title = f"HTTP {status} {name}" if isinstance(name, str) else f"HTTP {status}"
    return f"{title}: {' '.join(text.split())[:_LONGEST_DETAIL]}"


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = error.get("details")
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []


def _reasons(error: Mapping[str, Any]) -> set[str]:
    return {str(one.get("reason")) for one in _details(error)}


def _detail_delay(error: Mapping[str, Any]) -> float | None:
    """Seconds of google.rpc.RetryInfo: a JSON duration such as ``"7s"`` or ``"0.5s"``."""
    for one in _details(error):
        if str(one.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return _seconds(str(one.get("retryDelay", "")).removesuffix("s"))
    return None


def _header_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds of Retry-After (RFC 9110, 10.2.3), a date being read against the answer's own Date."""
    value = headers.get("retry-after", "")
    if (seconds := _seconds(value)) is not None or not value:
        return seconds
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
