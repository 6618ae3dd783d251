"""One table's rows put in the place of those that are there: see
:meth:`shared.ports.database.DatabaseImport.replace_table`.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.wire import Wire
from shared.errors import DependencyError, PreconditionFailed, Rejected
from shared.ports.database import TableShape
from shared.resilience.deadline import Deadline
from shared.sql import copy_target, full_name, literal

OPERATION = "restore"


def replace_rows(
    wire: Wire, table: TableShape, blocks: Iterable[bytes], deadline: Deadline, *, replace: bool
) -> int:
    name = full_name(table.schema, table.name)
    wire.script(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE", deadline, OPERATION)
    has_rows = wire.script(f"SELECT EXISTS (SELECT FROM {name})", deadline, OPERATION)[0][0]  # noqa: S608 - quoted
    if has_rows and not replace:
        raise PreconditionFailed(
            SERVICE,
            OPERATION,
            f"{table.label} has rows",
            hint="Say --replace to put the point's in their place.",
        )
    links = wire.script(_LINKS.format(name=literal(name)), deadline, OPERATION)
    for owner, link, _ in links:
        wire.script(f"ALTER TABLE {owner} DROP CONSTRAINT {link}", deadline, OPERATION)
    wire.script(f"TRUNCATE {name}", deadline, OPERATION)
    sql = f"COPY {copy_target(table)} FROM STDIN"
    try:
        rows = wire.copy_in(sql, blocks, deadline, f"fill {table.label}")
        for owner, link, definition in links:
            wire.script(f"ALTER TABLE {owner} ADD CONSTRAINT {link} {definition}", deadline, OPERATION)
    except Rejected as error:
        raise _no_longer_fits(table, error) from error
    return rows


def _no_longer_fits(table: TableShape, error: Rejected) -> DependencyError:
    if "23503" not in error.detail:
        return error
    return PreconditionFailed(
        SERVICE,
        OPERATION,
        f"rows of {table.label} and rows of other tables would not refer to each other: {error.detail}",
        hint="Restore the other table as well, or the whole database.",
    )


_LINKS = """
SELECT format('%I.%I', n.nspname, c.relname), quote_ident(k.conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = {name}::regclass AND k.conrelid <> k.confrelid
"""
