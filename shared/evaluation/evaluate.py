"""Asks golden questions of the production retrieval path and scores what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from shared.evaluation.golden import UNANSWERABLE, GoldenQuestion, GoldenSet, site_of
from shared.evaluation.scores import (
    Abstention,
    Scores,
    auroc,
    mean,
    ndcg_at,
    percentile,
    recall_at,
    reciprocal_rank_at,
)
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.chunks import key_of_page
from shared.retrieval.results import Retrieval
from shared.retrieval.retriever import Retriever

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, its ranked document ids (excluded ones dropped) and how it was answered."""

    question: GoldenQuestion
    ranked: tuple[str, ...]
    answerable: bool
    confidence: float
    milliseconds: float


def evaluate(
    retriever: Retriever,
    golden: GoldenSet,
    clock: Clock,
    *,
    collection: str | None = None,
    dense: bool = True,
    seconds: float = 30.0,
    progress: Progress | None = None,
) -> Scores:
    """Scores of ``golden`` on ``collection``, or on the live one; ``seconds`` bound each question.

    Raises what :meth:`Retriever.retrieve` raises: a question that fails is no score.
    """
    names = _Names(golden)
    asked = [one for one in golden.questions if one.scored or one.type == UNANSWERABLE]
    outcomes: list[Outcome] = []
    for question in asked:
        started = clock()
        deadline = Deadline(started + seconds, clock)
        found = retriever.retrieve(question.text, deadline, dense=dense, collection=collection)
        outcomes.append(_outcome(question, found, names.at(found), (clock() - started) * 1000))
        if progress:
            progress("asking", len(outcomes), len(asked))
    return score(outcomes)


def score(outcomes: Sequence[Outcome]) -> Scores:
    """Means over the outcomes of scored questions, and how well the others were declined."""
    main = [one for one in outcomes if one.question.scored]
    pairs = [(one.ranked, one.question.relevant) for one in main]
    return Scores(
        recall_at_5=mean([recall_at(ranked, relevant, 5) for ranked, relevant in pairs]),
        mrr_at_10=mean([reciprocal_rank_at(ranked, relevant, 10) for ranked, relevant in pairs]),
        ndcg_at_10=mean([ndcg_at(ranked, relevant, 10) for ranked, relevant in pairs]),
        queries=len(main),
        p50_ms=percentile([one.milliseconds for one in main], 0.5),
        p95_ms=percentile([one.milliseconds for one in main], 0.95),
        abstention=_abstention(main, [one for one in outcomes if not one.question.scored]),
    )


def _abstention(answerable: Sequence[Outcome], others: Sequence[Outcome]) -> Abstention:
    return Abstention(
        answered=mean([float(one.answerable) for one in answerable]) if answerable else None,
        declined=mean([float(not one.answerable) for one in others]) if others else None,
        auroc=auroc([one.confidence for one in answerable], [one.confidence for one in others]),
    )


def _outcome(
    question: GoldenQuestion, found: Retrieval, names: dict[str, str], milliseconds: float
) -> Outcome:
    decision = found.decision()
    ranked = (names.get(page.key, "") for page in found.pages)
    return Outcome(
        question=question,
        ranked=tuple(name for name in ranked if name not in question.exclude),
        answerable=decision.answerable,
        confidence=decision.confidence,
        milliseconds=milliseconds,
    )


class _Names:
    """Document ids by page key: of all documents, or of those that judgements name."""

    def __init__(self, golden: GoldenSet) -> None:
        self._own = golden.urls()
        named = (name for one in golden.questions for name in (*one.relevant, *one.exclude))
        self._urls = self._own or {name: name for name in named}
        self._known: dict[str, dict[str, str]] = {}

    def at(self, found: Retrieval) -> dict[str, str]:
        """For the site that was found: a path is a page of whichever site is asked."""
        site = "" if self._own or not found.passages else site_of(found.passages[0].chunk.page_url)
        if site not in self._known:
            urls = {urljoin(site, url): name for name, url in self._urls.items()}
            self._known[site] = {key_of_page(url): name for url, name in urls.items()}
        return self._known[site]
