"""Joins the keeping of recovery points: listing, holds, retention, the copy in a second bucket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from shared.answering.memory import DeletionList
from shared.errors import LecternError, Missing, SettingsError, StackError
from shared.ports import ObjectStore
from shared.recovery.catalogue import Catalogue, read_catalogue, write_mark
from shared.recovery.configuration import FILES, PART, VALUES, read_file
from shared.recovery.copying import Copied, copy_marks, copy_point
from shared.recovery.point import SERVICE
from shared.recovery.prune import Pruned, prune
from shared.recovery.retention import DAY, Decision, Policy, decide
from shared.recovery.sealed import committed_points, read_manifest
from shared.recovery.status import refresh_status
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.buckets import bulk_store, point_bucket
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher

Say = Callable[[str], None]
LIST_SECONDS = 120.0
PRUNE_SECONDS = 600.0
COPY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What a pass of retention decided, and what it removed; None when it was only asked what it would do."""

    decisions: tuple[Decision, ...]
    pruned: Pruned | None


def policy(settings: Settings) -> Policy:
    """How long points are kept, by the settings."""
    return Policy(
        days=settings.backup_keep_days,
        last=settings.backup_keep_last,
        daily=settings.backup_keep_daily,
        weekly=settings.backup_keep_weekly,
        monthly=settings.backup_keep_monthly,
        orphan_days=settings.backup_orphan_days,
    )


def with_bucket(settings: Settings) -> Settings:
    """The settings with the embedded stack's bucket where they name none: for what needs no other service.

    Raises :class:`~shared.errors.StackError` when there is no such bucket.
    """
    if point_bucket(settings):
        return settings
    bucket = Path(settings.home).absolute() / "bucket"
    if not bucket.is_dir():
        raise StackError(
            f"There is no bucket in {bucket.parent} and none is named.",
            hint="Set STORAGE_BUCKET (or LECTERN_BACKUP_BUCKET), or start with `lectern run`.",
        )
    return replace(settings, storage_bucket=bucket.as_uri())


def catalogue(settings: Settings) -> Catalogue:
    """Every recovery point in the bucket."""
    with Parts(with_bucket(settings)) as parts:
        return read_catalogue(parts.point_store, Deadline.after(LIST_SECONDS))


def configuration(settings: Settings, point: str | None, *, with_secrets: bool = False) -> dict[str, Any]:
    """The configuration part of a point (None: the newest) by file, golden questions left out, and values of
    secrets unless they are asked for. Raises Missing when there is no such point or part, and Corrupt or
    AccessDenied where its seal does not hold.
    """
    with Parts(with_bucket(settings)) as parts:
        deadline = Deadline.after(LIST_SECONDS)
        known = read_catalogue(parts.point_store, deadline)
        found = known.find(point) if point else known.newest()
        if found is None:
            raise _no_configuration("the bucket")
        cipher = point_cipher(settings, found.id)
        manifest = read_manifest(parts.point_store, found.id, cipher, deadline)
        record = manifest.parts.get(PART)
        if record is None:
            raise _no_configuration(manifest.id)
        names = FILES if with_secrets else [name for name in FILES if name != VALUES]
        read = {
            name: read_file(parts.point_store, record, f"{name}.json", cipher, deadline) for name in names
        }
    facts = {"point": manifest.id, "code_revision": manifest.code_revision}
    return facts | {name: msgspec.json.decode(data) for name, data in read.items() if data}


def _no_configuration(where: str) -> Missing:
    detail = f"{where} has no configuration part"
    return Missing(SERVICE, "read", detail, hint="`lectern backups` lists the points.")


def hold(settings: Settings, point: str, reason: str) -> None:
    """Keep a point whatever its age. Raises Missing when there is no such point."""
    _mark(settings, point, "on", reason)


def release(settings: Settings, point: str) -> None:
    """Let retention decide on a point again. Raises Missing when there is no such point."""
    _mark(settings, point, "off", "released")


def _mark(settings: Settings, point: str, word: str, reason: str) -> None:
    with Parts(with_bucket(settings)) as parts:
        deadline = Deadline.after(LIST_SECONDS)
        read_catalogue(parts.point_store, deadline).find(point)
        body = {"reason": reason}
        write_mark(parts.point_store, point, "holds", word, deadline, body=body, now=time.time())


