"""A request as handlers see it: read whole and checked, before anything of the answer is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import msgspec
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import ClientDisconnected
from werkzeug.http import parse_accept_header, parse_options_header

from shared.errors import RequestError
from shared.telemetry.logs import RequestLog, Trace

if TYPE_CHECKING:
    from werkzeug.wrappers import Request as WerkzeugRequest

JSON = "application/json"
EVENTS = "text/event-stream"
# text/plain needs no preflight in a browser, which saves one invocation a question.
_JSON_TYPES = (JSON, "text/plain")
_UTF8 = {"", "utf-8", "utf8", "us-ascii"}
_CHUNK = 64 * 1024
# A body that is too long is read and thrown away up to this many times the limit, because a client that is
# still sending when the connection closes sees a reset instead of the 413.
_DRAIN_FACTOR = 8
_LONGEST_MESSAGE = 300


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every request body; nested values derive from it too, so that no unknown field passes."""


T = TypeVar("T", bound=Body)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    ``headers`` has lower-case names; ``params`` are the values of the path pattern, ``query`` the first
    value of each query key; ``route`` is the pattern that matched; ``remote`` is the peer's address (behind
    a proxy, the proxy's). ``log`` collects what the request's log line should say.
    """

    method: str
    path: str
    route: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request_id: str = ""
    remote: str = ""
    trace: Trace | None = None
    log: RequestLog = field(default_factory=RequestLog)

    def header(self, name: str) -> str:
        """The value of a header, whatever its case; empty when it is not there."""
        return self.headers.get(name.lower(), "")

    def decode(self, body_type: type[T]) -> T:
        """The body as a value of ``body_type``.

        Raises :class:`~shared.errors.RequestError`: 415 for a content type other than JSON (as
        ``application/json`` or ``text/plain``), 400 for an empty body, broken JSON, a wrong type or an
        unknown field, with the field's path in the message (``$.page.url``).
        """
        _expect_json(self.header("content-type"), self.header("content-encoding"))
        if not self.body.strip():
            raise RequestError(400, "empty_body", "The body is empty.", hint="Send a JSON object.")
        return _decode(self.body, body_type)


def wants_stream(request: Request) -> bool:
    """Whether the caller prefers server-sent events to JSON, by its Accept header; JSON by default."""
    accepted = parse_accept_header(request.header("accept"), MIMEAccept)
    if EVENTS not in [name for name, _ in accepted]:
        return False
    return bool(accepted[EVENTS] >= accepted[JSON] and accepted[EVENTS] > 0)


def read_body(raw: WerkzeugRequest, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes.

    Raises :class:`~shared.errors.RequestError` 413 above the limit, 400 when the connection ends early.
    """
    announced = raw.content_length
    try:
        body = _read_upto(raw, limit + 1)
        if len(body) > limit:
            _drain(raw, limit * _DRAIN_FACTOR)
    except (OSError, ClientDisconnected) as error:
        raise _cut() from error
    if len(body) > limit:
        raise RequestError(
            413,
            "body_too_large",
            f"The body is longer than {limit} bytes.",
            hint="Send less; a question needs only a few hundred bytes.",
        )
    if announced is not None and len(body) < announced:
        raise _cut()
    return body


def _read_upto(raw: WerkzeugRequest, most: int) -> bytes:
    parts: list[bytes] = []
    left = most
    while left > 0 and (part := raw.stream.read(min(left, _CHUNK))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _drain(raw: WerkzeugRequest, most: int) -> None:
    while most > 0 and (part := raw.stream.read(_CHUNK)):
        most -= len(part)


def _cut() -> RequestError:
    return RequestError(
        400, "body_cut", "The connection ended before the whole body arrived.", hint="Send the request again."
    )


def _expect_json(content_type: str, content_encoding: str) -> None:
    kind, options = parse_options_header(content_type)
    charset = options.get("charset", "").lower()
    encoding = content_encoding.strip().lower()
    if kind.lower() in _JSON_TYPES and charset in _UTF8 and encoding in {"", "identity"}:
        return
    sent = ", ".join(part for part in (content_type, encoding) if part) or "nothing"
    raise RequestError(
        415,
        "unsupported_media_type",
        f"The body must be uncompressed JSON in UTF-8, and the headers announce {_short(sent)}.",
        hint="Send the header Content-Type: application/json.",
    )


def _decode(body: bytes, body_type: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=body_type)
    except msgspec.ValidationError as error:
        message = f"The body does not have the documented form: {_short(str(error))}."
        hint = "Correct the field at that path; the API reference lists every field."
        raise RequestError(400, "invalid_request", message, hint=hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"The body is not valid JSON: {_short(str(error))}."
        raise RequestError(400, "invalid_json", message, hint="Send a JSON object in UTF-8.") from error
    except RecursionError as error:
        message = "The body is not valid JSON for this API: it is nested too deeply."
        raise RequestError(400, "invalid_json", message, hint="Send a flat JSON object.") from error


def _short(text: str) -> str:
    """What the caller sent, quoted back to it within bounds: a field's name may be a megabyte long."""
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"
