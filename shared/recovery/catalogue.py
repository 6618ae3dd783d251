"""What the bucket holds of recovery points, read from one listing and the manifests.

Beside its parts a point has marks: small objects, written once, so that a bucket may forbid replacing::

    points/<id>/holds/<time>-on.json        kept whatever the policy says; ``-off`` releases it
    points/<id>/verified/<time>-passed.json read back whole, or ``-failed``
    points/<id>/drills/<time>-passed.json   restored in a sealed room; ``-broken``: it is not what was
                                            written; ``-failed``: for another reason, such as a full disk

The newest mark of a kind counts. A point is verified when the newest that tells of its content says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import msgspec

from shared.errors import Corrupt, Missing
from shared.ports import ObjectInfo, ObjectStore
from shared.recovery.point import PREFIX, SERVICE, Manifest, manifest_name
from shared.recovery.retention import Orphan, PointFacts
from shared.recovery.sealed import NewerFormat, read_manifest
from shared.resilience.deadline import Deadline

MarkKind = Literal["holds", "verified", "drills"]
MARK_KINDS = get_args(MarkKind)
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_DEPTH = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a point: its object, its time as in its name, and its word, such as ``passed``."""

    name: str
    stamp: str
    word: str


@dataclass(frozen=True, slots=True)
class KnownPoint:
    """A committed point. ``problem`` says why its manifest cannot be read (None: it can); ``bytes`` and
    ``objects`` count everything that lies under it. ``hold`` is the reason of a hold, None without one.
    """

    id: str
    at: float
    manifest: Manifest | None
    problem: str
    bytes: int
    objects: int
    verified: bool
    hold: str | None
    last_drill: Mark | None

    def facts(self) -> PointFacts:
        """What retention needs."""
        return PointFacts(self.id, self.at, self.verified, self.hold)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Points, newest first, and what lies in the bucket without a manifest."""

    points: tuple[KnownPoint, ...]
    orphans: tuple[Orphan, ...]

    def newest(self) -> KnownPoint | None:
        """The newest point that can be read."""
        return next((one for one in self.points if one.manifest), None)

    def passed_over(self, point: str = "") -> tuple[str, ...]:
        """A line for each point that cannot be read and was scheduled after ``point`` (empty: for each at
        all). Their ids tell: the time of a manifest that was damaged is that of the damage.
        """
        broken = sorted((one for one in self.points if one.problem), key=lambda one: one.id, reverse=True)
        return tuple(f"{one.id} cannot be read: {one.problem}" for one in broken if one.id > point)

    def find(self, point: str) -> KnownPoint:
        """A point by its id. Raises :class:`~shared.errors.Missing`."""
        found = next((one for one in self.points if one.id == point), None)
        if found is None:
            detail = f"there is no recovery point {point}"
            raise Missing(SERVICE, "find", detail, hint="`lectern backups` lists them.")
        return found


def read_catalogue(store: ObjectStore, deadline: Deadline) -> Catalogue:
    """Everything under ``points/``. Errors: those of the store; a manifest that cannot be read is a
    :attr:`KnownPoint.problem`. What retention takes away meanwhile is left out.
    """
    by_point: dict[str, list[ObjectInfo]] = {}
    for info in store.list(PREFIX, deadline):
        point, _, rest = info.name.removeprefix(PREFIX).partition("/")
        if rest:
            by_point.setdefault(point, []).append(info)
    points: list[KnownPoint] = []
    orphans: list[Orphan] = []
    for point, infos in by_point.items():
        with suppress(Missing):
            if any(info.name == manifest_name(point) for info in infos):
                points.append(_known(store, point, infos, deadline))
            else:
                newest = max(info.updated for info in infos)
                orphans.append(Orphan(point, newest, _hold(store, infos, deadline)))
    return Catalogue(tuple(sorted(points, key=lambda one: (one.at, one.id), reverse=True)), tuple(orphans))


def _known(store: ObjectStore, point: str, infos: Sequence[ObjectInfo], deadline: Deadline) -> KnownPoint:
    manifest, problem = None, ""
    at = next(info.updated for info in infos if info.name == manifest_name(point))
    try:
        manifest = read_manifest(store, point, None, deadline)
        at = manifest.committed_at.timestamp()
    except (Corrupt, NewerFormat) as error:
        problem = error.detail
    drills = [mark for mark in _marks(infos, "drills") if mark.word != "failed"]
    checks = [*_marks(infos, "verified"), *drills]
    return KnownPoint(
        id=point,
        at=at,
        manifest=manifest,
        problem=problem,
        bytes=sum(info.size for info in infos),
        objects=len(infos),
        verified=bool(checks) and max(checks, key=lambda mark: mark.stamp).word == "passed",
        hold=_hold(store, infos, deadline),
        last_drill=newest_mark(infos, "drills"),
    )


def newest_mark(infos: Sequence[ObjectInfo], kind: str) -> Mark | None:
    """The newest mark of a kind among the objects of one point."""
    return max(_marks(infos, kind), key=lambda mark: (mark.stamp, mark.word), default=None)


def _marks(infos: Sequence[ObjectInfo], kind: str) -> list[Mark]:
    marks = []
    for info in infos:
        parts = info.name.removeprefix(PREFIX).split("/")[1:]
        if len(parts) == _DEPTH and parts[0] == kind:
            stamp, _, word = parts[1].removesuffix(".json").rpartition("-")
            marks.append(Mark(info.name, stamp, word))
    return marks


def write_mark(
    store: ObjectStore, point: str, kind: MarkKind, word: str, deadline: Deadline, *, body: Any, now: float
) -> str:
    """Write a mark, its body as JSON; its name. ``now`` is in Unix seconds. Errors: those of the store."""
    stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)
    name = f"{PREFIX}{point}/{kind}/{stamp}-{word}.json"
    store.put(name, msgspec.json.encode(body), deadline, if_generation_match=0)
    return name


def _hold(store: ObjectStore, infos: Sequence[ObjectInfo], deadline: Deadline) -> str | None:
    mark = newest_mark(infos, "holds")
    if mark is None or mark.word != "on":
        return None
    data, _ = store.get(mark.name, deadline)
    try:
        return str(msgspec.json.decode(data)["reason"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""  # held all the same