def keep(settings: Settings, *, apply: bool, progress: Say = lambda _line: None) -> Kept:
    """Decide which points stay; with ``apply`` remove the others, in the second bucket too. Nothing is
    removed there unless what is known of the points here got there before.
    """
    second = apply and bool(settings.backup_copy_bucket)
    unknown = _copy_marks(settings) if second else None
    with Parts(with_bucket(settings)) as parts:
        kept = _keep(parts.point_store, settings, apply=apply, progress=progress)
    if apply:
        _refresh(settings)
    if unknown:
        raise unknown
    if second:
        with second_bucket(settings) as copies:
            _keep(copies, settings, apply=True, progress=progress)
    return kept


def _copy_marks(settings: Settings) -> LecternError | None:
    """Tell the second bucket what is known of the points here, before any of it is removed with its point: a
    hold, or that it was released. What went wrong, if anything did; retention goes on here all the same.
    """
    try:
        with Parts(with_bucket(settings)) as parts, second_bucket(settings) as copies:
            copy_marks(parts.point_store, copies, Deadline.after(LIST_SECONDS))
    except LecternError as error:
        return error
    return None


def _keep(store: ObjectStore, settings: Settings, *, apply: bool, progress: Say) -> Kept:
    deadline = Deadline.after(PRUNE_SECONDS)
    known = read_catalogue(store, deadline)
    facts = [one.facts() for one in known.points]
    decisions = decide(facts, known.orphans, policy(settings), time.time())
    return Kept(tuple(decisions), prune(store, decisions, deadline, progress) if apply else None)


def copy(settings: Settings, point: str, progress: Say = lambda _line: None) -> Copied:
    """Copy a point to the second bucket, or finish a copy that was begun."""
    if not settings.backup_copy_bucket:
        raise SettingsError(["LECTERN_BACKUP_COPY_BUCKET is missing: there is no second bucket to copy to"])
    deadline = Deadline.after(COPY_SECONDS)
    with Parts(with_bucket(settings)) as parts, second_bucket(settings) as copies:
        read_catalogue(parts.point_store, deadline).find(point)
        return copy_point(parts.point_store, copies, point, deadline, progress)


@contextmanager
def second_bucket(settings: Settings) -> Iterator[ObjectStore]:
    """The bucket that points are copied to."""
    store, close = bulk_store(settings.backup_copy_bucket, settings)
    try:
        yield store
    finally:
        close()


def after_commit(settings: Settings, point: str, warn: Say = lambda _line: None) -> tuple[str, ...]:
    """What follows once a point is committed: a copy in the second bucket, the list of deletions beside the
    points, retention, the status for health.

    Raises nothing: the point is whole whatever becomes of this. What did not work is told to ``warn`` and
    returned, and is done by the next backup.
    """
    problems: list[str] = []
    steps: list[Callable[[], object]] = [
        lambda: _copy_deletions(settings),
        lambda: _refusals(keep(settings, apply=True), problems),
    ]
    if settings.backup_copy_bucket:
        steps.insert(0, lambda: _copy_what_is_missing(settings, point))
    # Once more at the end: health must learn of the new point also when old ones could not be removed.
    steps.append(lambda: _refresh(settings))
    for step in steps:
        try:
            step()
        except LecternError as error:
            problems.append(str(error))
    for problem in problems:
        warn(problem)
    return tuple(problems)


def _copy_what_is_missing(settings: Settings, point: str) -> None:
    """Copy this point, and the young ones before it whose copy failed. Older ones are not brought back: what
    the second bucket has removed by its age is to stay away.
    """
    deadline = Deadline.after(LIST_SECONDS)
    with Parts(settings) as parts, second_bucket(settings) as copies:
        known = read_catalogue(parts.point_store, deadline).points
        there = set(committed_points(copies, deadline))
    since = time.time() - settings.backup_keep_days * DAY
    young = [one.id for one in known if one.id not in there and one.at > since and one.id != point]
    for identity in (point, *young):
        copy(settings, identity)


def _copy_deletions(settings: Settings) -> None:
    """Put the list of deletions where the points are: who restores one after the loss of the bucket must
    not bring back what readers had deleted.
    """
    deadline = Deadline.after(LIST_SECONDS)
    with Parts(with_bucket(settings)) as parts:
        beside = DeletionList(parts.point_store)
        if settings.storage_bucket not in {"", point_bucket(settings)}:
            DeletionList(parts.object_store).copy_to(beside, deadline)
        if settings.backup_copy_bucket:
            with second_bucket(settings) as copies:
                beside.copy_to(DeletionList(copies), deadline)


def _refresh(settings: Settings) -> None:
    with Parts(with_bucket(settings)) as parts:
        refresh_status(parts.point_store, time.time(), Deadline.after(LIST_SECONDS))


def _refusals(kept: Kept, problems: list[str]) -> None:
    if kept.pruned:
        problems += kept.pruned.refused
