"""A database's rows through COPY, all in one snapshot: see :class:`shared.ports.database.DatabaseExport`."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from shared.adapters.neon.catalog import read_catalog
from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.adapters.neon.wire import Rows, Wire
from shared.errors import PreconditionFailed, Rejected
from shared.ports.database import Catalog, Snapshot, TableShape
from shared.resilience.deadline import Deadline
from shared.sql import copy_target, full_name

OPERATION = "export"
MOST_SKEW_SECONDS = 300.0
_LOCK_SECONDS = 30

# One text for one value, on every server: what is digested must not depend on anybody's settings. Row
# security raises an error instead of leaving rows out.
STABLE = """
SET LOCAL search_path = pg_catalog; SET LOCAL client_encoding = 'UTF8'; SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL extra_float_digits = 3;
SET LOCAL bytea_output = 'hex'; SET LOCAL statement_timeout = 0; SET LOCAL row_security = off;
SET LOCAL synchronize_seqscans = off; SET LOCAL idle_in_transaction_session_timeout = 0
"""
_BEGIN = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {STABLE}"


class NeonExport:
    """Implements :class:`~shared.ports.database.DatabaseExport`.

    ``clock`` gives Unix seconds; an export is refused when it and the database's differ by more than
    :data:`MOST_SKEW_SECONDS`, because points are ordered and removed by time.
    """

    def __init__(
        self, url: DatabaseUrl | str, name: str = "DATABASE_URL", clock: Callable[[], float] = time.time
    ) -> None:
        self._url = parse(url, name) if isinstance(url, str) else url
        self._name = name
        self._clock = clock

    @contextmanager
    def snapshot(self, deadline: Deadline, *, connections: int = 1) -> Iterator[Snapshot]:
        refuse_pooler(self._url, self._name, OPERATION)
        with ExitStack() as open_wires:
            first = _connected(self._url, deadline, open_wires)
            first.script(_BEGIN, deadline, OPERATION)
            taken_at = self._now(first, deadline)
            _lock(first, deadline)
            wires = [first]
            if connections > 1:
                shared = str(first.script("SELECT pg_export_snapshot()", deadline, OPERATION)[0][0])
                joined = f"{_BEGIN}; SET TRANSACTION SNAPSHOT '{shared}'"
                for _ in range(connections - 1):
                    wires.append(_connected(self._url, deadline, open_wires))
                    wires[-1].script(joined, deadline, OPERATION)
            yield _Moment(wires, taken_at)

    def _now(self, wire: Wire, deadline: Deadline) -> datetime:
        seconds = float(wire.script("SELECT extract(epoch FROM now())", deadline, OPERATION)[0][0])
        skew = self._clock() - seconds
        if abs(skew) > MOST_SKEW_SECONDS:
            side = "ahead of" if skew > 0 else "behind"
            raise PreconditionFailed(
                SERVICE,
                OPERATION,
                f"this machine's clock is {abs(skew):.0f} s {side} the database's",
                hint="Set the clock right: recovery points are ordered and removed by time.",
            )
        return datetime.fromtimestamp(seconds, UTC)


def refuse_pooler(url: DatabaseUrl, name: str, operation: str) -> None:
    """A pooler gives each statement another session: there is no snapshot to hold."""
    if url.is_pooled:
        raise Rejected(
            SERVICE,
            operation,
            f"{name} leads through the pooler {url.host}, which cannot hold a snapshot",
            hint=f"Use the direct host {url.direct_host}, for example in DATABASE_DIRECT_URL.",
        )


class _Moment:
    """Implements :class:`~shared.ports.database.Snapshot` over connections that share one."""

    def __init__(self, wires: list[Wire], taken_at: datetime) -> None:
        self._free: queue.SimpleQueue[Wire] = queue.SimpleQueue()
        for wire in wires:
            self._free.put(wire)
        self._taken_at = taken_at

    @property
    def taken_at(self) -> datetime:
        return self._taken_at

    def catalog(self, deadline: Deadline) -> Catalog:
        return read_catalog(lambda sql: self._ask(sql, deadline))

    def ledger_version(self, deadline: Deadline) -> int:
        known = self._ask("SELECT to_regclass('public.ledger_version') IS NOT NULL", deadline)[0][0]
        rows = self._ask("SELECT max(version) FROM public.ledger_version", deadline) if known else [[None]]
        return int(rows[0][0] or 0)

    def size(self, deadline: Deadline) -> int:
        return int(self._ask(_SIZE, deadline)[0][0])

    def copy_out(self, table: TableShape, write: Callable[[bytes], object], deadline: Deadline) -> int:
        with self._wire() as wire:
            return copy_out(wire, table, write, deadline)

    def _ask(self, sql: str, deadline: Deadline) -> Rows:
        with self._wire() as wire:
            return wire.script(sql, deadline, OPERATION)

    @contextmanager
    def _wire(self) -> Iterator[Wire]:
        wire = self._free.get()
        try:
            yield wire
        finally:
            self._free.put(wire)


_SIZE = """
SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


def copy_out(wire: Wire, table: TableShape, write: Callable[[bytes], object], deadline: Deadline) -> int:
    """A table's rows; the transaction must have been opened with :data:`STABLE`."""
    sql = f"COPY {copy_target(table)} TO STDOUT"
    return wire.copy_out(sql, write, deadline, f"copy {table.label}")


def _connected(url: DatabaseUrl, deadline: Deadline, open_wires: ExitStack) -> Wire:
    wire = Wire(url, deadline)
    open_wires.callback(wire.close)
    return wire


def _lock(wire: Wire, deadline: Deadline) -> None:
    """Nobody drops, alters or truncates a table while it is read: snapshots do not protect from that."""
    tables = wire.script(_TABLES, deadline, OPERATION)
    if tables:
        names = ", ".join(full_name(*row) for row in tables)
        locked = f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'; LOCK TABLE {names} IN ACCESS SHARE MODE"
        wire.script(locked, deadline, OPERATION)


_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
