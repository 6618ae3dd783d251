"""How likely a difference is by chance, for counts too small for a normal curve. Pure."""

from __future__ import annotations

from math import comb


def more_often(events: int, of: int, others: int, of_others: int) -> float:
    """The chance of seeing ``events`` or more among ``of``, given the total in both groups, if both groups
    were alike: Fisher's exact test, one-sided (hypergeometric tail). 1 when a group is empty.
    """
    total = events + others
    if not of or not of_others or not events:
        return 1.0
    ways = comb(of + of_others, total)
    most = min(of, total)
    return sum(comb(of, k) * comb(of_others, total - k) for k in range(events, most + 1)) / ways


def lost_more(lost: int, won: int) -> float:
    """The chance that of ``lost + won`` pairs that differ so many or more are lost, if either way were as
    likely: the exact sign test, one-sided (McNemar's exact test of paired answers). 1 when no pair differs.
    """
    differing = lost + won
    return float(sum(comb(differing, k) for k in range(lost, differing + 1)) / 2**differing)
