"""Which recovery points are kept, and why: a pure function of what the bucket holds.

Ages are counted from the newest point (or newest object), and from the clock only where the clock is behind
it: a clock that runs ahead, or backups that stopped, never make the last points look old.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How long recovery points are kept; a point goes when no rule keeps it. Numbers of 0 switch a rule off.

    ``days``: every point younger than that. ``last``: the newest ones. ``daily``, ``weekly``, ``monthly``:
    the newest point of each of so many UTC days, ISO weeks and months that have one. ``orphan_days``: how
    long the parts of a point without manifest may still become one.
    """

    days: float = 30.0
    last: int = 3
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    orphan_days: float = 2.0


@dataclass(frozen=True, slots=True)
class PointFacts:
    """What retention needs of a point. ``at`` is its manifest's time in Unix seconds; ``verified`` says
    whether it was read back whole, by `lectern verify` or a drill; ``hold`` why it must stay (None: no hold).
    """

    id: str
    at: float
    verified: bool = False
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """Parts without a manifest; ``updated`` is the time of the newest object in Unix seconds."""

    id: str
    updated: float
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``reasons`` say why a point is kept, each rule that keeps it, or why it goes (then there is one)."""

    id: str
    at: float
    keep: bool
    reasons: tuple[str, ...]
    orphan: bool = False


Rule = Callable[[Sequence[PointFacts]], dict[str, str]]
"""Points, newest first, to the reasons for keeping some of them."""


def decide(
    points: Sequence[PointFacts], orphans: Sequence[Orphan], policy: Policy, now: float
) -> list[Decision]:
    """A decision for each point and each orphan, newest first. ``now`` is in Unix seconds.

    Whatever the policy: points on hold stay, the newest verified point stays, and so does the newest of all.
    """
    ordered = sorted(points, key=lambda one: (one.at, one.id), reverse=True)
    reasons: dict[str, list[str]] = {one.id: [] for one in ordered}
    for rule in _rules(policy, now):
        for point_id, reason in rule(ordered).items():
            reasons[point_id].append(reason)
    decided = [_decision(one, reasons[one.id], policy) for one in ordered]
    decided += _orphans(orphans, ordered, policy, now)
    return sorted(decided, key=lambda one: (one.at, one.id), reverse=True)


def _decision(point: PointFacts, reasons: Sequence[str], policy: Policy) -> Decision:
    if reasons:
        return Decision(point.id, point.at, keep=True, reasons=tuple(reasons))
    older = f"older than {policy.days:g} days, and no other rule keeps it"
    return Decision(point.id, point.at, keep=False, reasons=(older,))


def _rules(policy: Policy, now: float) -> list[Rule]:
    return [
        lambda points: {
            one.id: f"on hold: {one.hold or 'no reason given'}" for one in points if one.hold is not None
        },
        lambda points: {one.id: "the newest point" for one in points[:1]},
        lambda points: {one.id: "the newest verified point" for one in [p for p in points if p.verified][:1]},
        lambda points: _young(points, policy.days, now),
        lambda points: {one.id: f"among the last {policy.last}" for one in points[: max(policy.last, 0)]},
        lambda points: _newest_of_each(points, policy.daily, "%Y-%m-%d", "day"),
        lambda points: _newest_of_each(points, policy.weekly, "%G-W%V", "week"),
        lambda points: _newest_of_each(points, policy.monthly, "%Y-%m", "month"),
    ]


def _young(points: Sequence[PointFacts], days: float, now: float) -> dict[str, str]:
    if not points:
        return {}
    oldest = min(now, points[0].at) - days * DAY
    return {one.id: f"younger than {days:g} days" for one in points if days > 0 and one.at > oldest}


def _newest_of_each(points: Sequence[PointFacts], number: int, form: str, word: str) -> dict[str, str]:
    newest: dict[str, str] = {}
    for one in points:
        newest.setdefault(datetime.fromtimestamp(one.at, UTC).strftime(form), one.id)
    chosen = list(newest.items())[: max(number, 0)]
    return {point_id: f"the newest of {word} {period}" for period, point_id in chosen}


def _orphans(
    orphans: Sequence[Orphan], points: Sequence[PointFacts], policy: Policy, now: float
) -> list[Decision]:
    newest = max([*(one.updated for one in orphans), *(one.at for one in points[:1])], default=now)
    oldest = min(now, newest) - policy.orphan_days * DAY
    return [_of_orphan(one, one.updated > oldest, policy) for one in orphans]


def _of_orphan(orphan: Orphan, young: bool, policy: Policy) -> Decision:
    if orphan.hold is not None:
        reason = f"on hold: {orphan.hold or 'no reason given'}"
    elif young:
        reason = (
            f"parts without a manifest, younger than {policy.orphan_days:g} days: a backup may be under way"
        )
    else:
        reason = f"parts without a manifest, older than {policy.orphan_days:g} days"
    keep = orphan.hold is not None or young
    return Decision(orphan.id, orphan.updated, keep=keep, reasons=(reason,), orphan=True)
