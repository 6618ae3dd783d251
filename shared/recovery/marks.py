"""How far an export came: a small file beside each object that is whole, so that a killed run goes on.

The file is written after its object and never replaced. A run goes on with an attempt when the ledger and
the collection are as they were, and when the bucket still has the objects that the marks tell of, by size and
checksum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from shared.errors import Missing, PreconditionFailed
from shared.ports import ObjectStore
from shared.recovery.lines import End
from shared.recovery.point import SERVICE, ObjectEntry, object_name, part_prefix
from shared.resilience.deadline import Deadline


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Object number ``index`` of an attempt is whole: it holds what ``collection`` has from the id ``first``
    (None: its start) up to the id ``end.next``. ``total`` is how many points the collection held then.
    """

    collection: str
    total: int
    ledger_version: int
    index: int
    first: str | None
    end: End
    entry: ObjectEntry
    crc32c: str


def save_mark(store: ObjectStore, point: str, attempt: str, mark: Mark, deadline: Deadline) -> None:
    """Write it; doing it twice changes nothing. Raises PreconditionFailed when another run has written that
    object's mark.
    """
    name = object_name(point, "qdrant", attempt, f"mark-{mark.index:05d}.json")
    try:
        store.put(name, msgspec.json.encode(mark), deadline, if_generation_match=0)
    except PreconditionFailed as error:
        if _read(store, name, deadline) == mark:
            return
        raise PreconditionFailed(
            SERVICE,
            f"export of the vectors of point {point}",
            "another run is exporting the same",
            hint="Wait for it; `lectern backups` shows the point when it is whole.",
        ) from error


def attempts(store: ObjectStore, point: str, deadline: Deadline) -> Iterator[tuple[str, list[Mark]]]:
    """The attempts that left marks, with the marks of each in order."""
    prefix = part_prefix(point, "qdrant")
    found: dict[str, list[str]] = defaultdict(list)
    for info in store.list(prefix, deadline):
        attempt, _, name = info.name.removeprefix(prefix).partition("/")
        if name.startswith("mark-"):
            found[attempt].append(info.name)
    for attempt, names in found.items():
        yield attempt, [mark for name in sorted(names) if (mark := _read(store, name, deadline))]


@dataclass(frozen=True, slots=True)
class State:
    """What an export is of: a collection with so many points, at a version of the ledger."""

    collection: str
    total: int
    ledger_version: int


def usable(store: ObjectStore, marks: Sequence[Mark], state: State, deadline: Deadline) -> list[Mark]:
    """The first marks that follow one another without a gap and whose objects are there, all of ``state``."""
    good: list[Mark] = []
    following: str | None = None
    for index, mark in enumerate(marks):
        fits = mark.index == index and State(mark.collection, mark.total, mark.ledger_version) == state
        ended = index > 0 and following is None
        if not fits or ended or mark.first != following or not _is_there(store, mark, deadline):
            break
        good.append(mark)
        following = mark.end.next
    return good


def _read(store: ObjectStore, name: str, deadline: Deadline) -> Mark | None:
    data, _ = store.get(name, deadline)
    try:
        return msgspec.json.decode(data, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_there(store: ObjectStore, mark: Mark, deadline: Deadline) -> bool:
    try:
        info = store.stat(mark.entry.name, deadline)
    except Missing:
        return False
    return (info.size, info.crc32c) == (mark.entry.bytes, mark.crc32c)
