"""What both Cloud Storage adapters share of the JSON API: resources, errors, resumable sessions.

Protocol: https://cloud.google.com/storage/docs/performing-resumable-uploads and
https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from shared.errors import (
    AccessDenied,
    Corrupt,
    DependencyError,
    Garbled,
    Interrupted,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    SettingsError,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.objects import Crc32c
from shared.ports import ObjectInfo
from shared.resilience.deadline import Deadline

SERVICE = "gcs"
MOST_SECONDS = 60.0  # one request; Cloud Storage answers or fails well before
CHUNK_UNIT = 256 * 1024
FIELDS = "name,size,generation,crc32c,updated,metadata"

_RESUME_INCOMPLETE = 308
_TRIES = 5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 8.0
_ABORT_SECONDS = 2.0
_PASSING = (Overloaded, Throttled, Unreachable, TimedOut)
_RANGE = re.compile(r"bytes=0-(\d+)$")
_THROTTLE_REASONS = {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Check the service account and its role on the bucket.",
    Missing: "Check the bucket's and the object's name.",
    PreconditionFailed: "Read it again and decide anew.",
    Rejected: "Correct what the message names; sending it again changes nothing.",
    Garbled: "Try again.",
    Throttled: "Try again later.",
    Overloaded: "Try again.",
    TimedOut: "Try again.",
    Interrupted: "Try again from the start.",
    Corrupt: "Send it again; if it happens twice, check this machine's memory and network.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers (looked up in lower case) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# ---------------------------------------------------------------- resources


def parse_json(operation: str, what: str, body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises :class:`~shared.errors.Garbled`."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        found = msgspec.json.decode(body)
        if isinstance(found, dict):
            return found
    raise Garbled(SERVICE, operation, f"the answer about {what} is not a JSON object", hint="Try again.")


def parse_resource(operation: str, what: str, resource: Mapping[str, Any]) -> ObjectInfo:
    """An object resource as :class:`ObjectInfo`. Raises :class:`~shared.errors.Garbled`."""
    try:
        return ObjectInfo(
            name=str(resource["name"]),
            size=int(resource["size"]),
            generation=int(resource["generation"]),
            crc32c=str(resource["crc32c"]),
            updated=datetime.fromisoformat(str(resource["updated"])).timestamp(),
            metadata={str(key): str(value) for key, value in (resource.get("metadata") or {}).items()},
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        detail = f"the answer about {what} is not an object resource"
        raise Garbled(SERVICE, operation, detail, hint="Try again.") from error


# ---------------------------------------------------------------- errors


def error_of(operation: str, what: str, answer: Answer) -> DependencyError:
    """The error that an answer with an unexpected status stands for."""
    message, reason = _error_body(answer.body)
    kind = _kind(answer.status, reason, message)
    return kind(
        SERVICE,
        operation,
        f"{what}: {answer.status} {message or 'without a message'}",
        hint=_HINTS[kind],
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _kind(status: int, reason: str, message: str) -> type[DependencyError]:
    text = message.lower()
    if status == 403:  # noqa: PLR2004
        if reason in _THROTTLE_REASONS:
            return Throttled
        # A held or retained object: 403 as well, but no credentials will help.
        return Rejected if "retention" in text or " hold" in text else AccessDenied
    if status == 400:  # noqa: PLR2004
        return Corrupt if "crc32c" in text or "md5" in text else Rejected
    if status >= 500:  # noqa: PLR2004
        return TimedOut if status == 504 else Overloaded  # noqa: PLR2004
    kinds: dict[int, type[DependencyError]] = {
        304: PreconditionFailed,
        401: AccessDenied,
        404: Missing,
        408: TimedOut,
        410: Interrupted,  # a resumable session that is gone
        412: PreconditionFailed,
        416: Interrupted,
        429: Throttled,
    }
    return kinds.get(status, Rejected if status >= 400 else Garbled)  # noqa: PLR2004


def _error_body(body: bytes) -> tuple[str, str]:
    """Message and reason of Google's error shape; the start of anything else."""
    try:
        error = msgspec.json.decode(body)["error"]
        reasons = [str(each.get("reason", "")) for each in error.get("errors", [])]
        return str(error.get("message", "")), reasons[0] if reasons else ""
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return body[:120].decode("utf-8", "replace").strip(), ""


def _retry_after(text: str) -> float | None:
    """Seconds; RFC 9110 allows a number or a date."""
    if text.strip().isdigit():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    return None


def time_out(operation: str, what: str, deadline: Deadline) -> float:
    """Seconds for one request. Raises :class:`~shared.errors.TimedOut` when none are left."""
    left = deadline.remaining()
    if left <= 0:
        raise TimedOut(SERVICE, operation, f"no time left for {what}", hint="Give it more time.")
    return min(left, MOST_SECONDS)


# ---------------------------------------------------------------- resumable uploads

Send = Callable[[str, Mapping[str, str], bytes, float], Answer]
"""(method, headers, body, seconds) to the session's URL; raises only our errors."""


