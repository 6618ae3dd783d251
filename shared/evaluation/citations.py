"""How good the citations of answers are, and how many wrong sentences their check lets through. Pure."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.evaluation.golden import GoldenQuestion
from shared.evaluation.scores import mean

NUMBER, IDENTIFIER = "number", "identifier"
# Their own rules, not those of the check that is being tested.
_NUMBERS = re.compile(r"(?<![\w.,-])\d+(?:\.\d+)*(?![\w]|[.,]\d)")
_IDENTIFIERS = re.compile(
    r"(?<=`)[A-Za-z_$][\w$.-]*(?=(?:\(\))?`)|\b[a-z]+(?:[A-Z][a-z]+)+\b|\b[a-z]+(?:_[a-z]+)+\b"
)
_ORDINAL = re.compile(r"\s*\d+[.)]\s+")  # the number of a list item is layout, nothing is claimed with it
_PATTERNS = {NUMBER: _NUMBERS, IDENTIFIER: _IDENTIFIERS}


@dataclass(frozen=True, slots=True)
class Shown:
    """What an answer showed: documents by id in the order of its citations, and its sentences' fate."""

    question: GoldenQuestion
    documents: tuple[str, ...]
    sentences: int = 0
    supported: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CitationScores:
    """Shares of the questions whose first, and any, citation is on a relevant page; how many citations an
    answer has; the share of the written sentences that were proven (None when none was written).
    """

    questions: int
    first: float
    any: float
    citations: float
    verified: float | None
    dropped: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "questions": self.questions,
            "first_relevant": round(self.first, 4),
            "any_relevant": round(self.any, 4),
            "citations": round(self.citations, 2),
        }
        if self.verified is not None:
            told |= {"verified": round(self.verified, 4), "dropped": dict(self.dropped)}
        return told


def citation_scores(shown: Sequence[Shown]) -> CitationScores:
    """Means over the answers; one without citations counts as a miss."""
    written = sum(one.sentences for one in shown)
    dropped: Counter[str] = Counter()
    for one in shown:
        dropped.update(one.dropped)
    return CitationScores(
        questions=len(shown),
        first=mean([float(any(d in one.question.relevant for d in one.documents[:1])) for one in shown]),
        any=mean([float(any(d in one.question.relevant for d in one.documents)) for one in shown]),
        citations=mean([float(len(one.documents)) for one in shown]),
        verified=sum(one.supported for one in shown) / written if written else None,
        dropped=dropped,
    )


@dataclass(frozen=True, slots=True)
class Corruption:
    """A true sentence with one number or identifier swapped for another of the same site."""

    kind: str
    original: str
    text: str


class Corruptor:
    """Swaps with what ``sentences`` of the site hold; the same ``dice`` give the same swaps."""

    def __init__(self, sentences: Iterable[str], dice: random.Random) -> None:
        told = list(sentences)
        self._pool = {
            kind: sorted({one for text in told for one in pattern.findall(text)})
            for kind, pattern in _PATTERNS.items()
        }
        self._dice = dice

    def corrupt(self, sentence: str, kind: str) -> Corruption | None:
        """One swap; None when the sentence has nothing of the kind, or there is nothing to swap with."""
        ordinal = _ORDINAL.match(sentence)
        found = list(_PATTERNS[kind].finditer(sentence, ordinal.end() if ordinal else 0))
        if not found:
            return None
        chosen = self._dice.choice(found)
        others = [one for one in self._pool[kind] if one not in sentence]
        if not others:
            return None
        text = sentence[: chosen.start()] + self._dice.choice(others) + sentence[chosen.end() :]
        return Corruption(kind, sentence, text)
