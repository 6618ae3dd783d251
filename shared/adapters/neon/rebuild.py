"""A database built again beside the one that is there, and put in its place at one stroke.

It grows under a name of its own (`<target>_restoring`), so nothing that asks for the target can meet half of
it. A comment on the database tells a later run that it may drop what a killed one left; the table
`lectern_restore` inside tells whoever opens it by hand. Renaming both databases is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from urllib.parse import quote, urlsplit

from shared.adapters.neon import databases
from shared.adapters.neon.catalog import MARK, read_catalog
from shared.adapters.neon.copy import STABLE, copy_out, refuse_pooler
from shared.adapters.neon.replacing import replace_rows
from shared.adapters.neon.url import parse
from shared.adapters.neon.wire import Wire
from shared.errors import DependencyError, Missing
from shared.ports.database import Building, Catalog, SequenceState, TableShape
from shared.resilience.deadline import Deadline
from shared.sql import copy_target, full_name, literal, set_sequence

OPERATION = "restore"
BOOKKEEPING = frozenset({"schema_migrations", "cache_epoch", "ledger_version", "leases", "rate_limits", MARK})
"""Tables of the public schema that a database has rows in before anybody used it."""

_SHORT = 5.0
_SETTINGS = (
    "SET statement_timeout = 0; SET check_function_bodies = off; SET synchronous_commit = off; "
    "SET maintenance_work_mem = '128MB'; SET client_min_messages = warning"
)


_Connect = Callable[[str, Deadline], AbstractContextManager[Wire]]
"""A connection to another database of the same server."""


class NeonImport:
    """Implements :class:`~shared.ports.database.DatabaseImport` for the database at ``address``, which need
    not exist; ``name`` is the setting it came from.
    """

    def __init__(self, address: str, name: str = "DATABASE_URL") -> None:
        self._address = address
        self._url = parse(address, name)
        self._name = name

    @contextmanager
    def alone(self, deadline: Deadline) -> Iterator[None]:
        refuse_pooler(self._url, self._name, OPERATION)
        with self._connected(self._outside, deadline) as outside:
            databases.claim_run(outside, self._url.database, deadline)
            yield

    def filled(self, deadline: Deadline) -> list[str]:
        refuse_pooler(self._url, self._name, OPERATION)
        try:
            with self._connected(self._url.database, deadline) as wire:
                return _filled(wire, deadline)
        except Missing:
            return []

    @contextmanager
    def build(self, catalog: Catalog, mark: str, deadline: Deadline) -> Iterator[Building]:
        refuse_pooler(self._url, self._name, OPERATION)
        name = databases.shortened(self._url.database, "_restoring")
        with self._connected(self._outside, deadline) as outside:
            databases.claim(outside, name, deadline)
            databases.drop_leftover(outside, name, deadline)
            databases.create(outside, name, self._url.database, mark, deadline)
            with self._connected(name, deadline) as inside:
                url = self._with_database(name)
                building = _Building(outside, inside, url, self._url.database, self._connected)
                try:
                    building.begin(catalog, mark, deadline)
                    yield building
                finally:
                    building.clear()

    def replace_table(
        self,
        table: TableShape,
        blocks: Iterable[bytes],
        sequences: Iterable[SequenceState],
        deadline: Deadline,
        *,
        replace: bool,
    ) -> int:
        refuse_pooler(self._url, self._name, OPERATION)
        with self._connected(self._url.database, deadline) as wire:
            wire.script(f"BEGIN; {STABLE}", deadline, OPERATION)
            rows = replace_rows(wire, table, blocks, sequences, deadline, replace=replace)
            wire.script("COMMIT", deadline, OPERATION)
            return rows

    @property
    def _outside(self) -> str:
        """A database to stand in while the target is renamed."""
        return "template1" if self._url.database == "postgres" else "postgres"

    @contextmanager
    def _connected(self, database: str, deadline: Deadline) -> Iterator[Wire]:
        wire = Wire(replace(self._url, database=database), deadline)
        try:
            yield wire
        finally:
            wire.close()

    def _with_database(self, name: str) -> str:
        return urlsplit(self._address)._replace(path=f"/{quote(name, safe='')}").geturl()


class _Building:
    """Implements :class:`~shared.ports.database.Building`."""

    def __init__(self, outside: Wire, inside: Wire, url: str, target: str, connect: _Connect) -> None:
        self._connect = connect
        self._outside = outside
        self._inside = inside
        self._url = url
        self._name = parse(url).database
        self._target = target
        self._placed = False
        self.skipped: list[str] = []

    @property
    def url(self) -> str:
        return self._url

    def begin(self, catalog: Catalog, mark: str, deadline: Deadline) -> None:
        """The mark, and everything that tables are made of."""
        self._run(_SETTINGS, deadline)
        made = f"CREATE TABLE public.{MARK} AS SELECT {literal(mark)} AS what, now() AS started_at"
        self._run(made, deadline)
        for statement in catalog.before:
            try:
                self._run(statement, deadline)
            except DependencyError as error:
                if not statement.startswith("CREATE EXTENSION"):
                    raise
                self.skipped.append(f"{statement}: {error.detail}")

    def catalog(self, deadline: Deadline) -> Catalog:
        self._run(f"BEGIN READ ONLY; {STABLE}", deadline)
        found = read_catalog(lambda sql: self._inside.script(sql, deadline, OPERATION))
        self._run("COMMIT", deadline)
        return found

    def copy_out(self, table: TableShape, write: Callable[[bytes], object], deadline: Deadline) -> int:
        self._run(f"BEGIN READ ONLY; {STABLE}", deadline)
        rows = copy_out(self._inside, table, write, deadline)
        self._run("COMMIT", deadline)
        return rows

    def copy_in(self, table: TableShape, blocks: Iterable[bytes], deadline: Deadline) -> int:
        # Made and filled in one transaction: rows are frozen at once, and a small server logs none of them.
        self._run(f"BEGIN; {STABLE}; {table.create}", deadline)
        sql = f"COPY {copy_target(table)} FROM STDIN WITH (FREEZE)"
        rows = self._inside.copy_in(sql, blocks, deadline, f"fill {table.label}")
        self._run("COMMIT", deadline)
        return rows

    def complete(self, catalog: Catalog, deadline: Deadline, step: Callable[[int, int], object]) -> None:
        sequences = [set_sequence(sequence) for sequence in catalog.sequences]
        statements = [*catalog.after, *sequences, "ANALYZE"]
        for done, statement in enumerate(statements, 1):
            self._run(statement, deadline)
            step(done, len(statements))

    def put_in_place(self, deadline: Deadline, *, keep_as: str) -> str:
        if self._has_leases(deadline):  # whoever held one, held it of the database as it was
            self._run("DELETE FROM public.leases", deadline)
        self._run(f"DROP TABLE public.{MARK}", deadline)
        self._inside.close()
        kept = databases.free_name(self._outside, self._target, keep_as.lower(), deadline)
        moved = databases.take_name(self._outside, self._name, self._target, kept, deadline)
        self._placed = True
        # Under its new name nobody finds it: what readers wrote until just now is in it, and nothing follows.
        if not moved or self._filled(kept, deadline):
            return kept if moved else ""
        databases.drop(self._outside, kept, deadline)
        return ""

    def clear(self) -> None:
        """Drop what did not take its place; the next run does it when this one cannot."""
        self._inside.close()
        if not self._placed:
            with suppress(DependencyError):
                databases.drop(self._outside, self._name, Deadline.after(_SHORT))

    def _filled(self, database: str, deadline: Deadline) -> bool:
        """Whether it holds rows, for all that can be told."""
        try:
            with self._connect(database, deadline) as wire:
                return bool(_filled(wire, deadline))
        except DependencyError:
            return True

    def _has_leases(self, deadline: Deadline) -> bool:
        sql = "SELECT to_regclass('public.leases') IS NOT NULL"
        return bool(self._inside.script(sql, deadline, OPERATION)[0][0])

    def _run(self, sql: str, deadline: Deadline) -> None:
        self._inside.script(sql, deadline, OPERATION)


def _filled(wire: Wire, deadline: Deadline) -> list[str]:
    wire.script(f"BEGIN READ ONLY; {STABLE}", deadline, OPERATION)
    tables = read_catalog(lambda sql: wire.script(sql, deadline, OPERATION)).tables
    found = []
    for table in tables:
        if table.schema == "public" and table.name in BOOKKEEPING:
            continue
        sql = f"SELECT EXISTS (SELECT FROM {full_name(table.schema, table.name)})"  # noqa: S608 - quoted
        if wire.script(sql, deadline, OPERATION)[0][0]:
            found.append(table.label)
    wire.script("COMMIT", deadline, OPERATION)
    return found
