"""Joins a drill: the newest recovery point, restored in a sealed room and asked its golden questions.

The room is an embedded stack of its own in a temporary folder. Only the bucket and the key are reached for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from shared.delivery.release import commit_of
from shared.embedded import machine
from shared.embedded.stack import EmbeddedStack, reset
from shared.errors import AccessDenied, Corrupt, LecternError, Missing, Rejected, StackError
from shared.ports.drills import StoredDrill
from shared.recovery.catalogue import write_mark
from shared.recovery.configuration import read_golden_answers
from shared.recovery.drill import Seen, report_of, report_unread
from shared.recovery.golden import Comparison, asked
from shared.recovery.point import Manifest
from shared.recovery.progress import Watch, nobody
from shared.recovery.report import DrillReport
from shared.recovery.restore import Summary, Wanted
from shared.recovery.room import Needs, Room, needs_of, too_small
from shared.recovery.sealed import NewerFormat, Unsealed
from shared.recovery.status import refresh_status
from shared.recovery.streams import check_object
from shared.recovery.vectors import VectorFacts
from shared.recovery.verify import verify_point
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import vectors
from shared.wiring.backups import LIST_SECONDS, Say, with_bucket
from shared.wiring.buckets import point_bucket
from shared.wiring.configuration import asking
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.restore import restore
from shared.wiring.verify import chosen_id, manifest_of

PREFIX = "lectern-drill-"
FULL_ALIAS = "lectern-drill-live"
TARGETS = {
    "LECTERN_DRILL_DATABASE_URL": "drill_database_url",
    "LECTERN_DRILL_QDRANT_URL": "drill_qdrant_url",
}
"""What a full drill restores into: variables and settings."""
READ_SECONDS = 3600.0
"""For reading a point again, of which a restore said that it is damaged."""
_MB = 2**20
UNREADABLE = (Corrupt, AccessDenied, Rejected)
"""A manifest that was changed; a key that is lost, of somebody else, switched off or destroyed."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A drill to be made. ``full``: into the database and the Qdrant that the settings name for it."""

    point: str | None = None
    full: bool = False


@dataclass(slots=True)
class _Diary:
    """What is seen as the drill goes on."""

    phases: dict[str, float] = field(default_factory=dict)
    summary: Summary | None = None
    golden: Comparison = field(default_factory=lambda: Comparison(0, 0, ()))
    failure: str = ""
    damage: bool = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = round(time.monotonic() - began, 3)


