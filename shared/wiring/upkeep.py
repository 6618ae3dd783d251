"""What is tended beside the index: the spool, deletions, and what is older than the operator keeps.

Called at the end of each ingestion and before each backup.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.answering.memory import DeletionList
from shared.answering.spool import Drained, Spool
from shared.errors import LecternError
from shared.resilience.deadline import Deadline
from shared.wiring.parts import Parts

_LISTED_DAYS = 30.0
"""How far back the bucket's list of deletions is completed from the database."""
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Tended:
    """Writes that were replayed, entries moved aside, answers pruned; ``problems`` says what did not work."""

    replayed: int = 0
    set_aside: int = 0
    pruned: int = 0
    problems: tuple[str, ...] = ()


def tend(parts: Parts, deadline: Deadline, warn: Callable[[str], object] = lambda _line: None) -> Tended:
    """Replay the spool, complete the list of deletions, prune. Raises nothing: what did not work now is done
    the next time, and is told to ``warn``.
    """
    problems: list[str] = []
    drained = drain(parts, deadline, warn)
    if drained.stopped:
        problems.append(drained.stopped)
    pruned = 0
    try:
        if parts.settings.storage_bucket:
            since = time.time() - _LISTED_DAYS * _DAY
            DeletionList(parts.object_store).complete(parts.memory, since, deadline)
        pruned = parts.memory.prune(parts.settings.conversation_retention_days, deadline)
    except LecternError as error:
        problems.append(str(error))
    for problem in problems:
        warn(problem)
    return Tended(drained.replayed, drained.bad, pruned, tuple(problems))


def drain(parts: Parts, deadline: Deadline, warn: Callable[[str], object] = lambda _line: None) -> Drained:
    """Replay the spool into Postgres."""
    if not parts.settings.storage_bucket:
        return Drained(0, 0)
    return Spool(parts.object_store).drain(
        parts.answer_log, parts.memory, deadline, lambda name, reason: warn(f"{name} was set aside: {reason}")
    )


def forget_pages(parts: Parts, urls: Sequence[str], deadline: Deadline) -> int:
    """Drop the cached answers of pages that changed or are gone; the number dropped.

    To be called after the index holds the pages' new form. Errors: those of the cache; the answers would
    then serve on until they expire, so ingestion says so.
    """
    return parts.answer_cache.forget_pages(urls, deadline)
