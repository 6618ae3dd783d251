"""The judgement on a drill: a pure function of what was seen in the room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.recovery.golden import Comparison
from shared.recovery.point import Manifest, time_of
from shared.recovery.report import DrillReport
from shared.recovery.restore import PARTS, Summary, expected, shortfall
from shared.recovery.vectors import VectorFacts

RESTORING = ("room", "restore")
"""Phases whose seconds count as the rehearsed restore: from an empty room to verified data."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was observed. ``summary`` is None when the restore failed, ``failure`` says why then, and
    ``damage`` whether that tells of the point: it is not what was written.
    """

    started_at: datetime
    room: Literal["sealed", "configured"]
    phases: Mapping[str, float]
    summary: Summary | None
    failure: str
    golden: Comparison
    machine: Mapping[str, float]
    damage: bool = False


def report_of(manifest: Manifest, seen: Seen, code_revision: str = "") -> DrillReport:
    """The report. A drill passes when all came back as recorded and the golden answers are the same."""
    missing = _missing(manifest, seen)
    problems = tuple(_problems(seen, missing))
    summary = seen.summary
    return DrillReport(
        point=manifest.id,
        started_at=seen.started_at,
        passed=not problems,
        room=seen.room,
        rehearsed_restore_seconds=round(sum(seen.phases.get(phase, 0.0) for phase in RESTORING), 3),
        phases=dict(seen.phases),
        rows=summary.rows if summary else 0,
        points=summary.points if summary else 0,
        bytes=manifest.bytes,
        golden=seen.golden,
        problems=problems,
        warnings=tuple(_warnings(manifest, seen)),
        point_age_seconds=round((seen.started_at - manifest.snapshot_at).total_seconds(), 1),
        machine=dict(seen.machine),
        code_revision=code_revision,
        damage=seen.damage or bool(missing),
    )


def report_unread(
    point: str, started_at: datetime, room: Literal["sealed", "configured"], problem: str, *, damage: bool
) -> DrillReport:
    """The report on a point whose manifest could not be read or unlocked: no room was needed for that."""
    return DrillReport(
        point=point,
        started_at=started_at,
        passed=False,
        room=room,
        rehearsed_restore_seconds=0.0,
        phases={},
        rows=0,
        points=0,
        bytes=0,
        golden=Comparison(0, 0, ()),
        problems=(problem,),
        damage=damage,
        point_age_seconds=round((started_at - time_of(point)).total_seconds(), 1),
    )


def _missing(manifest: Manifest, seen: Seen) -> str:
    if seen.summary is None:
        return ""
    return shortfall(seen.summary, {part: expected(manifest, part) for part in PARTS})


def _problems(seen: Seen, missing: str) -> list[str]:
    if seen.summary is None:
        return [seen.failure or "nothing was restored"]
    problems = []
    if missing:
        problems.append(missing)
    if not seen.golden.good:
        same = f"{seen.golden.same} of {seen.golden.asked} golden questions are answered as before"
        problems.append(f"{same}: {'; '.join(seen.golden.differing[:3])}")
    if seen.failure:
        problems.append(seen.failure)
    return problems


def _warnings(manifest: Manifest, seen: Seen) -> list[str]:
    warnings = []
    if "config" not in manifest.parts:
        warnings.append("the point has no configuration part, and so no golden questions")
    elif not seen.golden.asked and seen.summary and seen.summary.points:
        warnings.append("no golden question was asked: set LECTERN_GOLDEN_QUESTIONS")
    if seen.golden.without_vectors and manifest.parts["qdrant"].facts(VectorFacts).model:
        some = f"{seen.golden.without_vectors} of {seen.golden.asked} golden questions have no vector"
        warnings.append(f"{some}: search by meaning was not compared (has backup_qdrant GEMINI_API_KEY?)")
    if seen.golden.good and seen.golden.differing:
        warnings.append(f"answered otherwise: {'; '.join(seen.golden.differing[:3])}")
    if not manifest.key_id:
        warnings.append("the point is not encrypted")
    return warnings
