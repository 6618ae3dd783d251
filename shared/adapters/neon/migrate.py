"""Numbered SQL files, each applied once, under a lock, and never changed afterwards."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shared.adapters.neon.catalog import MARK
from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.pool import Pool, Transaction
from shared.errors import PreconditionFailed
from shared.resilience.deadline import Deadline

FOLDER = Path(__file__).parent / "migrations"

_LOCK = 7_243_392_118
"""Any number that nothing else in this database locks."""

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def migrate(pool: Pool, deadline: Deadline, folder: Path = FOLDER, *, restoring: bool = False) -> list[str]:
    """Apply what is missing, in order, one transaction a file; the names of what was applied.

    Several instances may call it at once. A database that is ahead of ``folder`` is left alone:
    a release works with the schema of the one after it.

    Raises :class:`~shared.errors.PreconditionFailed` when an applied file has changed since, and for a
    database that a restore has not finished, unless it is the restore (``restoring``) that asks.
    """
    if not restoring:
        _refuse_unfinished(pool, deadline)
    files = sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [file.stem for file in files if _apply(pool, deadline, file)]


def _refuse_unfinished(pool: Pool, deadline: Deadline) -> None:
    found = pool.statement(f"SELECT to_regclass('public.{MARK}') IS NOT NULL", {}, deadline, "look at it")
    if found[0][0]:
        raise PreconditionFailed(
            SERVICE,
            "open the database",
            "a restore that did not end has left it half full",
            hint="Run the restore again, or let DATABASE_URL name the right database.",
        )


def applied(pool: Pool, deadline: Deadline) -> list[str]:
    """The names of what was applied, in order; empty for a database that is new."""
    with pool.transaction(deadline, "look at the schema") as transaction:
        if not transaction.query("SELECT to_regclass('schema_migrations') IS NOT NULL")[0][0]:
            return []
        rows = transaction.query("SELECT version FROM schema_migrations ORDER BY version")
    return [str(row[0]) for row in rows]


def _apply(pool: Pool, deadline: Deadline, file: Path) -> bool:
    sql = file.read_text(encoding="utf-8")
    digest = hashlib.sha256(sql.encode()).hexdigest()
    with pool.transaction(deadline, f"migrate {file.stem}") as transaction:
        transaction.query("SELECT pg_advisory_xact_lock(:key)", key=_LOCK)
        known = _recorded(transaction, file.stem)
        if known is None:
            transaction.script(f"SET LOCAL lock_timeout = '5s';\n{sql}")
            transaction.query(
                "INSERT INTO schema_migrations (version, sha256) VALUES (:version, :digest)",
                version=file.stem,
                digest=digest,
            )
            return True
    if known != digest:
        raise PreconditionFailed(
            SERVICE,
            f"migrate {file.stem}",
            f"{file.name} changed after it was applied",
            hint="Put the file back as it was and write the change as a new migration.",
        )
    return False


def _recorded(transaction: Transaction, version: str) -> str | None:
    if not transaction.query("SELECT to_regclass('schema_migrations') IS NOT NULL")[0][0]:
        transaction.script(_LEDGER)
    rows = transaction.query("SELECT sha256 FROM schema_migrations WHERE version = :version", version=version)
    return str(rows[0][0]) if rows else None
