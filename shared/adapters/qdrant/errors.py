"""What goes wrong with Qdrant, in the words of :mod:`shared.errors`. One table for both adapters."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus

import httpx
import msgspec

from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)

SERVICE = "qdrant"
_LONGEST = 300  # characters of the service's own words that are passed on
CHECK_URL = "Check QDRANT_URL, and that the cluster is running."
_CHECK_KEY = "Check QDRANT_API_KEY: it may be wrong, expired or not allowed to do this."

_BY_STATUS: dict[int, tuple[type[DependencyError], str]] = {
    HTTPStatus.UNAUTHORIZED: (AccessDenied, _CHECK_KEY),
    HTTPStatus.FORBIDDEN: (AccessDenied, _CHECK_KEY),
    HTTPStatus.REQUEST_TIMEOUT: (TimedOut, ""),
    HTTPStatus.GATEWAY_TIMEOUT: (TimedOut, ""),
    HTTPStatus.CONFLICT: (PreconditionFailed, ""),
    HTTPStatus.PRECONDITION_FAILED: (PreconditionFailed, ""),
}


class _Status(msgspec.Struct):
    error: str


class _ErrorBody(msgspec.Struct):
    status: _Status


def of_transport(operation: str, error: Exception) -> DependencyError:
    """The error for a request that got no whole answer.

    An answer that was cut in the middle is :class:`Unreachable`, like a connection that was reset:
    nothing of it is used, so it is no stream that could be taken up again.
    """
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(SERVICE, operation, _named(error, "no answer in the time given"))
    if _is_tls(error):
        return of_tls(operation, error)
    if isinstance(error, httpx.DecodingError) or _is_nonsense(error):
        return Garbled(SERVICE, operation, f"the answer is not HTTP, {error}", hint=CHECK_URL)
    if isinstance(error, httpx.HTTPError | OSError):
        return Unreachable(SERVICE, operation, _named(error, "the connection failed"), hint=CHECK_URL)
    return Garbled(SERVICE, operation, f"{type(error).__name__}: {str(error)[:_LONGEST]}")


def of_tls(operation: str, error: Exception) -> DependencyError:
    """The error for a connection whose other end is not who it should be."""
    hint = "Check that QDRANT_URL names the host on its certificate, and the clock of this machine."
    return Unreachable(SERVICE, operation, f"the TLS connection was refused, {error}", hint=hint)


def of_status(operation: str, status: int, body: bytes, headers: Mapping[str, str]) -> DependencyError:
    """The error for an answer whose status is not 200."""
    said = _said(body)
    detail = f"HTTP {status}, {said}" if said else f"HTTP {status}"
    if status == HTTPStatus.NOT_FOUND:
        hint = "Run `lectern ingest` to build the index." if said else CHECK_URL
        return Missing(SERVICE, operation, detail, hint=hint)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return throttled(operation, detail, headers.get("retry-after"))
    if status in _BY_STATUS:
        kind, hint = _BY_STATUS[status]
        return kind(SERVICE, operation, detail, hint=hint)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Overloaded(SERVICE, operation, detail, retry_after=_seconds(headers.get("retry-after")))
    if status >= HTTPStatus.BAD_REQUEST:
        return Rejected(SERVICE, operation, detail)
    return Garbled(SERVICE, operation, f"{detail}, which is no answer of Qdrant's", hint=CHECK_URL)


def throttled(operation: str, detail: str, retry_after: object) -> Throttled:
    """429, with the seconds that the service named."""
    hint = "Wait as long as it says, or give the cluster more room."
    return Throttled(SERVICE, operation, detail, hint=hint, retry_after=_seconds(retry_after))


def garbled(operation: str, error: object) -> Garbled:
    """An answer with status 200 whose body is not what Qdrant documents."""
    return Garbled(
        SERVICE, operation, f"the answer does not have the documented form, {error}", hint=CHECK_URL
    )


def rejected(operation: str, problem: str) -> Rejected:
    """Something that we found wrong with our own request before it was sent."""
    return Rejected(SERVICE, operation, problem)


def _said(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).status.error[:_LONGEST]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _seconds(value: object) -> float | None:
    """Seconds of a Retry-After header; None for its date form, which Qdrant does not send."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _named(error: Exception, fallback: str) -> str:
    return str(error) or fallback


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_nonsense(error: Exception) -> bool:
    """Whether the peer spoke something else than HTTP, rather than hanging up."""
    if not isinstance(error, httpx.RemoteProtocolError):
        return False
    return not any(words in str(error) for words in ("disconnected", "closed connection"))
