"""Keeps schedules quiet while a restore runs, and sees to it that they run again afterwards.

What is about to be paused is written into the bucket first (``recovery/restores/<time>-began.json``). A
restore that is killed leaves that record, and the next one resumes what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from shared.errors import LecternError
from shared.ports import ObjectStore
from shared.ports.schedules import Schedules
from shared.resilience.deadline import Deadline

PREFIX = "recovery/restores/"
UNTOUCHED = frozenset({"lectern-health"})
"""Schedules that change nothing and go on."""
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_RESUME_SECONDS = 120.0

Say = Callable[[str], object]


class RestoreRecord(msgspec.Struct, frozen=True):
    """A restore that has begun: of which point, and the schedules that are paused for it."""

    point: str
    paused: tuple[str, ...]


@contextmanager
def schedules_paused(
    store: ObjectStore,
    schedules: Schedules | None,
    deadline: Deadline,
    *,
    point: str,
    now: float,
    say: Say,
) -> Iterator[tuple[str, ...]]:
    """No schedule starts anything inside; the names of those that were paused.

    Those that somebody else had paused before stay so, but for those that a killed restore left paused. A
    schedule that cannot be resumed is told to ``say``, and stays in the record for the next restore.
    Errors: those of the ports, before anything was paused.
    """
    if schedules is None:
        yield ()
        return
    left = _unfinished(store, deadline)
    forgotten = {name for _, record in left for name in record.paused}
    known = schedules.list(deadline)
    running = [one.name for one in known if one.state == "enabled" and one.name not in UNTOUCHED]
    names = tuple(sorted({*running, *(forgotten & {one.name for one in known})}))
    began = f"{PREFIX}{datetime.fromtimestamp(now, UTC).strftime(_STAMP)}-began.json"
    record = msgspec.json.encode(RestoreRecord(point, names))
    store.put(began, record, deadline, if_generation_match=0)
    try:
        for name in names:
            schedules.pause(name, deadline)
        yield names
    finally:
        if _resumed(schedules, names, say):
            _finish(store, [began, *(name for name, _ in left)], say)


def _unfinished(store: ObjectStore, deadline: Deadline) -> list[tuple[str, RestoreRecord]]:
    """Records of restores that were killed."""
    names = {info.name for info in store.list(PREFIX, deadline)}
    found = []
    for name in sorted(names):
        if not name.endswith("-began.json") or _ended(name) in names:
            continue
        data, _ = store.get(name, deadline)
        try:
            found.append((name, msgspec.json.decode(data, type=RestoreRecord)))
        except msgspec.DecodeError:
            continue
    return found


def _ended(name: str) -> str:
    return name.removesuffix("-began.json") + "-ended.json"


def _resumed(schedules: Schedules, names: Sequence[str], say: Say) -> bool:
    """Whether every schedule runs again."""
    good = True
    for name in names:
        try:
            schedules.resume(name, Deadline.after(_RESUME_SECONDS))
        except LecternError as error:
            say(f"schedule {name} is still paused: {error} (gcloud scheduler jobs resume {name})")
            good = False
    return good


def _finish(store: ObjectStore, began: Sequence[str], say: Say) -> None:
    for name in began:
        try:
            store.put(_ended(name), b"{}", Deadline.after(_RESUME_SECONDS))
        except LecternError as error:
            say(f"the record of this restore stays open: {error}")
