"""Error answers in the shape of Google's APIs (https://google.aip.dev/193)."""

from __future__ import annotations

from tests.fakes.served import Refusal

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


class RunError(Refusal):
    """An error answer: its HTTP status, and what the API says."""

    def __init__(self, status: int, message: str, *, retry_after: str = "") -> None:
        headers = {"Retry-After": retry_after} if retry_after else {}
        super().__init__(status, _CODES.get(status, "UNKNOWN"), message, headers=headers)
