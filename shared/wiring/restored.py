"""What readers are answered from in an outage, made again after a restore: the lifeboat and the suggestions.

Both lie in the bucket that ingestion writes them to, which may have been lost with the rest. What does not
work is told: the restore has succeeded, and the next ingestion makes them again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from shared.errors import LecternError
from shared.ingestion.applying import contents
from shared.ingestion.failover import Contents, Failover
from shared.ingestion.generations import Generations
from shared.ingestion.steps import STEP_SECONDS, Steps
from shared.recovery.progress import Meter, Watch
from shared.recovery.vectors import VectorFacts
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Chunk
from shared.retrieval.lifeboat_store import LifeboatStore
from shared.wiring.parts import Parts
from shared.wiring.suggesting import renew

Say = Callable[[str], object]


def write_lifeboat(parts: Parts, facts: VectorFacts, watch: Watch, say: Say, *, with_ledger: bool) -> None:
    """Make the lifeboat that of the restored generation, unless it is already.

    ``with_ledger``: the ledger was restored from the same point, so the lifeboat is the one that ingestion
    would write. Without, the ledger may know later pages: a lifeboat that has these stays, and another one is
    marked as the point's, so that the next ingestion writes its own.
    """
    if not facts.generation or not parts.settings.storage_bucket:
        return
    try:
        problems = _write_lifeboat(parts, facts, watch, with_ledger=with_ledger)
    except (LecternError, OSError, sqlite3.Error) as error:  # the last two: a disk that is full
        problems = (f"the lifeboat was not written: {error}",)
    for problem in problems:
        say(f"{problem}; the next ingestion tries again")


def _write_lifeboat(parts: Parts, facts: VectorFacts, watch: Watch, *, with_ledger: bool) -> tuple[str, ...]:
    boats = LifeboatStore(parts.object_store)
    of_ledger = _of_ledger(parts, facts.generation)
    if not with_ledger and of_ledger and _is(boats, facts.generation, of_ledger):
        return ()
    whole = _contents(parts, facts, of_ledger if with_ledger and of_ledger else facts.digest)
    meter = Meter("lifeboat", whole.passages, watch, unit="passages")
    counted = replace(whole, chunks=lambda: _counted(whole, meter))
    return Failover(boats=boats).settle(counted, Steps(time.monotonic))


def write_suggestions(parts: Parts, say: Say) -> None:
    """Make the suggestions of the restored ledger again: those in the bucket serve while Postgres is away."""
    if not parts.settings.storage_bucket:
        return
    try:
        known = parts.ledger.generations(Deadline.after(STEP_SECONDS))
    except LecternError as error:
        say(f"the suggestions were not made: {error}")
        return
    for one in known:
        if one.status == "live":
            renew(parts, one.id, say)


def _of_ledger(parts: Parts, generation: str) -> str:
    """The digest of what the ledger knows of the generation; empty when it knows nothing, or is away."""
    try:
        pages, _, digest = parts.chunk_ledger.totals(generation, Deadline.after(STEP_SECONDS))
    except LecternError:
        return ""
    return digest if pages else ""


def _is(boats: LifeboatStore, generation: str, content: str) -> bool:
    try:
        found = boats.pointer(Deadline.after(STEP_SECONDS))
    except LecternError:
        return False
    return (found.generation, found.content) == (generation, content)


def _contents(parts: Parts, facts: VectorFacts, content: str) -> Contents:
    read = Generations(
        parts.ledger,
        parts.chunk_ledger,
        parts.vector_admin,
        Steps(time.monotonic),
        alias=parts.settings.qdrant_alias,
        fingerprint=facts.fingerprint,
    )
    return contents(read, facts.generation, facts.points - 1, content)


def _counted(whole: Contents, meter: Meter) -> Iterator[Chunk]:
    for chunk in whole.chunks():
        yield chunk
        meter.add(1)
    meter.end()
