"""What a database is made of, read from its catalog, and the statements that make it again.

Everything is read with an empty search path, so that Postgres itself writes names in full, and without what
differs between versions 15 and 18. What these statements cannot make again is named, never dropped in
silence; the fingerprint says whether the result is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from shared.adapters.neon.wire import Rows
from shared.ports.database import Catalog, SequenceState, TableShape
from shared.sql import full_name

MARK = "lectern_restore"
"""The table that marks a database which is being restored."""

Ask = Callable[[str], Rows]

# Relations of our own: neither Postgres's nor an extension's.
_OURS = """
our_schemas AS (
    SELECT n.oid, n.nspname FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
), ours AS (
    SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition
    FROM pg_class c JOIN our_schemas n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND c.relname <> 'lectern_restore' AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), routines AS (
    SELECT p.oid, n.nspname, p.proname, p.prokind, pg_get_function_identity_arguments(p.oid) AS arguments
    FROM pg_proc p JOIN our_schemas n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
)
"""

_COLUMNS = """
counters AS (
    SELECT seqrelid AS oid, seqtypid, concat_ws(' ', 'START', seqstart, 'INCREMENT', seqincrement,
        'MINVALUE', seqmin, 'MAXVALUE', seqmax, 'CACHE', seqcache,
        CASE WHEN seqcycle THEN 'CYCLE' END) AS options
    FROM pg_sequence
), columns AS (
    SELECT o.oid, o.nspname, o.relname, a.attnum, a.attname, a.attgenerated,
        concat_ws(' ',
            format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
            CASE WHEN a.attcollation <> t.typcollation
                THEN format('COLLATE %I.%I', l.nspname, k.collname) END,
            CASE
                WHEN a.attgenerated <> '' THEN format('GENERATED ALWAYS AS (%s) %s',
                    pg_get_expr(d.adbin, d.adrelid),
                    CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END)
                WHEN a.attidentity <> '' THEN format('GENERATED %s AS IDENTITY (SEQUENCE NAME %s %s)',
                    CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, i.name, i.options)
                WHEN d.oid IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)
            END,
            CASE WHEN a.attnotnull THEN 'NOT NULL' END) AS definition
    FROM ours o
    JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation k ON k.oid = a.attcollation
    LEFT JOIN pg_namespace l ON l.oid = k.collnamespace
    LEFT JOIN LATERAL (
        SELECT format('%I.%I', n.nspname, c.relname) AS name, s.options
        FROM pg_depend e
        JOIN pg_class c ON c.oid = e.objid AND c.relkind = 'S'
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN counters s ON s.oid = c.oid
        WHERE e.classid = 'pg_class'::regclass AND e.refclassid = 'pg_class'::regclass
            AND e.refobjid = a.attrelid AND e.refobjsubid = a.attnum AND e.deptype = 'i'
    ) i ON a.attidentity <> ''
    WHERE o.relkind IN ('r', 'p')
)
"""

_TABLES = f"""
WITH {_OURS}, {_COLUMNS}
SELECT o.nspname, o.relname, pg_table_size(o.oid),
    coalesce((SELECT array_agg(c.attname::text ORDER BY c.attnum) FROM columns c
              WHERE c.oid = o.oid AND c.attgenerated = ''), '{{}}'),
    format(E'CREATE%s TABLE %I.%I (\\n    %s\\n)%s',
        CASE o.relpersistence WHEN 'u' THEN ' UNLOGGED' ELSE '' END, o.nspname, o.relname,
        (SELECT string_agg(c.definition, E',\\n    ' ORDER BY c.attnum) FROM columns c WHERE c.oid = o.oid),
        (SELECT format(' WITH (%s)', array_to_string(r.reloptions, ', '))
         FROM pg_class r WHERE r.oid = o.oid AND r.reloptions IS NOT NULL))
