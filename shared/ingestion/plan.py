"""What a run is going to change and what that costs; and whether it may: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import LecternError
from shared.ingestion.economy import BATCH_TEXTS
from shared.ports import Differences, PlanCounts, TextCosts

DRIFT = 0.5
"""Share of pages that may be new, changed or gone before the frozen statistics are made anew."""
FEWEST_REMOVED = 5
"""So many pages may always go: in a small site one page is a large share."""
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run changes: the addresses of pages against what readers see now, and the counts."""

    run: str
    counts: PlanCounts
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class RemovalNotAllowed(LecternError):
    """A run that would remove more pages than it may without being told to. Nothing was changed."""

    code = "removal_not_allowed"
    status = 409

    def __init__(self, run: str, removed: int, before: int, limit: float) -> None:
        super().__init__(
            f"This ingestion would remove {removed} of {before} pages, more than {limit:.0%}. "
            "Nothing was changed.",
            hint="If the site really has lost them: "
            f"`lectern ingest --run {run} --allow-removal`. If not, check the place that was read.",
        )


def drift(found: Differences) -> float:
    """The share of the pages there were that are new, changed or gone."""
    before = len(found.changed) + found.unchanged + len(found.removed)
    return (len(found.added) + len(found.changed) + len(found.removed)) / max(before, 1)


def check_removal(run: str, found: Differences, limit: float, *, allowed: bool) -> None:
    """Raise :class:`RemovalNotAllowed` for more than ``limit`` (0..1) of the pages that there were."""
    before = len(found.changed) + found.unchanged + len(found.removed)
    removed = len(found.removed)
    if not allowed and removed >= FEWEST_REMOVED and removed > limit * before:
        raise RemovalNotAllowed(run, removed, before, limit)


def counts_of(found: Differences, costs: TextCosts, *, usd_per_million: float, rebuilds: str) -> PlanCounts:
    """The counts of a plan. Tokens are estimated: a fourth of the characters."""
    tokens = math.ceil(costs.characters / CHARACTERS_A_TOKEN)
    return PlanCounts(
        added=len(found.added),
        changed=len(found.changed),
        removed=len(found.removed),
        unchanged=found.unchanged,
        texts=sum(costs.by_task.values()),
        reused=costs.reused,
        calls=calls(costs.by_task),
        tokens=tokens,
        usd=round(tokens * usd_per_million / 1_000_000, 6),
        rebuilds=rebuilds,
    )


def calls(by_task: Mapping[int, int]) -> int:
    """Calls to the embedding model: each task fills its own batches."""
    return sum(math.ceil(texts / BATCH_TEXTS) for texts in by_task.values())
