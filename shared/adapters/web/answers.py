"""What an answer's head says, and what went wrong, in our words."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime

import httpcore
import httpx

from shared.adapters.web.connections import FETCH, SERVICE
from shared.errors import (
    AccessDenied,
    DeadlineExceeded,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)

LONGEST_PAUSE = 300.0
"""Seconds that a site may ask for, at most."""
_SERVER_ERROR = 500


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Values by lower-case name; those of a name that stands twice are joined with a comma, those of
    ``X-Robots-Tag`` with a line break: a rule for a named robot holds to the end of its header.
    """
    found: dict[str, str] = {}
    for key, value in raw:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1").strip()
        between = "\n" if name == "x-robots-tag" else ", "
        found[name] = f"{found[name]}{between}{text}" if name in found else text
    return found


def length_of(heads: Mapping[str, str]) -> int:
    """The announced length in bytes; 0 when there is none that can be read."""
    text = heads.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def error_of(url: str, status: int, heads: Mapping[str, str]) -> DependencyError:
    """The error for a status that is no success."""
    said = f"{url} answered {status}"
    pause = retry_after(heads.get("retry-after", ""))
    if status in (404, 410):
        return Missing(SERVICE, FETCH, said)
    if status in (401, 403):
        return AccessDenied(SERVICE, FETCH, said, hint="Let Lectern read the page, or leave it out.")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled(SERVICE, FETCH, said, retry_after=pause)
    if status >= _SERVER_ERROR:
        return Overloaded(SERVICE, FETCH, said, retry_after=pause)
    return Rejected(SERVICE, FETCH, said)


def retry_after(text: str) -> float | None:
    """Seconds of ``Retry-After`` (RFC 9110, section 10.2.3), a number or a date; None when it says none."""
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_PAUSE)
    try:
        pause = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(pause, 0.0), LONGEST_PAUSE)


def translated(error: Exception, url: str) -> Exception:
    """An error of httpcore as one of ours; any other as it is."""
    late = f"{url} did not come in time"
    cut = f"the connection ended while {url} was read"
    for kinds, ours, said in (
        ((httpcore.TimeoutException, DeadlineExceeded), TimedOut, late),
        ((httpcore.ReadError, httpcore.WriteError), Interrupted, cut),
        ((httpcore.ConnectError,), Unreachable, f"{url}: {error}"),
        ((httpcore.RemoteProtocolError,), Interrupted if _is_cut(error) else Garbled, f"{url}: {error}"),
        ((httpx.InvalidURL, httpcore.UnsupportedProtocol), Rejected, f"{url[:200]!a} is no address"),
        ((httpcore.LocalProtocolError, UnicodeError), Rejected, f"{url[:200]!a} is no address"),
    ):
        if isinstance(error, kinds):
            return ours(SERVICE, FETCH, said)
    return error


def _is_cut(error: Exception) -> bool:
    return any(words in str(error) for words in ("peer closed", "disconnected"))
