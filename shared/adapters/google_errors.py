"""The exceptions of Google's REST clients, as errors of ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError, TransportError
from google.protobuf.json_format import ParseError

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
from shared.resilience.deadline import Deadline

T = TypeVar("T")
Hints = Mapping[type[DependencyError], str]

_SERVER_ERROR = 500
_OF_STATUS: dict[int, type[DependencyError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: Missing,
    408: TimedOut,
    409: PreconditionFailed,
    412: PreconditionFailed,
    429: Throttled,
    504: TimedOut,
}


@contextmanager
def google_errors(service: str, operation: str, what: str, hints: Hints) -> Iterator[None]:
    """The client's exceptions leave as ours. ``hints`` say what to do next, by kind of error."""

    def ours(kind: type[DependencyError], error: Exception, retry_after: float | None = None) -> Exception:
        hint = hints.get(kind, "Try again.")
        return kind(service, operation, f"{what}: {error}", hint=hint, retry_after=retry_after)

    try:
        yield
    except api.GoogleAPICallError as error:
        raise ours(_kind(error), error, _retry_after(error)) from error
    except TransportError as error:
        raise ours(Unreachable, error) from error
    except GoogleAuthError as error:
        raise ours(AccessDenied, error) from error
    except requests.JSONDecodeError as error:
        raise ours(Garbled, error) from error
    except requests.Timeout as error:
        raise ours(TimedOut, error) from error
    except requests.RequestException as error:
        raise ours(Unreachable, error) from error
    except (ParseError, ValueError, TypeError, KeyError) as error:
        raise ours(Garbled, error) from error


def _kind(error: api.GoogleAPICallError) -> type[DependencyError]:
    status = int(error.code or 0)
    return _OF_STATUS.get(status, Overloaded if status >= _SERVER_ERROR else Rejected)


def _retry_after(error: api.GoogleAPICallError) -> float | None:
    """Seconds of the header ``Retry-After``, where the answer had one."""
    headers: Any = getattr(error.response, "headers", None) or {}
    text = str(headers.get("retry-after", ""))
    return float(text) if text.isascii() and text.isdigit() else None


def within(deadline: Deadline, most: float, service: str, operation: str, call: Callable[[float], T]) -> T:
    """The result of ``call``, which is given its seconds; ``TimedOut`` when there is none by then.

    The client's own time-out is that of one read from the socket: an answer that drips would go on for ever.
    The thread it is left to ends with its socket, or with the process.
    """
    seconds = min(deadline.remaining(), most)
    if seconds <= 0:
        raise TimedOut(service, operation, "no time left")
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(call(seconds))
        except BaseException as error:  # noqa: BLE001 - handed over
            outcome.append(error)

    thread = threading.Thread(target=run, name=f"{service}-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimedOut(service, operation, "no answer in the time given", hint="Try again.")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]
