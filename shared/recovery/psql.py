"""What psql alone restores the database part of a recovery point with: a script, and files of rows."""

from __future__ import annotations

from collections.abc import Callable

from shared.ports.database import Catalog, TableShape
from shared.sql import copy_target, set_sequence

_HEAD = r"""-- Restores the database part of a recovery point into an empty database, all or nothing:
--   psql -X -v ON_ERROR_STOP=1 -f restore.sql "$DATABASE_URL"
-- Run it in the folder that holds this file and the folder `tables`.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL check_function_bodies = off;
SET LOCAL statement_timeout = 0;
SET LOCAL intervalstyle = 'postgres';
SET LOCAL datestyle = 'ISO, MDY';
"""


def restore_script(catalog: Catalog, source: Callable[[TableShape], str]) -> bytes:
    r"""The script. ``source`` says where the rows of a table come from, as psql's ``\copy … from`` wants it:
    ``'file'`` or ``program 'command'``.
    """
    copies = [rf"\copy {copy_target(table)} from {source(table)}" for table in catalog.tables]
    before = [*catalog.before, *(table.create for table in catalog.tables)]
    after = [*catalog.after, *(set_sequence(sequence) for sequence in catalog.sequences)]
    parts = [_HEAD, _ended(before), "\n".join(copies), "\n", _ended(after), "COMMIT;\nANALYZE;\n"]
    return "".join(parts).encode()


def _ended(statements: list[str]) -> str:
    return "".join(f"{statement};\n" for statement in statements)
