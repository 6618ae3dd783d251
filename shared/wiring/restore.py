"""Joins a restore: verified first, built beside what readers see, switched to last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from shared.answering.memory import DeletionList
from shared.errors import Corrupt, DependencyError
from shared.ports.database import DatabaseImport
from shared.recovery import neon_restore
from shared.recovery.catalogue import read_catalogue
from shared.recovery.neon_part import Files, stored_tables
from shared.recovery.pausing import schedules_paused
from shared.recovery.point import SERVICE, Manifest
from shared.recovery.progress import Watch, nobody
from shared.recovery.restore import PARTS, Part, Summary, Wanted, choose, expected, passed_over, shortfall
from shared.recovery.sealed import read_manifest
from shared.recovery.vectors import VectorFacts
from shared.recovery.vectors_check import check_vectors
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import restored, upkeep, vectors
from shared.wiring.alone import alone, never_used
from shared.wiring.backup import direct_address
from shared.wiring.backups import LIST_SECONDS, Say
from shared.wiring.buckets import point_bucket
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.schedules import schedules

RESTORE_SECONDS = 12 * 3600.0
MIGRATE_SECONDS = 120.0
UPKEEP_SECONDS = 300.0


def restore(
    settings: Settings, wanted: Wanted, *, watch: Watch = nobody, say: Say = lambda _line: None
) -> Summary:
    """Bring back what is wanted, and nothing by halves: the point is read and authenticated before a row is
    written, and the new database and collection take their places after they were read back.

    Safe to run again whatever became of an earlier run. Errors: Missing (no such point, part or table),
    Corrupt (the point, or what was restored), PreconditionFailed (the target holds something and
    ``replace`` is not given; somebody works on the index), AccessDenied (key, rights), and those of the
    services.
    """
    deadline = Deadline.after(RESTORE_SECONDS)
    with Parts(settings) as parts, ExitStack() as stack:
        manifest = chosen(parts, wanted, say)
        wished = wished_of(manifest, wanted)
        # Before anything is paused: whoever has to stay away must not resume what others have paused.
        own = target_of(settings, Wanted())
        stack.enter_context(alone(parts, own, manifest.id, deadline, say))
        planned, close = schedules(settings)
        stack.callback(close)
        paused = stack.enter_context(
            schedules_paused(
                parts.point_store, planned, deadline, point=manifest.id, now=time.time(), say=say
            )
        )
        work = _Work(parts, manifest, wanted, deadline, watch=watch, say=say)
        summary = replace(work.run(), paused=paused)
    problem = shortfall(summary, wished)
    if problem:
        hint = "Look at the target before readers do, and restore again."
        raise Corrupt(SERVICE, f"restore {manifest.id}", problem, hint=hint)
    return summary


def chosen(parts: Parts, wanted: Wanted, say: Say) -> Manifest:
    """The manifest of the point that is wanted, its seal checked. Newer ones that cannot be read are said."""
    deadline = Deadline.after(LIST_SECONDS)
    known = read_catalogue(parts.point_store, deadline)
    point = choose(known, wanted)
    for line in passed_over(known, wanted, point):
        say(f"passed over: {line}")
    return read_manifest(parts.point_store, point, point_cipher(parts.settings, point), deadline)


def wished_of(manifest: Manifest, wanted: Wanted) -> dict[Part, int]:
    """Rows and points that are to come back, by part."""
    counts = {part: expected(manifest, part) for part in wanted.parts()}
    if wanted.table:
        stored = stored_tables(manifest.parts["neon"])
        named = [entry.rows for shape, entry in stored if wanted.table in {shape.label, shape.name}]
        counts["neon"] = sum(named)
    return counts


def target_of(settings: Settings, wanted: Wanted) -> DatabaseImport:
    """The database that is restored into."""
    from shared.adapters.neon.rebuild import NeonImport

    if wanted.to:
        return NeonImport(wanted.to, "--to")
    return NeonImport(*direct_address(settings))


class _Rehearsed(Exception):
    """Everything was compared; nothing is to be put in place."""


class _Work:
    """One restore under way."""

    def __init__(
        self, parts: Parts, manifest: Manifest, wanted: Wanted, deadline: Deadline, *, watch: Watch, say: Say
    ) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._manifest = manifest
        self._wanted = wanted
        self._deadline = deadline
        self._watch = watch
        self._say = say
        self._cipher = point_cipher(parts.settings, manifest.id)
        self._files = Files(parts.point_store, self._cipher)
        self._seconds: dict[str, float] = {}
        self._summary = Summary(
            manifest.id, wanted.parts(), empty=not any(wished_of(manifest, wanted).values())
        )

    def run(self) -> Summary:
        wished = self._wanted.parts()
        if self._wanted.table:
            self._table(self._wanted.table)
        elif wished == ("qdrant",):
            self._refuse_a_full_index()
            self._check_vectors()
            self._vectors()
        elif "qdrant" in wished:
            self._refuse_a_full_index()
            self._check_vectors()
            self._database(self._vectors)
        else:
            self._database(lambda: None)
        self._tend()
        if not self._wanted.rehearse:
            self._prepare_for_outages()
        return replace(self._summary, seconds=self._seconds, next_steps=tuple(self._next_steps()))

    def _table(self, table: str) -> None:
        record = self._manifest.parts["neon"]
        target = target_of(self._settings, self._wanted)
        with self._timed("table"):
            rows = neon_restore.restore_table(
                record,
                self._files,
                target,
                table,
                self._deadline,
                replace=self._wanted.replace,
                watch=self._watch,
            )
        self._summary = replace(self._summary, rows=rows, tables=1)

    def _database(self, then: Callable[[], None]) -> None:
        """Both parts, or the database alone: ``then`` runs when the new database is known to be whole and
        before it takes its place, so that a run that is killed in between can simply be run again: an empty
        target is still empty then.
        """
        inner = 0.0

        def before_switch(url: str) -> None:
            nonlocal inner
            began = time.monotonic()
            self._make_usable(url)
            then()
            inner = time.monotonic() - began
            if self._wanted.rehearse:
                raise _Rehearsed

        try:
            found = neon_restore.restore(
                self._manifest.parts["neon"],
                self._files,
                target_of(self._settings, self._wanted),
                self._deadline,
                replace=self._wanted.replace,
                watch=self._watch,
                before_switch=before_switch,
            )
        except _Rehearsed:
            self._rehearsed()
            return
        except DependencyError as error:
            raise self._told_of_the_index(error) from error
        own = {**found.seconds, "switch": round(found.seconds["switch"] - inner, 3)}
        self._seconds |= {f"database {phase}": took for phase, took in own.items()}
        for skipped in found.skipped:
            self._say(f"left out: {skipped}")
        self._summary = replace(self._summary, tables=found.tables, rows=found.rows, kept_as=found.kept_as)

    def _told_of_the_index(self, error: DependencyError) -> DependencyError:
        """What kept the database from taking its place, when the index has taken its own already."""
        if not self._summary.collection:
            return error
        hint = (
            f"The index is already that of {self._manifest.id}, the database is still the one from before: "
            f"run the same command again, or `lectern repair`. {error.hint}"
        )
        return type(error)(
            error.service, error.operation, error.detail, hint=hint, retry_after=error.retry_after
        )

    def _rehearsed(self) -> None:
        """The new database was equal to what the point holds, and is gone again."""
        stored = stored_tables(self._manifest.parts["neon"])
        rows = sum(entry.rows for _, entry in stored)
        self._summary = replace(self._summary, tables=len(stored), rows=rows)

    def _make_usable(self, url: str) -> None:
        """Bring the new database's schema to this release, and forget what readers had deleted since."""
        with self._timed("migrate"), Parts(replace(self._settings, database_url=url)) as parts:
            parts.prepare_database(Deadline.after(MIGRATE_SECONDS), restoring=True)
            self._forget(parts)

    def _forget(self, parts: Parts) -> None:
        """As listed in the bucket, and beside the points: the bucket may have been lost with its region."""
        stores = [self._parts.point_store]
        if self._settings.storage_bucket not in {"", point_bucket(self._settings)}:
            stores.append(self._parts.object_store)
        for store in stores:
            gone = DeletionList(store).apply(parts.memory, self._deadline.within(UPKEEP_SECONDS))
            self._summary = replace(self._summary, deletions=self._summary.deletions + gone)

    def _refuse_a_full_index(self) -> None:
        """Before hours of work: an index in the way that is not this point's."""
        if not self._wanted.replace:
            vectors.refuse_full(self._parts, self._manifest.parts["qdrant"], self._cipher, self._deadline)

    def _check_vectors(self) -> None:
        with self._timed("vectors verify"):
            check_vectors(
                self._manifest.parts["qdrant"],
                self._files.store,
                self._cipher,
                vectors.patient(self._deadline),
                vectors.watched(self._watch),
            )

    def _vectors(self) -> None:
        self._count_the_change()
        found = vectors.restore(
            self._parts,
            self._files.store,
            self._manifest.parts["qdrant"],
            self._cipher,
            self._deadline,
            progress=vectors.watched(self._watch),
            replace=self._wanted.replace,
            checked=True,
        )
        if found.fast_problem:
            self._say(f"The vectors come from the export: {found.fast_problem}")
        self._seconds |= {f"vectors {phase}": took for phase, took in found.seconds.items()}
        self._summary = replace(
            self._summary, points=found.points, written=found.written, collection=found.collection
        )

    def _count_the_change(self) -> None:
        """A backup of the database from before must not be joined with vectors from now: counted before they
        change, as this run may be killed any moment.
        """
        if self._wanted.rehearse:
            return
        try:
            self._parts.ledger_clock.step(self._deadline.within(MIGRATE_SECONDS))
        except DependencyError as error:
            if not never_used(error):
                self._say(f"the ledger does not know of it: {error.message}")

    def _tend(self) -> None:
        """What was deleted or waited while the restore ran; a target elsewhere is left as it is."""
        table = (self._wanted.table or "").rpartition(".")[2]
        # Conversations without answers are removed with the deletions: their answers may be restored next.
        elsewhere = self._wanted.to or self._wanted.rehearse or "neon" not in self._wanted.parts()
        if elsewhere or table not in {"", "answers", "feedback"}:
            return
        try:
            with Parts(self._settings) as parts:
                self._forget(parts)
                drained = upkeep.drain(parts, Deadline.after(UPKEEP_SECONDS), self._say)
                self._summary = replace(self._summary, replayed=drained.replayed)
        except DependencyError as error:
            self._say(f"what waits in the bucket is replayed by the next ingestion: {error}")

    def _prepare_for_outages(self) -> None:
        """The bucket of what readers are answered from in an outage may have been lost, too."""
        both = not self._wanted.to and self._wanted.parts() == PARTS
        with Parts(self._settings) as parts:
            if "qdrant" in self._wanted.parts():
                facts = self._manifest.parts["qdrant"].facts(VectorFacts)
                with self._timed("lifeboat"):
                    restored.write_lifeboat(parts, facts, self._watch, self._say, with_ledger=both)
            if both:
                restored.write_suggestions(parts, self._say)

    def _next_steps(self) -> Iterator[str]:
        wished = self._wanted.parts()
        if self._summary.kept_as and not self._wanted.replace:
            yield (
                f"Rows were written to the empty database while this ran: look into {self._summary.kept_as}, "
                "and copy what is to stay."
            )
        if self._wanted.to:
            yield "Set DATABASE_URL to the restored database."
        if wished == ("qdrant",):
            yield "Run `lectern repair`: pages that changed since the point are made again from the ledger."
        if wished == ("neon",):
            yield "Run `lectern repair`, so that ledger and index fit each other again."
        yield "Ask something (`lectern ask`), and look at `lectern status`."

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[phase] = round(self._seconds.get(phase, 0.0) + time.monotonic() - began, 3)
