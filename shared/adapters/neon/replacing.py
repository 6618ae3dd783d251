"""One table's rows put in the place of those that are there: see
:meth:`shared.ports.database.DatabaseImport.replace_table`.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.wire import Wire
from shared.errors import DependencyError, PreconditionFailed, Rejected
from shared.ports.database import SequenceState, TableShape
from shared.resilience.deadline import Deadline
from shared.sql import copy_target, full_name, literal, set_sequence

OPERATION = "restore"


def replace_rows(
    wire: Wire,
    table: TableShape,
    blocks: Iterable[bytes],
    sequences: Iterable[SequenceState],
    deadline: Deadline,
    *,
    replace: bool,
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
    _count_on(wire, name, sequences, deadline)
    return rows


def _count_on(wire: Wire, name: str, sequences: Iterable[SequenceState], deadline: Deadline) -> None:
    """Let the table's sequences give what none of its rows has. They never go back: others may have been
    told of numbers that this table no longer has.
    """
    stored = {(one.schema, one.name): one for one in sequences}
    owned = wire.script(_SEQUENCES.format(name=literal(name)), deadline, OPERATION)
    for schema, sequence, increment in owned:
        wanted = stored.get((schema, sequence))
        if wanted is None:
            continue
        of = full_name(schema, sequence)
        (value, called), *_ = wire.script(f"SELECT last_value, is_called FROM {of}", deadline, OPERATION)  # noqa: S608 - quoted
        forwards = 1 if int(increment) > 0 else -1
        if (forwards * wanted.value, wanted.called) > (forwards * int(value), bool(called)):
            wire.script(set_sequence(wanted), deadline, OPERATION)


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
_SEQUENCES = """
SELECT n.nspname, c.relname, s.seqincrement
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.oid IN (
    SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND refobjid = {name}::regclass AND deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid FROM pg_depend d
    JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND d.objid = a.oid
    WHERE d.refclassid = 'pg_class'::regclass AND a.adrelid = {name}::regclass)
ORDER BY 1, 2
"""
"""Those that the table owns, of identity columns and `serial`, and those of its columns' defaults."""
