"""Whether a new generation answers the golden questions as well as the live one: pure."""

from __future__ import annotations

from shared.evaluation.scores import Scores


def worse(candidate: Scores, live: Scores, margin: float) -> tuple[str, ...]:
    """In what ``candidate`` lies more than ``margin`` (0..1) below ``live``, in words; empty for nothing."""
    pairs = (
        ("recall@5", candidate.recall_at_5, live.recall_at_5),
        ("nDCG@10", candidate.ndcg_at_10, live.ndcg_at_10),
    )
    return tuple(
        f"{name} is {new:.3f}, the live generation has {old:.3f}"
        for name, new, old in pairs
        if new < old - margin
    )