FROM ours o WHERE o.relkind = 'r' ORDER BY o.nspname, o.relname
"""  # noqa: S608 - put together from constants

_SEQUENCES = f"""
WITH {_OURS}
SELECT nspname, relname FROM ours WHERE relkind = 'S' ORDER BY nspname, relname
"""  # noqa: S608

_BEFORE = f"""
WITH {_OURS}, {_COLUMNS}
SELECT statement FROM (
    SELECT 1 AS turn, nspname AS name, format('CREATE SCHEMA IF NOT EXISTS %I', nspname) AS statement
    FROM our_schemas WHERE nspname <> 'public'
    UNION ALL
    SELECT 2, extname, format('CREATE EXTENSION IF NOT EXISTS %I', extname)
    FROM pg_extension WHERE extname <> 'plpgsql'
    UNION ALL
    SELECT 3, format('%I.%I', n.nspname, t.typname), format('CREATE TYPE %I.%I AS ENUM (%s)',
        n.nspname, t.typname,
        (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
         FROM pg_enum e WHERE e.enumtypid = t.oid))
    FROM pg_type t JOIN our_schemas n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 4, format('%I.%I', o.nspname, o.relname), format('CREATE SEQUENCE %I.%I AS %s %s',
        o.nspname, o.relname, format_type(s.seqtypid, NULL), s.options)
    FROM ours o JOIN counters s ON s.oid = o.oid
    WHERE NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = o.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 5, format('%I.%I(%s)', nspname, proname, arguments), rtrim(pg_get_functiondef(oid), E'\\n')
    FROM routines WHERE prokind IN ('f', 'p')
) made ORDER BY turn, name COLLATE "C"
"""  # noqa: S608

_AFTER = f"""
WITH {_OURS}
SELECT statement FROM (
    SELECT CASE k.contype WHEN 'f' THEN 3 ELSE 1 END AS turn,
        format('%I.%I %I', o.nspname, o.relname, k.conname) AS name,
        format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', o.nspname, o.relname, k.conname,
            pg_get_constraintdef(k.oid)) AS statement
    FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
    WHERE o.relkind = 'r' AND k.contype IN ('p', 'u', 'x', 'c', 'f')
    UNION ALL
    SELECT 2, pg_get_indexdef(i.indexrelid), pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN ours o ON o.oid = i.indrelid
    WHERE o.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid
        AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 4, format('%I.%I', s.nspname, s.relname), format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I',
        s.nspname, s.relname, t.nspname, t.relname, a.attname)
    FROM pg_depend d
    JOIN ours s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN ours t ON t.oid = d.refobjid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'
    UNION ALL
    SELECT 5, to_char(oid::bigint, 'FM0000000000'), format('CREATE VIEW %I.%I AS %s', nspname, relname,
        rtrim(pg_get_viewdef(oid), ';'))
    FROM ours WHERE relkind = 'v'
    UNION ALL
    SELECT 6, t.tgname, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid WHERE NOT t.tgisinternal
) made ORDER BY turn, name COLLATE "C"
"""  # noqa: S608

_LEFT_OUT = f"""
WITH {_OURS}
SELECT what FROM (
    SELECT format('%s %I.%I', CASE relkind WHEN 'p' THEN 'partitioned table' WHEN 'm' THEN 'materialized view'
        ELSE 'foreign table' END, nspname, relname) AS what
    FROM ours WHERE relkind IN ('p', 'm', 'f')
    UNION ALL
    SELECT format('partition %I.%I (becomes a table of its own)', nspname, relname)
    FROM ours WHERE relkind = 'r' AND relispartition
    UNION ALL
    SELECT format('inheritance of %I.%I', o.nspname, o.relname)
    FROM ours o JOIN pg_inherits i ON i.inhrelid = o.oid WHERE o.relkind = 'r' AND NOT o.relispartition
    UNION ALL
    SELECT format('aggregate or window function %I.%I', nspname, proname)
    FROM routines WHERE prokind IN ('a', 'w')
    UNION ALL
    SELECT format('%s %I.%I',
        CASE t.typtype WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type' ELSE 'type' END,
        n.nspname, t.typname)
    FROM pg_type t JOIN our_schemas n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('d', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')) AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT format('policy %I on %I.%I', p.polname, o.nspname, o.relname)
    FROM pg_policy p JOIN ours o ON o.oid = p.polrelid
    UNION ALL
    SELECT format('rule %I on %I.%I', r.rulename, o.nspname, o.relname)
    FROM pg_rewrite r JOIN ours o ON o.oid = r.ev_class WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT format('statistics %I', s.stxname)
    FROM pg_statistic_ext s JOIN our_schemas n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT format('event trigger %I', evtname) FROM pg_event_trigger
) found ORDER BY what COLLATE "C"
"""  # noqa: S608

# A view counts by its columns: versions 15 and 16 write the same query in different words.
_SHAPE = f"""
WITH {_OURS}, {_COLUMNS}
SELECT line FROM (
    SELECT format('column %I.%I %s', nspname, relname, definition) AS line FROM columns
    UNION ALL
    SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN ours o ON o.oid = i.indrelid
    UNION ALL
    SELECT format('constraint %I.%I %I %s', o.nspname, o.relname, k.conname, pg_get_constraintdef(k.oid))
    FROM pg_constraint k JOIN ours o ON o.oid = k.conrelid
    WHERE k.contype IN ('p', 'u', 'x', 'c', 'f')
    UNION ALL
    SELECT format('view %I.%I %s', o.nspname, o.relname, (
        SELECT string_agg(
            format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0))
    FROM ours o WHERE o.relkind = 'v'
    UNION ALL
    SELECT 'trigger ' || pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN ours o ON o.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'function ' || pg_get_functiondef(oid) FROM routines WHERE prokind IN ('f', 'p')
    UNION ALL
    SELECT format('sequence %I.%I', nspname, relname) FROM ours WHERE relkind = 'S'
) lines ORDER BY line COLLATE "C"
"""  # noqa: S608

_EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY extname"
_LARGE_OBJECTS = "SELECT count(*) FROM pg_largeobject_metadata"


def read_catalog(ask: Ask) -> Catalog:
    """The catalog, as ``ask`` answers; the search path must be ``pg_catalog`` alone."""
    shape = tuple(str(row[0]) for row in ask(_SHAPE))
    return Catalog(
        server_version=str(ask("SHOW server_version")[0][0]).split()[0],
        fingerprint=hashlib.sha256("\n".join(shape).encode()).hexdigest(),
        tables=tuple(_table(*row) for row in ask(_TABLES)),
        sequences=tuple(_sequence(ask, *row) for row in ask(_SEQUENCES)),
        before=tuple(str(row[0]) for row in ask(_BEFORE)),
        after=tuple(str(row[0]) for row in ask(_AFTER)),
        shape=shape,
        extensions=tuple(str(row[0]) for row in ask(_EXTENSIONS)),
        large_objects=int(ask(_LARGE_OBJECTS)[0][0]),
        left_out=tuple(str(row[0]) for row in ask(_LEFT_OUT)),
    )


def _table(schema: str, name: str, size: int, columns: list[str], create: str) -> TableShape:
    return TableShape(schema, name, tuple(columns), create, int(size))


def _sequence(ask: Ask, schema: str, name: str) -> SequenceState:
    rows = ask(f"SELECT last_value, is_called FROM {full_name(schema, name)}")  # noqa: S608 - quoted
    return SequenceState(schema, name, int(rows[0][0]), bool(rows[0][1]))
