"""Makes the suggestions anew at the end of an ingestion: in Postgres, and in the bucket for outages."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.answering.suggestions import OBJECT
from shared.errors import LecternError, Missing
from shared.ingestion.report import Report
from shared.ingestion.suggestions import Suggester
from shared.resilience.deadline import Deadline
from shared.wiring.parts import Parts

SECONDS = 300.0
PAGES_AT_ONCE = 500
_NOT_MADE = "the suggestions were not made"


def suggest(parts: Parts, report: Report, warn: Callable[[str], object] = lambda _line: None) -> int:
    """Make the suggestions of what a run left live; how many sets there are, 0 when nothing had changed.
    Raises nothing: what did not work is told to ``warn``, and readers keep the suggestions from before.
    """
    deadline = Deadline.after(SECONDS)
    try:
        changed = report.added or report.changed or report.removed
        if not changed and _are_there(parts, report.generation, deadline):
            return 0
    except LecternError as error:
        warn(f"{_NOT_MADE}: {error}")
        return 0
    return renew(parts, report.generation, warn)


def _are_there(parts: Parts, generation: str, deadline: Deadline) -> bool:
    if not parts.suggestions.exist(generation, deadline):
        return False
    try:
        return not parts.settings.storage_bucket or parts.object_store.stat(OBJECT, deadline).size > 0
    except Missing:
        return False


def renew(parts: Parts, generation: str, warn: Callable[[str], object]) -> int:
    """Make the suggestions of a generation, whatever there is already; otherwise as :func:`suggest`."""
    try:
        return _suggest(parts, generation, Deadline.after(SECONDS))
    except LecternError as error:
        warn(f"{_NOT_MADE}: {error}")
        return 0


def _suggest(parts: Parts, generation: str, deadline: Deadline) -> int:
    made, after = Suggester(), ""
    while pages := parts.suggestions.outlines(generation, after, PAGES_AT_ONCE, deadline):
        for page in pages:
            made.add(page)
        after = pages[-1].url
    sets = made.sets()
    parts.suggestions.replace(generation, sets, deadline)
    if parts.settings.storage_bucket:
        parts.object_store.put(OBJECT, msgspec.json.encode(sets), deadline)
    return len(sets)
