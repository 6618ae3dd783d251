"""Upload bodies: multipart/related, and resumable sessions.

After https://cloud.google.com/storage/docs/performing-resumable-uploads.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
import secrets
from dataclasses import dataclass, field

from tests.fakes.gcs.bucket import ApiError, Json

UNIT = 256 * 1024
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$")


@dataclass
class Session:
    """A resumable upload: what it will become and the bytes that are safe so far."""

    bucket: str
    name: str
    query: dict[str, str]
    resource: Json
    id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    data: bytearray = field(default_factory=bytearray)
    finished: Json | None = None
    cancelled: bool = False

    def range_header(self) -> dict[str, str]:
        return {"Range": f"bytes=0-{len(self.data) - 1}"} if self.data else {}


@dataclass(frozen=True)
class ContentRange:
    """Offset of the first byte (None for ``*``), number of bytes, and the total when it is known."""

    start: int | None
    length: int
    total: int | None


def parse_range(text: str, length: int) -> ContentRange:
    match = _RANGE.match(text)
    if not match:
        raise ApiError(400, "invalid", f"Invalid Content-Range: {text!r}")
    first, last, total = match.groups()
    start = None if first is None else int(first)
    expected = 0 if first is None else int(last) - int(first) + 1
    if length != expected:
        raise ApiError(400, "badRequest", f"Content-Range promises {expected} bytes, the body has {length}.")
    return ContentRange(start, expected, None if total == "*" else int(total))


def keep(session: Session, span: ContentRange, body: bytes) -> bool:
    """Add a chunk to the session; True when the object is now whole."""
    if span.start is not None:
        offset = len(session.data) - span.start
        if offset < 0:
            text = (
                f"The upload offset is {span.start}, which exceeds the uploaded size of {len(session.data)}."
            )
            raise ApiError(400, "invalid", text)
        if span.total is None and len(body) % UNIT:
            raise ApiError(400, "invalid", f"{len(body)} bytes are no multiple of 262144.")
        session.data += body[offset:]
    if span.total is not None and len(session.data) > span.total:
        raise ApiError(400, "invalid", "More bytes than the declared total.")
    return span.total is not None and len(session.data) == span.total


def keep_cut(session: Session, content_range: str, received: bytes) -> None:
    """A connection that broke in the middle of a chunk: whole units of it are safe."""
    match = _RANGE.match(content_range)
    if match and match[1] and int(match[1]) == len(session.data):
        session.data += received[: len(received) // UNIT * UNIT]


def parse_multipart(content_type: str, body: bytes) -> tuple[Json, bytes]:
    """The metadata and the bytes of a multipart/related body."""
    match = re.search(r"boundary=\"?([^\";]+)", content_type)
    if not match:
        raise ApiError(400, "badContent", "Missing boundary.")
    parts = body.split(b"--" + match[1].strip("'").encode())
    if len(parts) != 4:
        raise ApiError(400, "badContent", "Expected two parts.")
    (_, head), (_, media) = (_split(part) for part in parts[1:3])
    return parse_json(head), media


def _split(part: bytes) -> tuple[email.message.Message, bytes]:
    # gcloud ends its lines with a line feed alone.
    end = b"\r\n" if part.startswith(b"\r\n") else b"\n"
    head, _, body = part.removeprefix(end).partition(2 * end)
    parser = email.parser.BytesHeaderParser(policy=email.policy.HTTP)
    return parser.parsebytes(head), body.removesuffix(end)


def parse_json(body: bytes) -> Json:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        raise ApiError(400, "parseError", "Parse Error") from None
    if not isinstance(found, dict):
        raise ApiError(400, "parseError", "Expected an object.")
    return found
