"""Whether a recovery point fits into the room that a drill would restore it in, and how long that may take.

The figures are cautious estimates: nobody has measured a drill of a large point yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.recovery.point import Manifest

_PROCESS_BYTES = 500 << 20
"""Python, Postgres with its shared memory, and buffers of streams."""
_VECTORS_IN_MEMORY = 1.5
"""Memory of the vector engine, for each byte of the part before compression."""
_TABLES_ON_DISK = 3.0
"""Tables with indexes and write-ahead log, for each byte of COPY text."""
_VECTORS_ON_DISK = 3.0
_BYTES_A_SECOND = 6_000_000
"""Plain bytes verified, restored and read back in a second of two processors."""
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of memory and of disk, and seconds, that a rehearsal takes."""

    memory: int
    disk: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Room:
    """What there is. ``disk_is_memory``: files are kept in memory, as on Cloud Run."""

    memory: int
    disk: int
    disk_is_memory: bool


def needs_of(manifest: Manifest) -> Needs:
    """What a rehearsal of this point takes."""
    plain = {
        part: sum(entry.plain_bytes for entry in record.objects) for part, record in manifest.parts.items()
    }
    tables, vectors = plain.get("neon", 0), plain.get("qdrant", 0)
    return Needs(
        memory=_PROCESS_BYTES + int(_VECTORS_IN_MEMORY * vectors),
        disk=int(_TABLES_ON_DISK * tables + _VECTORS_ON_DISK * vectors) + _PROCESS_BYTES,
        seconds=_START_SECONDS + (tables + vectors) / _BYTES_A_SECOND,
    )


def too_small(needs: Needs, room: Room) -> str:
    """Why the point does not fit, with both figures; empty when it does."""
    if room.disk_is_memory:
        whole = needs.memory + needs.disk
        return _short("memory, where its files are, too", whole, room.memory)
    return _short("memory", needs.memory, room.memory) or _short("disk", needs.disk, room.disk)


def _short(what: str, needed: int, there: int) -> str:
    if needed <= there:
        return ""
    return f"a rehearsal takes about {needed >> 20} MB of {what}; {there >> 20} MB are free"
