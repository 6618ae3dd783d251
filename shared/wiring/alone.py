"""Who must stay away while a restore works: other restores, ingestion, backups."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from shared.errors import DependencyError, Missing, PreconditionFailed
from shared.ports.database import DatabaseImport
from shared.resilience.deadline import Deadline
from shared.wiring.parts import Parts

WAIT_SECONDS = 900.0
"""How long a restore waits for an ingestion or a backup to end."""
_NO_TABLE = "[42P01]"
"""SQLSTATE undefined_table: a database that nobody has used yet."""


def never_used(error: DependencyError) -> bool:
    """Whether there is no database yet, or one without tables."""
    return isinstance(error, Missing) or _NO_TABLE in error.detail


@contextmanager
def alone(
    parts: Parts, database: DatabaseImport, point: str, deadline: Deadline, say: Callable[[str], object]
) -> Iterator[None]:
    """Keep others away, where there is a database server that can say so.

    ``database`` is that of ``parts``. Raises PreconditionFailed while another restore runs, and when an
    ingestion or a backup does not end in time.
    """
    with ExitStack() as stack:
        try:
            # Of the server, not of the database: that may be new, and is another one after the restore.
            stack.enter_context(database.alone(deadline))
        except PreconditionFailed:
            raise
        except DependencyError:
            pass  # the lease tells why
        try:
            holder = f"restore {point} ({secrets.token_hex(4)})"  # of the same name they would go together
            lease = parts.leases.hold("ingestion", holder, deadline, wait_seconds=WAIT_SECONDS, waiting=say)
            stack.enter_context(lease)
        except PreconditionFailed:
            raise
        except DependencyError as error:
            if not never_used(error):
                say(f"nobody is kept away, the database that is there cannot be asked: {error.message}")
        yield