class ResumableWriter:
    """Implements :class:`~shared.ports.ObjectWriter` over a resumable session.

    This is the one place where an adapter tries again by itself, because only here the session
    lives: a chunk that meets ``Overloaded``, ``Throttled``, ``Unreachable`` or ``TimedOut`` is
    followed by a status query and sent from where the service says it stands, up to four times,
    with full jitter (or the service's Retry-After) and inside the deadline. In memory are at most
    a chunk, a copy of it, and what the caller handed over.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        deadline: Deadline,
        *,
        chunk_bytes: int,
        pause: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if chunk_bytes <= 0 or chunk_bytes % CHUNK_UNIT:
            raise SettingsError([f"chunk_bytes must be a multiple of {CHUNK_UNIT}, not {chunk_bytes}"])
        self._name = name
        self._send = send
        self._deadline = deadline
        self._chunk_bytes = chunk_bytes
        self._pause = pause
        self._jitter = jitter
        self._buffer = bytearray()
        self._sent = 0
        self._checksum = Crc32c()
        self._info: ObjectInfo | None = None

    @property
    def info(self) -> ObjectInfo:
        if self._info is None:
            detail = f"{self._name} is not committed"
            raise Rejected(SERVICE, "write", detail, hint="Leave the context first.")
        return self._info

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = self._chunk_bytes - len(self._buffer)
            if not room:
                # Only now, because the last chunk must not be empty.
                self._transmit(total=None)
                continue
            self._buffer += view[:room]
            self._checksum.update(bytes(view[:room]))
            view = view[room:]

    def finish(self) -> None:
        """Commit the object and compare checksums."""
        resource = self._transmit(total=self._sent + len(self._buffer))
        info = parse_resource("write", self._name, resource)
        self._info = info
        if info.crc32c != self._checksum.text() or info.size != self._sent:
            detail = f"{self._name} was stored with CRC32C {info.crc32c}, sent was {self._checksum.text()}"
            raise Corrupt(SERVICE, "write", detail, hint=_HINTS[Corrupt])

    def abort(self) -> None:
        """Give the session back. Nothing depends on it: an unfinished session is never an object."""
        seconds = min(_ABORT_SECONDS, self._deadline.remaining())
        if seconds > 0:
            with suppress(DependencyError):
                self._send("DELETE", {"Content-Length": "0"}, b"", seconds)

    def _transmit(self, total: int | None) -> dict[str, Any]:
        """Send the buffer; the object resource when ``total`` says that this is the end."""
        failures, query = 0, False
        while True:
            try:
                before = self._sent
                resource = self._progress(self._ask() if query else self._put(total), total)
                if resource is not None or (total is None and not self._buffer):
                    return resource or {}
                if self._sent == before and not query:
                    raise Overloaded(
                        SERVICE, "write", f"{self._name}: the service took no bytes", hint="Try again."
                    )
                query = False
            except _PASSING as error:
                failures += 1
                self._wait(failures, error)
                query = True

    def _put(self, total: int | None) -> Answer:
        size = "*" if total is None else str(total)
        span = f"{self._sent}-{self._sent + len(self._buffer) - 1}" if self._buffer else "*"
        headers = {"Content-Range": f"bytes {span}/{size}"}
        if total is not None:
            headers["X-Goog-Hash"] = f"crc32c={self._checksum.text()}"
        return self._send("PUT", headers, bytes(self._buffer), time_out("write", self._name, self._deadline))

    def _ask(self) -> Answer:
        seconds = time_out("write", self._name, self._deadline)
        return self._send("PUT", {"Content-Range": "bytes */*"}, b"", seconds)

    def _progress(self, answer: Answer, total: int | None) -> dict[str, Any] | None:
        """Take note of how far the service is; the resource when the object is there."""
        if answer.status == _RESUME_INCOMPLETE:
            self._forget(self._stored(answer))
            return None
        if answer.status in {200, 201}:
            self._forget(total if total is not None else -1)
            return parse_json("write", self._name, answer.body)
        if answer.status == 404:  # noqa: PLR2004, the session, not the object
            raise Interrupted(
                SERVICE, "write", f"{self._name}: the upload session is gone", hint="Start anew."
            )
        raise error_of("write", self._name, answer)

    def _stored(self, answer: Answer) -> int:
        text = answer.headers.get("range", "")
        match = _RANGE.match(text)
        if text and not match:
            raise Garbled(
                SERVICE, "write", f"{self._name}: Range {text!r} is not understood", hint="Try again."
            )
        return int(match[1]) + 1 if match else 0

    def _forget(self, stored: int) -> None:
        """Drop what the service holds from the buffer."""
        if not self._sent <= stored <= self._sent + len(self._buffer):
            detail = f"{self._name}: the service holds {stored} bytes, sent were {self._sent}"
            raise Garbled(SERVICE, "write", detail, hint="Start anew.")
        del self._buffer[: stored - self._sent]
        self._sent = stored

    def _wait(self, failures: int, error: DependencyError) -> None:
        backoff = self._jitter() * min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**failures)
        seconds = backoff if error.retry_after is None else error.retry_after
        if failures >= _TRIES or seconds >= self._deadline.remaining():
            raise error
        self._pause(seconds)
