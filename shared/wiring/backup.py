"""Joins a backup: for the functions ``backup_neon`` and ``backup_qdrant``, their jobs, the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from shared.adapters.neon.url import parse
from shared.errors import LecternError
from shared.ports.database import DatabaseExport
from shared.recovery import neon_part
from shared.recovery.commit import Outcome, Provenance, whole_records
from shared.recovery.crypto import PointCipher
from shared.recovery.cutting import TRIES, Cutting, Export
from shared.recovery.neon_part import Files, NeonFacts
from shared.recovery.point import PartName, PartRecord, point_id
from shared.recovery.progress import Watch, nobody
from shared.recovery.vectors import VectorFacts
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import backups, upkeep, vectors
from shared.wiring.configuration import Extras, configuration_export, refuse_without
from shared.wiring.deployed import deployed
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher

Say = Callable[[str], object]

BOTH: tuple[PartName, PartName] = ("neon", "qdrant")
OPTIONAL: tuple[PartName, ...] = ("config",)
UPKEEP_SECONDS = 120.0
ESTIMATE_SECONDS = 10.0
BRANCH_SECONDS = 60.0
_START_SECONDS = 10.0
_BYTES_PER_SECOND = 12e6
_POINTS_PER_SECOND = 1500.0
"""What one processor of Cloud Run does, less a margin: an estimate that is too long only starts a job."""


@dataclass(frozen=True, slots=True)
class PartTold:
    """One part in a result: stored and plain bytes; what it holds; what a restore will not bring back."""

    objects: int
    bytes: int
    plain_bytes: int
    rows: int
    points: int
    seconds: dict[str, float]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backup:
    """The result of a backup. ``state``, ``reason`` and ``needs`` as in
    :class:`~shared.recovery.commit.Outcome`; ``notes`` are what was waited for, done again or did not work.
    """

    point: str
    state: str
    reason: str
    needs: PartName | None
    ledger_version: int | None
    snapshot_at: str
    encrypted: bool
    bytes: int
    seconds: float
    parts: dict[str, PartTold] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def new_point() -> str:
    """The id of a backup that nobody scheduled: now."""
    return point_id(datetime.now(UTC))


def direct_address(settings: Settings) -> tuple[str, str]:
    """The database's direct address, and the setting that it came from. Without DATABASE_DIRECT_URL it is
    that of DATABASE_URL, past the pooler.
    """
    if settings.database_direct_url:
        return settings.database_direct_url, "DATABASE_DIRECT_URL"
    url = parse(settings.database_url)
    return settings.database_url.replace(url.host, url.direct_host, 1), "DATABASE_URL"


def database_export(settings: Settings) -> DatabaseExport:
    """The database that the settings name, for reading it whole."""
    from shared.adapters.neon.copy import NeonExport

    address, name = direct_address(settings)
    return NeonExport(address, name)


def run(
    settings: Settings,
    point: str,
    wanted: Sequence[PartName] = BOTH,
    *,
    extras: Extras | None = None,
    say: Say = lambda _line: None,
    watch: Watch = nobody,
) -> Backup:
    """Cut the parts ``wanted`` of a recovery point and commit it when both are there. Safe to run again with
    the same ``point``, also after it was killed.

    Errors: PreconditionFailed (an ingestion did not end in time; the point was cut without ``extras``),
    SettingsError (the key, a file of ``extras``), those of the database, of Qdrant, of the bucket and of the
    key.
    """
    began = time.monotonic()
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        say(line)

    with Parts(settings) as parts:
        cipher = point_cipher(settings, point)
        deadline = Deadline.after(settings.backup_seconds)
        running = deployed(parts, deadline, note, terraform="qdrant" in wanted)
        config = configuration_export(parts, cipher, running, extras or Extras(), note)
        refuse_without(parts, point, extras or Extras(), deadline)
        upkeep.tend(parts, deadline.within(UPKEEP_SECONDS), note)
        cutting = _cutting(parts, point, cipher, running.commit, note)
        exports = _exports(parts, cipher, wanted, config, note=note, watch=watch)
        outcome = cutting.parts(exports, deadline, optional=OPTIONAL)
        told = _told(parts, point, outcome, deadline)
    if outcome.state == "committed":
        backups.after_commit(settings, point, note)
    seconds = round(time.monotonic() - began, 1)
    return Backup(point=point, seconds=seconds, notes=tuple(notes), **_facts(outcome, told))


def estimate(settings: Settings, part: PartName) -> float:
    """Seconds that cutting a part will take, by its size now. Errors: those of the database and of Qdrant."""
    deadline = Deadline.after(ESTIMATE_SECONDS)
    if part == "neon":
        with database_export(settings).snapshot(deadline) as snapshot:
            return _START_SECONDS + snapshot.size(deadline) / _BYTES_PER_SECOND
    with Parts(settings) as parts:
        bulk = parts.vector_bulk
        collection = bulk.aliases(deadline).get(settings.qdrant_alias, "")
        points = bulk.count(collection, deadline) if collection else 0
    return _START_SECONDS + points / _POINTS_PER_SECOND


def may_be_cut_again(settings: Settings, point: str, part: PartName) -> bool:
    """Whether a part that was cut at an older version of the ledger should be: not for ever, as each time
    another ingestion may come between.
    """
    with Parts(settings) as parts:
        deadline = Deadline.after(ESTIMATE_SECONDS)
        return len(whole_records(parts.point_store, point, part, deadline)) < TRIES


def _cutting(parts: Parts, point: str, cipher: PointCipher | None, commit: str, note: Say) -> Cutting:
    settings = parts.settings
    return Cutting(
        parts.point_store,
        parts.leases,
        parts.ledger_clock,
        point,
        cipher,
        Provenance(commit, settings.release),
        wait_seconds=settings.backup_wait_seconds,
        say=note,
    )


def _exports(
    parts: Parts,
    cipher: PointCipher | None,
    wanted: Sequence[PartName],
    config: Export,
    *,
    note: Say,
    watch: Watch,
) -> dict[PartName, Export]:
    """The configuration goes with the vectors: its golden questions are answered from them."""
    made: dict[PartName, Export] = {}
    if "neon" in wanted:
        made["neon"] = _neon(parts, cipher, note, watch)
    if "qdrant" in wanted:
        made["config"] = config
        made["qdrant"] = vectors.export(parts, cipher, vectors.watched(watch))
    return made


def _neon(parts: Parts, cipher: PointCipher | None, note: Say, watch: Watch) -> Export:
    database = database_export(parts.settings)

    def export(point: str, attempt: str, deadline: Deadline) -> PartRecord:
        record = neon_part.export(
            database,
            Files(parts.point_store, cipher),
            point,
            attempt,
            deadline,
            connections=parts.settings.backup_connections,
            watch=watch,
        )
        branch = restore_point(parts.settings, point, deadline, note)
        return msgspec.structs.replace(record, details={**record.details, "branch": branch})

    return export


def restore_point(settings: Settings, point: str, deadline: Deadline, note: Say) -> str:
    """A Neon branch of this moment, where the settings ask for one; its id. What fails is told to ``note``:
    the backup does not depend on it.
    """
    if not (settings.neon_api_key and settings.neon_project):
        return ""
    from shared.adapters.neon.branches import NeonBranches

    until = datetime.now(UTC) + timedelta(days=settings.neon_branch_days)
    try:
        with Parts(settings) as parts:
            made = NeonBranches(
                parts.http,
                settings.neon_api_key,
                settings.neon_project,
                settings.neon_branch,
                settings.neon_api_url,
            ).mark(f"lectern-{point}", until, deadline.within(BRANCH_SECONDS))
    except LecternError as error:
        note(f"no Neon branch was made: {error}")
        return ""
    note(f"Neon branch {made} holds the database as it is now, until {until:%Y-%m-%d}")
    return made


def _told(parts: Parts, point: str, outcome: Outcome, deadline: Deadline) -> list[PartRecord]:
    """The records that the point has, or has so far."""
    if outcome.manifest:
        return list(outcome.manifest.parts.values())
    found = (whole_records(parts.point_store, point, part, deadline)[-1:] for part in BOTH)
    return [record for each in found for record in each]


def _facts(outcome: Outcome, records: list[PartRecord]) -> dict[str, Any]:
    return {
        "state": outcome.state,
        "reason": outcome.reason,
        "needs": outcome.needs,
        "ledger_version": outcome.manifest.ledger_version if outcome.manifest else None,
        "snapshot_at": min((f"{one.snapshot_at:%Y-%m-%dT%H:%M:%SZ}" for one in records), default=""),
        "encrypted": any(record.encrypted for record in records),
        "bytes": sum(record.bytes for record in records),
        "parts": {record.part: _part(record) for record in records},
    }


def _part(record: PartRecord) -> PartTold:
    return PartTold(
        objects=len(record.objects),
        bytes=record.bytes,
        plain_bytes=sum(entry.plain_bytes for entry in record.objects),
        rows=sum(entry.rows for entry in record.objects),
        points=sum(entry.points for entry in record.objects),
        seconds=record.seconds,
        left_out=_left_out(record),
    )


def _left_out(record: PartRecord) -> tuple[str, ...]:
    if record.part == "qdrant":
        problem = record.facts(VectorFacts).snapshots_problem
        return (f"snapshots of the nodes: {problem}",) if problem else ()
    if record.part != "neon":
        return ()
    catalog = record.facts(NeonFacts).catalog
    large = (f"{catalog.large_objects} large objects",) if catalog.large_objects else ()
    extensions = tuple(f"data of extension {name}" for name in catalog.extensions)
    return (*catalog.left_out, *large, *extensions)