def drill(
    settings: Settings, wanted: Rehearsal, *, watch: Watch = nobody, say: Say = lambda _line: None
) -> DrillReport:
    """Restore a point where nobody is served from, ask it, and leave the report beside it and in Postgres.

    A drill that fails is a report, too, and so is one of a point whose manifest cannot be read or unlocked.
    Errors: Missing (no such point), NewerFormat (it is of a newer release), StackError (too little memory or
    disk, named with both figures; a full drill without its targets), SettingsError (the key file), and the
    bucket's.
    """
    own = with_bucket(settings)
    started = datetime.now(UTC)
    if wanted.full:
        require_targets(own)
    with Parts(own) as parts:
        point = chosen_id(parts, wanted.point, lambda line: say(f"passed over: {line}"))
        try:
            manifest = manifest_of(parts, point)
        except NewerFormat:
            raise
        except UNREADABLE as error:
            damage = isinstance(error, Corrupt) and not isinstance(error, Unsealed)
            report = report_unread(point, started, _room_of(wanted), str(error), damage=damage)
            _leave(own, report, say)
            return report
    if not wanted.full:
        require_room(own, manifest)
    diary = _Diary()
    try:
        _rehearse(own, manifest, wanted, diary, watch=watch, say=say)
    except LecternError as error:
        diary.failure = str(error)
        diary.damage = isinstance(error, Corrupt | Missing) and _is_damaged(own, manifest)
    seen = Seen(
        started_at=started,
        room=_room_of(wanted),
        phases=diary.phases,
        summary=diary.summary,
        failure=diary.failure,
        golden=diary.golden,
        damage=diary.damage,
        machine={"processors": machine.processors(), "free_memory_mb": machine.free_memory() // _MB},
    )
    report = report_of(manifest, seen, commit_of(own.release))
    _leave(own, report, say)
    return report


def _is_damaged(own: Settings, manifest: Manifest) -> bool:
    """Whether it is the point that is broken, and not the room: it is read once more."""
    patient = vectors.patient(Deadline.after(READ_SECONDS))
    with Parts(own) as parts:
        cipher = point_cipher(own, manifest.id)
        try:
            found = verify_point(parts.point_store, manifest, cipher, patient, clock=time.monotonic)
        except LecternError:
            return False
    return not found.whole


def _room_of(wanted: Rehearsal) -> Literal["sealed", "configured"]:
    return "configured" if wanted.full else "sealed"


def targets_missing(settings: Settings) -> list[str]:
    """Those of :data:`TARGETS` that are not set."""
    return [name for name, attribute in TARGETS.items() if not getattr(settings, attribute)]


def require_targets(settings: Settings) -> None:
    """Raise :class:`~shared.errors.StackError` unless a full drill has somewhere to restore into."""
    if missing := targets_missing(settings):
        raise StackError(
            f"A full drill needs {' and '.join(missing)}.", hint="Set them, or make a drill that is not full."
        )


def require_room(settings: Settings, manifest: Manifest) -> Needs:
    """What the drill takes. Raises :class:`~shared.errors.StackError` when there is less."""
    needs = needs_of(manifest)
    folder = Path(tempfile.gettempdir())
    # Cloud Run keeps files in memory: https://cloud.google.com/run/docs/container-contract#filesystem
    room = Room(machine.free_memory(), machine.free_disk(folder), disk_is_memory=bool(settings.project))
    problem = too_small(needs, room)
    if problem:
        raise StackError(
            f"The drill of {manifest.id} does not fit: {problem}.",
            hint="Give the drill's job more memory (platform.jobs.drill.memory), or use a larger machine.",
        )
    return needs


def _rehearse(
    settings: Settings, manifest: Manifest, wanted: Rehearsal, diary: _Diary, *, watch: Watch, say: Say
) -> None:
    with ExitStack() as stack:
        with diary.phase("room"):
            room = stack.enter_context(_configured(settings) if wanted.full else _sealed(settings, say))
        with diary.phase("restore"):
            wish = Wanted(point=manifest.id, replace=wanted.full, rehearse=wanted.full)
            diary.summary = restore(room, wish, watch=watch, say=say)
        with diary.phase("questions"):
            diary.golden = _ask(room, manifest)


@contextmanager
def _sealed(settings: Settings, say: Say) -> Iterator[Settings]:
    """An embedded stack that nobody else knows; gone afterwards, as are those that killed drills left."""
    _sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, EmbeddedStack(Path(folder), say) as stack:
        assert stack.addresses is not None
        yield apart(
            settings,
            home=folder,
            database_url=stack.addresses.database_url,
            qdrant_url=stack.addresses.qdrant_url,
            qdrant_api_key="",
            storage_bucket=stack.addresses.storage_bucket,
        )


def apart(settings: Settings, **places: Any) -> Settings:
    """The settings of a room at ``places``: but for the bucket of points and its key, nothing that readers
    are served from is called.
    """
    return replace(
        settings,
        **places,
        database_direct_url="",
        backup_bucket=point_bucket(settings),
        backup_snapshot_nodes=(),
        redis_url="",
        embedder="none",
        generator="none",
        project="",
    )


def _sweep() -> None:
    """Delete what killed drills left. A stack that is in use says no."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(StackError, OSError):
            reset(folder)


@contextmanager
def _configured(settings: Settings) -> Iterator[Settings]:
    """The targets of a full drill, with an alias of their own; the collection goes afterwards."""
    room = apart(
        settings,
        database_url=settings.drill_database_url,
        qdrant_url=settings.drill_qdrant_url,
        qdrant_api_key=settings.drill_qdrant_api_key,
        qdrant_alias=FULL_ALIAS,
        storage_bucket="",
    )
    try:
        yield room
    finally:
        with Parts(room) as parts, suppress(LecternError):
            deadline = Deadline.after(LIST_SECONDS)
            for name in parts.vector_admin.collections(deadline):
                if name.startswith(FULL_ALIAS.removesuffix("-live")):
                    parts.vector_admin.drop(name, deadline)


def _ask(room: Settings, manifest: Manifest) -> Comparison:
    cipher = point_cipher(room, manifest.id)
    deadline = Deadline.after(LIST_SECONDS)
    config = manifest.parts.get("config")
    with Parts(room) as parts:
        for entry in config.objects if config else ():
            check_object(parts.point_store, entry, cipher, deadline)
        questions = read_golden_answers(parts.point_store, config, cipher, deadline)
        model = manifest.parts["qdrant"].facts(VectorFacts).model
        return asked(questions, asking(parts.vector_search, room.qdrant_alias, model))


def _leave(settings: Settings, report: DrillReport, say: Say) -> None:
    """Leave the report where health, alerts and people look. What does not work is told."""
    deadline = Deadline.after(LIST_SECONDS)
    with Parts(settings) as parts:
        try:
            stamp = report.started_at.timestamp()
            write_mark(
                parts.point_store, report.point, "drills", report.word, deadline, body=report, now=stamp
            )
            refresh_status(parts.point_store, time.time(), deadline)
        except LecternError as error:
            say(f"the report could not be left beside the point: {error}")
        if not settings.database_url:
            return
        try:
            facts = msgspec.to_builtins(report)
            took = report.rehearsed_restore_seconds
            stored = StoredDrill(report.point, report.started_at, report.passed, took, facts)
            parts.drill_log.add(stored, deadline)
        except LecternError as error:
            say(f"the report could not be stored in Postgres: {error}")
