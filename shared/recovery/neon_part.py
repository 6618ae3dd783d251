"""The database part of a recovery point: every table's rows in one snapshot, and what makes the schema again.

``tables/…`` hold COPY text; ``restore.sql`` lets psql alone restore them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from shared.ports import ObjectStore
from shared.ports.database import (
    Catalog,
    DatabaseExport,
    Snapshot,
    TableShape,
)
from shared.recovery.crypto import PointCipher, corrupt
from shared.recovery.point import ObjectEntry, PartRecord, object_name
from shared.recovery.progress import Meter, Watch, nobody
from shared.recovery.psql import restore_script
from shared.recovery.streams import part_reader, part_writer
from shared.resilience.deadline import Deadline

SCRIPT = "restore.sql.zst"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")
_MOST_NAME = 60


class StoredTable(msgspec.Struct, frozen=True):
    """Which object holds the rows of ``schema.name``."""

    schema: str
    name: str
    object: str


class NeonFacts(msgspec.Struct, frozen=True):
    """``details`` of the database part's record. ``branch`` is the Neon branch that was made with it."""

    catalog: Catalog
    tables: tuple[StoredTable, ...]
    script: str
    branch: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the objects of a part are: the bucket, and what opens them."""

    store: ObjectStore
    cipher: PointCipher | None


def export(
    database: DatabaseExport,
    files: Files,
    point: str,
    attempt: str,
    deadline: Deadline,
    *,
    connections: int = 1,
    watch: Watch = nobody,
) -> PartRecord:
    """Export everything in one snapshot. With two connections two tables are read at a time.

    Errors: those of :class:`~shared.ports.database.DatabaseExport`, of the store and the key.
    """
    began = time.monotonic()
    with database.snapshot(deadline, connections=connections) as snapshot:
        catalog = snapshot.catalog(deadline)
        meter = Meter("export", sum(table.bytes_on_disk for table in catalog.tables), watch)
        exporter = _Exporter(snapshot, files, point, attempt, meter, deadline)
        entries = exporter.tables(catalog, connections)
        script = exporter.script(catalog)
        ledger_version = snapshot.ledger_version(deadline)
        taken_at = snapshot.taken_at
        meter.end()
    stored = tuple(
        StoredTable(table.schema, table.name, entry.name)
        for table, entry in zip(catalog.tables, entries, strict=True)
    )
    return PartRecord(
        part="neon",
        point=point,
        attempt=attempt,
        ledger_version=ledger_version,
        snapshot_at=taken_at,
        finished_at=datetime.now(UTC),
        objects=(*entries, script),
        details=msgspec.to_builtins(NeonFacts(catalog, stored, script.name)),
        seconds={"export": round(time.monotonic() - began, 3)},
    )


@dataclass(frozen=True, slots=True)
class _Exporter:
    snapshot: Snapshot
    files: Files
    point: str
    attempt: str
    meter: Meter
    deadline: Deadline

    def tables(self, catalog: Catalog, connections: int) -> list[ObjectEntry]:
        """The objects of all tables, in their order; the largest are read first."""
        order = sorted(range(len(catalog.tables)), key=lambda at: -catalog.tables[at].bytes_on_disk)
        if connections == 1:
            made = {at: self._table(at, catalog.tables[at]) for at in order}
            return [made[at] for at in range(len(order))]
        with ThreadPoolExecutor(connections) as pool:
            futures = {at: pool.submit(self._table, at, catalog.tables[at]) for at in order}
            try:
                return [futures[at].result() for at in range(len(order))]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def script(self, catalog: Catalog) -> ObjectEntry:
        """The script for psql."""
        names = {table.label: _file(at, table) for at, table in enumerate(catalog.tables)}
        text = restore_script(catalog, lambda table: f"program 'zstd -dc {names[table.label]}'")
        name = object_name(self.point, "neon", self.attempt, SCRIPT)
        with part_writer(self.files.store, name, self.files.cipher, self.deadline) as writer:
            writer.write(text)
        return writer.entry

    def _table(self, number: int, table: TableShape) -> ObjectEntry:
        name = object_name(self.point, "neon", self.attempt, _file(number, table))
        with part_writer(self.files.store, name, self.files.cipher, self.deadline) as writer:

            def write(block: bytes) -> None:
                writer.write(block)
                self.meter.add(len(block))

            writer.rows = self.snapshot.copy_out(table, write, self.deadline)
        return writer.entry


def _file(number: int, table: TableShape, kind: str = "copy.zst") -> str:
    return f"tables/{number:04}-{_UNSAFE.sub('_', table.label)[:_MOST_NAME]}.{kind}"


def verify(record: PartRecord, files: Files, deadline: Deadline, *, watch: Watch = nobody) -> float:
    """Read every object of a part to its end; seconds that it took.

    Raises :class:`~shared.errors.Corrupt`, Missing, AccessDenied, and the store's errors.
    """
    meter = Meter("verify", sum(entry.plain_bytes for entry in record.objects), watch)
    for entry in record.objects:
        for block in part_reader(files.store, entry, files.cipher, deadline):
            meter.add(len(block))
    return meter.end()


def plain_files(
    record: PartRecord, files: Files, deadline: Deadline
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The part as files that psql alone restores, decrypted and decompressed: name and blocks of each.

    Errors: those of :func:`~shared.recovery.streams.part_reader`.
    """
    facts = record.facts(NeonFacts)
    names = {table.label: _file(at, table, "copy") for at, table in enumerate(facts.catalog.tables)}
    yield "restore.sql", iter([restore_script(facts.catalog, lambda table: f"'{names[table.label]}'")])
    for table, entry in stored_tables(record):
        yield names[table.label], part_reader(files.store, entry, files.cipher, deadline)


def stored_tables(record: PartRecord) -> list[tuple[TableShape, ObjectEntry]]:
    """Each table with its object. Raises Corrupt when the record does not have both."""
    facts = record.facts(NeonFacts)
    entries = {entry.name: entry for entry in record.objects}
    shapes = {(table.schema, table.name): table for table in facts.catalog.tables}
    try:
        pairs = [(shapes[stored.schema, stored.name], entries[stored.object]) for stored in facts.tables]
    except KeyError as error:
        raise corrupt(f"the record of {record.point}", f"it does not tell where {error} is") from None
    if len(pairs) != len(shapes):
        raise corrupt(f"the record of {record.point}", "it does not tell where every table is")
    return pairs
