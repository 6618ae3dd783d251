"""What a restore is to bring back, from which point, and whether what it did may be called a success."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.errors import Missing, RequestError
from shared.recovery.catalogue import Catalogue
from shared.recovery.point import SERVICE, Manifest, point_id

Part = Literal["neon", "qdrant"]
PARTS: tuple[Part, ...] = ("neon", "qdrant")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. Without ``point`` the newest one, or the newest of whose wanted parts none holds
    data younger than ``as_of``. ``part`` None is both; ``table`` (which means the database part) one table
    alone. ``replace``: what is there may be put aside. ``to`` is another database than the configured one.
    ``rehearse``: the new database is dropped once it was compared, and takes nobody's place.
    """

    point: str | None = None
    as_of: datetime | None = None
    part: Part | None = None
    table: str | None = None
    replace: bool = False
    to: str = ""
    rehearse: bool = False

    def parts(self) -> tuple[Part, ...]:
        """The parts to restore. Raises :class:`~shared.errors.RequestError` for a table of the vectors."""
        if self.table and self.part == "qdrant":
            raise RequestError(
                422,
                "bad_restore",
                "A table is not part of the vectors.",
                hint="Leave --part out, or say neon.",
            )
        if self.table:
            return ("neon",)
        return (self.part,) if self.part else PARTS


@dataclass(frozen=True, slots=True)
class Summary:
    """What a restore did. ``seconds`` are by phase. ``kept_as`` names the database that was put aside;
    ``deletions`` counts answers removed because their conversation was deleted since; ``replayed`` writes
    that had waited in the bucket. ``next_steps`` say what to do now.
    """

    point: str
    parts: tuple[Part, ...]
    tables: int = 0
    rows: int = 0
    points: int = 0
    written: int = 0
    collection: str = ""
    kept_as: str = ""
    deletions: int = 0
    replayed: int = 0
    empty: bool = False
    paused: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()


def choose(catalogue: Catalogue, wanted: Wanted) -> str:
    """The id of the point to restore. Raises :class:`~shared.errors.Missing`, naming what there is."""
    if wanted.point:
        return catalogue.find(wanted.point).id
    parts = wanted.parts()
    readable = [(one.id, one.manifest) for one in catalogue.points if one.manifest]
    found = [
        point
        for point, manifest in readable
        if wanted.as_of is None or _not_younger(manifest, parts, wanted.as_of)
    ]
    if found:
        return found[0]
    before = f" at or before {wanted.as_of:%Y-%m-%d %H:%M:%S} UTC" if wanted.as_of else ""
    oldest = f"the oldest is {readable[-1][0]}" if readable else "`lectern backup` makes one"
    broken = "".join(f"; {line}" for line in catalogue.passed_over())
    raise Missing(SERVICE, "find a recovery point", f"there is none{before}{broken}", hint=f"Note: {oldest}.")


def passed_over(catalogue: Catalogue, wanted: Wanted, point: str) -> tuple[str, ...]:
    """A line for each point that might have been chosen instead of ``point``, being newer, but for its
    manifest, which cannot be read.
    """
    if wanted.point:
        return ()
    last = point_id(wanted.as_of) if wanted.as_of else None
    return tuple(line for line in catalogue.passed_over(point) if last is None or line.split()[0] <= last)


def _not_younger(manifest: Manifest, parts: Collection[Part], as_of: datetime) -> bool:
    """Whether every wanted part was cut by then: two functions cut them, at different times."""
    times = [record.snapshot_at for part, record in manifest.parts.items() if part in parts]
    return bool(times) and max(times) <= as_of


def expected(manifest: Manifest, part: Part) -> int:
    """Rows, or points, that a part of the point holds."""
    record = manifest.parts.get(part)
    if record is None:
        raise Missing(
            SERVICE,
            "restore",
            f"recovery point {manifest.id} has no part {part}",
            hint=f"It has {', '.join(sorted(manifest.parts))}.",
        )
    return sum(entry.rows + entry.points for entry in record.objects)


def shortfall(summary: Summary, wished: Mapping[Part, int]) -> str:
    """Why what was done is no success; empty when it is one. ``wished`` are rows and points by part.

    Nothing restored is a success only when the point says that there was nothing.
    """
    done = {"neon": summary.rows, "qdrant": summary.points}
    for part, wanted in wished.items():
        if done[part] != wanted:
            return f"{done[part]} of {wanted} {'rows' if part == 'neon' else 'points'} were restored"
    if not summary.rows and not summary.points and not summary.empty:
        return "nothing was restored"
    return ""
