"""A whole database: exported in one snapshot, built again beside another one, and put in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table and the columns that COPY carries (generated ones are computed again). ``bytes_on_disk`` is for
    estimates; ``create`` makes it, without constraints.
    """

    schema: str
    name: str
    columns: tuple[str, ...]
    create: str
    bytes_on_disk: int = 0

    @property
    def label(self) -> str:
        """For messages and for choosing it: ``schema.name``."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class SequenceState:
    """What a sequence gives next: the value after ``value``, or ``value`` itself when not ``called``."""

    schema: str
    name: str
    value: int
    called: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a database is made of, but for its rows.

    ``before`` are the statements that run before the tables are made (schemas, extensions, types, sequences,
    functions), ``after`` those that run when the rows are in (constraints, indexes, views, triggers).
    ``shape`` has one line for each column, index, constraint and so on; ``fingerprint`` is its SHA-256: equal
    on two servers with the same schema, also of different versions. ``left_out`` names what is not carried.
    """

    server_version: str
    fingerprint: str
    tables: tuple[TableShape, ...]
    sequences: tuple[SequenceState, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    shape: tuple[str, ...]
    extensions: tuple[str, ...] = ()
    large_objects: int = 0
    left_out: tuple[str, ...] = ()


class Rows(Protocol):
    """Tables that can be copied out."""

    def catalog(self, deadline: Deadline) -> Catalog:
        """What is there."""
        ...

    def copy_out(self, table: TableShape, write: Callable[[bytes], object], deadline: Deadline) -> int:
        """Hand a table's rows over in blocks, as COPY text with UTC, ISO dates and exact numbers; how many
        rows. The same rows in the same order give the same bytes on every server.
        """
        ...


class Snapshot(Rows, Protocol):
    """The database at one moment. As many calls at a time as it was opened with connections."""

    @property
    def taken_at(self) -> datetime:
        """The moment, by the database's clock, in UTC."""
        ...

    def ledger_version(self, deadline: Deadline) -> int:
        """The version of the ledger at that moment; 0 in a database without one."""
        ...

    def size(self, deadline: Deadline) -> int:
        """Bytes that the tables take on the server's disk."""
        ...


class DatabaseExport(Protocol):
    """Reads a whole database. Errors: ``Unreachable``, ``TimedOut``, ``Overloaded``, ``AccessDenied``,
    ``Missing``; ``Rejected`` for an address that leads through a pooler.
    """

    def snapshot(self, deadline: Deadline, *, connections: int = 1) -> AbstractContextManager[Snapshot]:
        """Hold one moment for as long as the context lasts."""
        ...


class Building(Rows, Protocol):
    """A database being built: invisible under the target's name until it is put in its place."""

    @property
    def url(self) -> str:
        """Its own address, for what has to be done to it before it takes its place."""
        ...

    def copy_in(self, table: TableShape, blocks: Iterable[bytes], deadline: Deadline) -> int:
        """Fill a table with what :meth:`Rows.copy_out` gave, cut anywhere; how many rows."""
        ...

    def complete(self, catalog: Catalog, deadline: Deadline, step: Callable[[int, int], object]) -> None:
        """Constraints, indexes and sequences; ``step`` is told how many of how many are done."""
        ...

    @property
    def skipped(self) -> Sequence[str]:
        """Extensions that this server does not have, and why."""
        ...

    def put_in_place(self, deadline: Deadline, *, keep_as: str) -> str:
        """Take the target's name at one stroke. The database that had it is kept under the name that is
        returned, which ends in ``keep_as``. One without rows that are anybody's is dropped, and the name is
        empty: that is looked at when nobody writes to it any more.
        """
        ...


class DatabaseImport(Protocol):
    """Writes a whole database. Same errors as :class:`DatabaseExport`."""

    def alone(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Keep other restores into this database away, which need not exist; whoever is killed lets go.

        Raises PreconditionFailed, naming since when another one runs.
        """
        ...

    def filled(self, deadline: Deadline) -> list[str]:
        """Tables of the target that hold rows which are nobody's bookkeeping; empty for a fresh database."""
        ...

    def build(self, catalog: Catalog, mark: str, deadline: Deadline) -> AbstractContextManager[Building]:
        """Make the empty tables of ``catalog`` in a new database beside the target, marked as unfinished with
        the text ``mark``. One that was left unfinished before is dropped. With an exception the new one is
        dropped.
        """
        ...

    def replace_table(
        self,
        table: TableShape,
        blocks: Iterable[bytes],
        sequences: Iterable[SequenceState],
        deadline: Deadline,
        *,
        replace: bool,
    ) -> int:
        """Put these rows in the place of a table's rows, in one transaction; how many rows. Of ``sequences``
        those that number the table's rows go on after them, and never back.

        Raises PreconditionFailed when it has rows and not ``replace``, or when other tables refer to rows
        that would be gone.
        """
        ...
