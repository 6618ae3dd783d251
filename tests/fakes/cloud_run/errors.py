"""Error answers in the shape of Google's APIs (https://google.aip.dev/193)."""

from __future__ import annotations

from typing import Any

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RunError(Exception):
    """An error answer: its HTTP status, and what the API says."""

    def __init__(self, status: int, message: str, *, retry_after: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"Retry-After": retry_after} if retry_after else {}
        self.body: dict[str, Any] = {
            "error": {"code": status, "message": message, "status": _CODES.get(status, "UNKNOWN")}
        }
