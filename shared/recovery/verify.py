"""Reads a whole recovery point without writing a row: every object authenticated, decrypted and digested."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.errors import Corrupt, Interrupted, LecternError, Missing
from shared.ports import ObjectStore
from shared.recovery.crypto import PointCipher
from shared.recovery.point import SERVICE, Manifest, ObjectEntry
from shared.recovery.progress import Meter, Watch, nobody
from shared.recovery.streams import check_object
from shared.resilience.deadline import Clock, Deadline

THREADS = 2
"""Digests, decryption and decompression run outside of Python's lock: two processors are kept busy."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What was read of one part."""

    objects: int
    bytes: int
    rows: int
    points: int


@dataclass(frozen=True, slots=True)
class Verified:
    """The result. ``problems`` names each object that is not what was written; empty when the point is whole.

    ``empty`` says that the point holds no row and no vector, and that its manifest says so, too.
    """

    point: str
    parts: Mapping[str, PartSummary]
    encrypted: bool
    seconds: float
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.problems

    @property
    def empty(self) -> bool:
        return not any(part.rows or part.points for part in self.parts.values())


def verify_point(
    store: ObjectStore,
    manifest: Manifest,
    cipher: PointCipher | None,
    deadline: Deadline,
    *,
    clock: Clock,
    watch: Watch = nobody,
) -> Verified:
    """Read every object of every part to its end.

    An object that is missing or was changed is a problem of the result; errors that say nothing of the point
    (no key, a bucket that cannot be reached, no time left) are raised.
    """
    started = clock()
    entries = [entry for record in manifest.parts.values() for entry in record.objects]
    problems = [] if entries or manifest.parts else [f"{manifest.id} has no part"]
    meter = Meter("verify", sum(entry.bytes for entry in entries), watch)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        for entry, problem in pool.map(lambda one: _checked(store, one, cipher, deadline), entries):
            meter.add(entry.bytes)
            if problem:
                problems.append(problem)
    meter.end()
    return Verified(
        point=manifest.id,
        parts={name: _summary(record.objects) for name, record in sorted(manifest.parts.items())},
        encrypted=bool(manifest.key_id),
        seconds=round(clock() - started, 3),
        problems=tuple(problems),
    )


def require_whole(verified: Verified) -> None:
    """Raise :class:`~shared.errors.Corrupt`, naming what is broken, unless the point is whole."""
    if verified.problems:
        detail = f"{verified.point} is not whole: {'; '.join(verified.problems[:3])}"
        hint = "Use another point (`lectern backups`), or the copy in the second bucket."
        raise Corrupt(SERVICE, "verify", detail, hint=hint)


def _checked(
    store: ObjectStore, entry: ObjectEntry, cipher: PointCipher | None, deadline: Deadline
) -> tuple[ObjectEntry, str]:
    for last in (False, True):
        try:
            check_object(store, entry, cipher, deadline)
        except (
            Interrupted
        ) as error:  # a cut line, or an object that was cut: the second time it is the object
            if last:
                return entry, _words(error)
        except (Corrupt, Missing) as error:
            return entry, _words(error)
        else:
            break
    return entry, ""


def _words(error: LecternError) -> str:
    return error.message.removeprefix(f"{SERVICE}: read failed: ")


def _summary(objects: tuple[ObjectEntry, ...]) -> PartSummary:
    return PartSummary(
        objects=len(objects),
        bytes=sum(entry.bytes for entry in objects),
        rows=sum(entry.rows for entry in objects),
        points=sum(entry.points for entry in objects),
    )
