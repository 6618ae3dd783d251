"""What a run is going to change and what that costs; and whether it may: pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from shared.errors import RemovalNotAllowed
from shared.ingestion.economy import BATCH_TEXTS
from shared.ports import Differences, PlanCounts, TextCosts

DRIFT = 0.5
"""Share of pages that may be new, changed or gone before the frozen statistics are made anew."""
FEWEST_REMOVED = 5
"""Fewer pages may go, as long as half of the site stays: in a small site one page is a large share."""
CHARACTERS_A_TOKEN = 4
NAMED = 5
"""Pages that an error names."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run changes: the addresses of pages against what readers see now, and the counts."""

    run: str
    counts: PlanCounts
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def lines(self, most: int) -> list[str]:
        """The plan in words, with at most ``most`` addresses of each kind."""
        kinds = (("added", "+", self.added), ("changed", "~", self.changed), ("removed", "-", self.removed))
        found = []
        for name, mark, urls in kinds:
            found.append(f"{len(urls)} {name}")
            found += [f"  {mark} {url}" for url in urls[:most]]
            found += [f"  {mark} and {len(urls) - most} more"] if len(urls) > most else []
        counts = self.counts
        found.append(f"{counts.unchanged} unchanged")
        if counts.rebuilds:
            found.append(f"A new generation is built, because {counts.rebuilds}.")
        found.append(
            f"{counts.texts} texts to embed in {counts.calls} calls, about {counts.tokens} tokens, "
            f"{counts.usd:.4f} USD; {counts.reused} vectors are there already"
        )
        return found


def drift(found: Differences) -> float:
    """The share of the pages there were that are new, changed or gone."""
    before = len(found.changed) + found.unchanged + len(found.removed)
    return (len(found.added) + len(found.changed) + len(found.removed)) / max(before, 1)


def check_removal(
    run: str, found: Differences, limit: float, why: str = "", *, allowed: Collection[str] = ()
) -> None:
    """Raise :class:`~shared.errors.RemovalNotAllowed` for more than ``limit`` (0..1) of the pages that there
    were, unless they are few. Those that were ``allowed`` to go do not count; ``why`` says why a new
    generation is needed, if one is.
    """
    before = len(found.changed) + found.unchanged + len(found.removed)
    removed = len(set(found.removed).difference(allowed))
    are_few = removed < FEWEST_REMOVED and removed * 2 <= before
    if are_few or removed <= limit * before:
        return
    because = f" ({why})" if why else ""
    beside = len(found.removed) - removed
    others = f" beside the {beside} that were shown before" if beside else ""
    raise RemovalNotAllowed(
        f"This ingestion would remove {removed} of {before} pages{others}{because}, more than {limit:.0%}. "
        "Nothing was changed.",
        hint="If the site really has lost them: "
        f"`lectern ingest --run {run} --allow-removal`. If not, check the place that was read.",
    )


def check_lost(run: str, lost: Collection[str], why: str, *, allowed: Collection[str] = ()) -> None:
    """Raise :class:`~shared.errors.RemovalNotAllowed` when a new generation, which is built because of
    ``why``, would lack pages that readers have and that could not be read now.
    """
    if not (missing := sorted(set(lost).difference(allowed))):
        return
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    raise RemovalNotAllowed(
        f"A new generation is built, because {why}, and {len(missing)} pages that readers have could not be "
        f"read for it: {', '.join(missing[:NAMED])}{more}. Nothing was changed.",
        hint="Run it again when they can be read: what was read is kept. To go on without them: "
        f"`lectern ingest --run {run} --allow-removal`.",
    )


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
