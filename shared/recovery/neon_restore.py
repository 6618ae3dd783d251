"""The database part of a recovery point, restored.

A restore reads and authenticates the whole part before it writes a row, builds a new database beside the
target, reads every table back and compares digests, sequences and the fingerprint of the schema, and only
then puts it in the target's place.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import Missing, PreconditionFailed
from shared.ports.database import Building, Catalog, DatabaseImport, TableShape
from shared.recovery.crypto import corrupt
from shared.recovery.neon_part import Files, NeonFacts, stored_tables, verify
from shared.recovery.point import SERVICE, ObjectEntry, PartRecord
from shared.recovery.progress import Meter, Watch, nobody
from shared.recovery.streams import check_object, part_reader
from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class RestoredDatabase:
    """What a restore has done. ``kept_as`` is the name of the database that was there before, empty when
    there was none or it held no rows; ``skipped`` are extensions that the server does not have.
    """

    tables: int
    rows: int
    bytes: int
    sequences: int
    fingerprint: str
    kept_as: str
    skipped: tuple[str, ...]
    seconds: dict[str, float]


def restore(
    record: PartRecord,
    files: Files,
    target: DatabaseImport,
    deadline: Deadline,
    *,
    replace: bool = False,
    watch: Watch = nobody,
    before_switch: Callable[[str], object] = lambda _url: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RestoredDatabase:
    """Build the database of ``record``, compare it with what was exported, put it in the target's place.

    ``before_switch`` gets the new database's address once it is known to be equal: what must be done to it
    before anybody uses it, such as applying the list of deletions. A target that holds rows is kept under
    another name: with ``replace``, and when they were written while the restore ran.

    Raises PreconditionFailed for a target that holds rows, Corrupt when anything is not as it was exported
    (nothing is put in place then), and the errors of the database, the store and the key.
    """
    facts = record.facts(NeonFacts)
    filled = target.filled(deadline)
    if filled and not replace:
        raise _not_empty(filled)
    seconds = {"verify": verify(record, files, deadline, watch=watch)}
    mark = f"recovery point {record.point}, not finished"
    with target.build(facts.catalog, mark, deadline) as building:
        rebuild = _Rebuild(record, facts, files, building, deadline, watch)
        seconds |= rebuild.run()
        began = time.monotonic()
        before_switch(building.url)
        kept = building.put_in_place(deadline, keep_as=f"before_{now():%Y%m%dt%H%M%S}")
        seconds["switch"] = time.monotonic() - began
        skipped = tuple(building.skipped)
    tables = [entry for _, entry in rebuild.tables()]
    return RestoredDatabase(
        tables=len(tables),
        rows=sum(entry.rows for entry in tables),
        bytes=sum(entry.plain_bytes for entry in tables),
        sequences=len(facts.catalog.sequences),
        fingerprint=facts.catalog.fingerprint,
        kept_as=kept,
        skipped=skipped,
        seconds={phase: round(took, 3) for phase, took in seconds.items()},
    )


def restore_table(
    record: PartRecord,
    files: Files,
    target: DatabaseImport,
    label: str,
    deadline: Deadline,
    *,
    replace: bool = False,
    watch: Watch = nobody,
) -> int:
    """Put the rows of one table (``name`` or ``schema.name``) in the place of what it holds; how many.

    Raises Missing for a table that the point does not have, and what :func:`restore` raises.
    """
    found = [pair for pair in stored_tables(record) if label in {pair[0].label, pair[0].name}]
    if len(found) != 1:
        raise Missing(
            SERVICE,
            "restore",
            f"recovery point {record.point} has {len(found) or 'no'} table{'s' if found else ''} {label}",
            hint=f"It has {', '.join(table.label for table, _ in stored_tables(record))}.",
        )
    table, entry = found[0]
    check_object(files.store, entry, files.cipher, deadline)
    meter = Meter("load", entry.plain_bytes, watch)
    blocks = meter.counted(part_reader(files.store, entry, files.cipher, deadline))
    sequences = record.facts(NeonFacts).catalog.sequences
    rows = target.replace_table(table, blocks, sequences, deadline, replace=replace)
    meter.end()
    return rows


def compare(record: PartRecord, database: Building, deadline: Deadline, *, watch: Watch = nobody) -> float:
    """Read a restored database back and compare it with what was exported; seconds that it took.

    Raises :class:`~shared.errors.Corrupt` naming what differs.
    """
    facts = record.facts(NeonFacts)
    found = database.catalog(deadline)
    if found.fingerprint != facts.catalog.fingerprint:
        raise corrupt(f"recovery point {record.point}", _schema_differs(facts.catalog, found))
    if found.sequences != facts.catalog.sequences:
        raise corrupt(f"recovery point {record.point}", "the restored sequences stand elsewhere")
    tables = stored_tables(record)
    meter = Meter("compare", sum(entry.plain_bytes for _, entry in tables), watch)
    for table, entry in tables:
        digest = hashlib.sha256()

        def add(block: bytes, digest: hashlib._Hash = digest) -> None:
            digest.update(block)
            meter.add(len(block))

        rows = database.copy_out(table, add, deadline)
        if digest.hexdigest() != entry.plain_sha256 or rows != entry.rows:
            why = f"the restored table {table.label} differs ({rows} rows, {entry.rows} were exported)"
            raise corrupt(entry.name, why)
    return meter.end()


@dataclass(frozen=True, slots=True)
class _Rebuild:
    record: PartRecord
    facts: NeonFacts
    files: Files
    building: Building
    deadline: Deadline
    watch: Watch

    def run(self) -> dict[str, float]:
        """Rows, indexes, comparison; seconds by phase."""
        seconds = {"load": self._load()}
        began = time.monotonic()
        self.building.complete(
            self.facts.catalog, self.deadline, self._indexed(len(self.facts.catalog.after))
        )
        seconds["index"] = time.monotonic() - began
        seconds["compare"] = compare(self.record, self.building, self.deadline, watch=self.watch)
        return seconds

    def tables(self) -> list[tuple[TableShape, ObjectEntry]]:
        return stored_tables(self.record)

    def _load(self) -> float:
        tables = self.tables()
        meter = Meter("load", sum(entry.plain_bytes for _, entry in tables), self.watch)
        for table, entry in tables:
            blocks = part_reader(self.files.store, entry, self.files.cipher, self.deadline)
            self.building.copy_in(table, meter.counted(blocks), self.deadline)
        return meter.end()

    def _indexed(self, total: int) -> Callable[[int, int], object]:
        meter = Meter("index", total, self.watch, unit="steps")

        def step(done: int, of: int) -> None:
            meter.add(1)
            if done == of:
                meter.end()

        return step


def _not_empty(filled: list[str]) -> PreconditionFailed:
    some = ", ".join(filled[:5]) + (" …" if len(filled) > 5 else "")  # noqa: PLR2004 - a handful
    return PreconditionFailed(
        SERVICE,
        "restore",
        f"the target database holds rows already ({some})",
        hint="Give an empty database, or say --replace: what is there is then kept under another name.",
    )


def _schema_differs(wanted: Catalog, found: Catalog) -> str:
    lines = sorted(set(wanted.shape) ^ set(found.shape))
    shown = "; ".join(line[:120] for line in lines[:4])
    return f"the restored schema differs in {len(lines)} places: {shown}"
