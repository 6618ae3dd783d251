"""What a recovery point is made of, as it lies in the bucket.

::

    points/<id>/<part>/<attempt>/…          the objects of one attempt at a part
    points/<id>/<part>/<attempt>/part.json  its record, written when the part is whole
    points/<id>/manifest.json               written last: without it there is no recovery point

``id`` is the scheduled time in UTC. No name is written twice, so a bucket may forbid replacing. Records and
manifest are sealed: see :mod:`shared.recovery.sealed`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

import msgspec

from shared.errors import Corrupt, RequestError

SERVICE = "recovery"
PREFIX = "points/"
FORMAT = 1

PartName = Literal["neon", "qdrant", "config"]
T = TypeVar("T")

_ID = re.compile(r"\d{8}T\d{6}Z")


class ObjectEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a part.

    ``name`` is its whole name in the bucket. ``sha256`` and ``bytes`` are of what is stored, the ``plain``
    ones of what went in before compression and encryption. ``key_id`` says which key its data key is wrapped
    with; empty when it is not encrypted. ``rows`` or ``points`` counts what it holds.
    """

    name: str
    sha256: str
    bytes: int
    plain_sha256: str
    plain_bytes: int
    key_id: str = ""
    rows: int = 0
    points: int = 0


class PartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One part that is whole: its objects, and the ledger version that it was cut at.

    ``details`` are the part's own facts, read with :meth:`facts`. ``seconds`` are timings by phase.
    """

    part: PartName
    point: str
    attempt: str
    ledger_version: int
    snapshot_at: datetime
    finished_at: datetime
    objects: tuple[ObjectEntry, ...]
    details: dict[str, Any] = {}
    seconds: dict[str, float] = {}

    def facts(self, kind: type[T]) -> T:
        """``details`` as ``kind``. Raises :class:`~shared.errors.Corrupt`."""
        try:
            return msgspec.convert(self.details, kind)
        except msgspec.ValidationError as error:
            raise Corrupt(
                SERVICE,
                "read",
                f"the record of part {self.part} of {self.point} is not understood: {error}",
                hint="Use the release that cut the point (its code revision is in the manifest).",
            ) from error

    @property
    def bytes(self) -> int:
        """Stored bytes of all objects."""
        return sum(entry.bytes for entry in self.objects)

    @property
    def encrypted(self) -> bool:
        """Whether anything in it needs a key."""
        return any(entry.key_id for entry in self.objects)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery point: its parts, cut at one ledger version. ``committed_at`` gives the order of points.

    ``key_id`` is empty when nothing is encrypted. ``code_revision`` and ``release`` say what cut it.
    """

    format: int
    id: str
    committed_at: datetime
    ledger_version: int
    parts: dict[str, PartRecord]
    key_id: str = ""
    code_revision: str = ""
    release: str = ""

    @property
    def snapshot_at(self) -> datetime:
        """What was written before is in the point; what was written later may be missing. Some parts may hold
        younger data: they are not cut at the same time.
        """
        return min(record.snapshot_at for record in self.parts.values())

    @property
    def bytes(self) -> int:
        """Stored bytes of all parts."""
        return sum(record.bytes for record in self.parts.values())

    @property
    def encrypted(self) -> bool:
        """Whether anything in it needs a key."""
        return any(record.encrypted for record in self.parts.values())


def point_id(at: datetime) -> str:
    """The id of the point that was scheduled for ``at``, to the second."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def read_point_id(text: str) -> str:
    """The id in ``text``: an id, or a time as Cloud Scheduler sends it (RFC 3339).

    Raises :class:`~shared.errors.RequestError`.
    """
    if _ID.fullmatch(text):
        text = time_of(text).isoformat()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_id(text) from None
    if at.tzinfo is None:
        raise _bad_id(text)
    return point_id(at)


def time_of(point: str) -> datetime:
    """When ``point`` was scheduled for. Raises :class:`~shared.errors.RequestError`."""
    try:
        return datetime.strptime(point, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _bad_id(point) from None


def _bad_id(text: str) -> RequestError:
    return RequestError(
        422,
        "bad_point_id",
        f"{text[:60]!a} does not name a recovery point.",
        hint="Give a time in UTC such as 20260131T030000Z, or leave it out for now.",
    )


def manifest_name(point: str) -> str:
    """The manifest's object."""
    return f"{PREFIX}{point}/manifest.json"


def part_prefix(point: str, part: PartName) -> str:
    """Where everything of a part lies."""
    return f"{PREFIX}{point}/{part}/"


def record_name(point: str, part: PartName, attempt: str) -> str:
    """The record of an attempt."""
    return object_name(point, part, attempt, "part.json")


def object_name(point: str, part: PartName, attempt: str, name: str) -> str:
    """One object of an attempt. An attempt's name is new with each attempt that does not go on with an
    earlier one.
    """
    return f"{part_prefix(point, part)}{attempt}/{name}"
