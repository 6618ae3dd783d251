"""Measures of a ranking. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def recall_at(ranked: Sequence[str], relevant: Mapping[str, int], depth: int) -> float:
    """The share of the relevant documents that are among the first ``depth``."""
    return sum(1 for one in ranked[:depth] if one in relevant) / len(relevant)


def reciprocal_rank_at(ranked: Sequence[str], relevant: Mapping[str, int], depth: int) -> float:
    """One over the place of the first relevant document; 0 when none is among the first ``depth``."""
    return next((1 / place for place, one in enumerate(ranked[:depth], 1) if one in relevant), 0.0)


def ndcg_at(ranked: Sequence[str], relevant: Mapping[str, int], depth: int) -> float:
    """Normalised discounted cumulative gain (Jarvelin and Kekalainen, 2002), gains being the grades."""
    ideal = _gain(sorted(relevant.values(), reverse=True)[:depth])
    return _gain([relevant.get(one, 0) for one in ranked[:depth]]) / ideal


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float | None:
    """The chance that a positive scores above a negative, ties counting half; None if either is empty."""
    if not positives or not negatives:
        return None
    above = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return above / (len(positives) * len(negatives))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 for no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _gain(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(place + 1) for place, grade in enumerate(grades, 1))


@dataclass(frozen=True, slots=True)
class Abstention:
    """How well answerable questions are told from others.

    ``answered`` is the share of answerable questions that get an answer, ``declined`` that of the
    unanswerable ones that get none, ``auroc`` that of the confidence. None where there are none.
    """

    answered: float | None
    declined: float | None
    auroc: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over the main questions; latencies in milliseconds, the embedding of the question included."""

    recall_at_5: float
    mrr_at_10: float
    ndcg_at_10: float
    queries: int
    p50_ms: float
    p95_ms: float
    abstention: Abstention

    def as_json(self) -> dict[str, Any]:
        """The form that ``lectern eval --json`` prints."""
        told = self.abstention
        return {
            "recall@5": round(self.recall_at_5, 4),
            "mrr@10": round(self.mrr_at_10, 4),
            "ndcg@10": round(self.ndcg_at_10, 4),
            "queries": self.queries,
            "latency_ms": {"p50": round(self.p50_ms, 2), "p95": round(self.p95_ms, 2)},
            "abstention": {
                name: None if value is None else round(value, 4)
                for name, value in (
                    ("answered", told.answered),
                    ("declined", told.declined),
                    ("auroc", told.auroc),
                )
            },
        }
