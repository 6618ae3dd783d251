"""The one error shape of the API: ``{"error": {"code", "message", "hint", "request_id"}}``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec
from werkzeug.exceptions import HTTPException

from shared.errors import DependencyError, LecternError, RequestError

INTERNAL = "internal"
_SERVER_ERROR = 500
_UNAVAILABLE = 503
_USUAL_PAUSE = "5"
"""Seconds after which to ask again where nobody knows better."""


class ErrorDetail(msgspec.Struct, frozen=True):
    """``code`` is for programs and never changes; ``message`` says what is wrong, ``hint`` what to do."""

    code: str
    message: str
    hint: str
    request_id: str


class ErrorBody(msgspec.Struct, frozen=True):
    """What stands in the body of every answer from 400 up, and in the data of an ``error`` event."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as the caller may see it. ``expected`` is false when the cause belongs in the log
    with its traceback, because the caller is told nothing of it.
    """

    status: int
    code: str
    message: str
    hint: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    expected: bool = True

    def body(self, request_id: str) -> ErrorBody:
        return ErrorBody(ErrorDetail(self.code, self.message, self.hint, request_id))


def failure_of(error: Exception) -> Failure:
    """How ``error`` is answered.

    Our own errors keep their status, code, message and hint, except those with status 500 (a service that
    is set up wrongly): these keep the code, and the rest goes to the log alone. Any other exception is
    ``internal``, with nothing of the exception in it.
    """
    if isinstance(error, LecternError):
        return _of_ours(error)
    if isinstance(error, HTTPException):
        return _of_werkzeug(error)
    return _unexpected(INTERNAL)


def too_many_requests(message: str, retry_after: float, *, hint: str = "") -> RequestError:
    """A 429 that says when to come back; ``retry_after`` in seconds, rounded up to whole ones."""
    headers = {"Retry-After": whole_seconds(retry_after)}
    return RequestError(429, "too_many_requests", message, hint=hint, headers=headers)


def unavailable(message: str, retry_after: float, *, hint: str = "") -> RequestError:
    """A 503 that says when to come back; ``retry_after`` in seconds."""
    headers = {"Retry-After": whole_seconds(retry_after)}
    return RequestError(503, "unavailable", message, hint=hint, headers=headers)


def not_implemented(message: str, *, hint: str = "") -> RequestError:
    """A 501: the operation is known, and this deployment cannot do it."""
    return RequestError(501, "not_implemented", message, hint=hint)


def whole_seconds(seconds: float) -> str:
    """A Retry-After value: whole seconds, at least 1, so that nobody comes back too early."""
    return str(max(1, math.ceil(seconds)))


def _of_ours(error: LecternError) -> Failure:
    if error.status == _SERVER_ERROR:
        return _unexpected(error.code)
    headers: dict[str, str] = {}
    if isinstance(error, RequestError):
        headers = error.headers
    elif isinstance(error, DependencyError) and error.retry_after is not None:
        headers = {"Retry-After": whole_seconds(error.retry_after)}
    if error.status == _UNAVAILABLE and "Retry-After" not in headers:
        headers = {**headers, "Retry-After": _USUAL_PAUSE}
    return Failure(error.status, error.code, error.message, error.hint, dict(headers))


def _of_werkzeug(error: HTTPException) -> Failure:
    if error.code is None or error.code >= _SERVER_ERROR:
        return _unexpected(INTERNAL)
    name = error.name.lower().replace(" ", "_")
    return Failure(error.code, name, f"The request could not be read: {error.name}.")


def _unexpected(code: str) -> Failure:
    return Failure(
        _SERVER_ERROR,
        code,
        "Something went wrong on our side.",
        "Try again; if it happens again, report the request_id.",
        expected=False,
    )
