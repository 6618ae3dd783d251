"""A question to a recorded answer: retrieve, decide, compose, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from shared.answering import extractive
from shared.answering.answers import EXTRACTIVE, NOT_FOUND, Answer
from shared.errors import DependencyError, Missing, RequestError
from shared.ports import AnswerLog, AnswerRecord
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.layout import Facts
from shared.retrieval.results import Retrieval
from shared.retrieval.retriever import Retriever

T = TypeVar("T")
HYBRID, LEXICAL = "hybrid", "lexical"
RECORD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks. ``conversation_id`` may be empty: the question then stands alone."""

    text: str
    conversation_id: str = ""


class AnswerService:
    """Answers questions from the live generation.

    ``new_id`` makes answer ids, ``clock`` gives monotonic and ``now`` Unix seconds. ``wants_vectors`` says
    whether an embedder is configured: searching by words alone is a degraded answer only then.
    """

    def __init__(
        self,
        retriever: Retriever,
        log: AnswerLog,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        now: Clock,
        wants_vectors: bool = True,
    ) -> None:
        self._retriever = retriever
        self._log = log
        self._new_id = new_id
        self._clock = clock
        self._now = now
        self._wants_vectors = wants_vectors

    def ask(self, question: Question, deadline: Deadline) -> Answer:
        """The answer, recorded when the database takes it.

        Raises :class:`~shared.errors.RequestError` 503 ``nothing_indexed`` before the first ingestion and
        the errors of the search when nothing can be found at all.
        """
        started = self._clock()
        found = self._retrieve(question.text, deadline)
        searched = self._clock()
        answer = self._compose(found)
        recorded, degraded = self._record(question, answer, deadline)
        timings = {
            "search": _milliseconds(searched - started),
            "record": _milliseconds(self._clock() - searched),
            "total": _milliseconds(self._clock() - started),
        }
        return replace(answer, recorded=recorded, degraded=(*answer.degraded, *degraded), timings_ms=timings)

    def live_facts(self, deadline: Deadline) -> Facts:
        """What is being answered from. Raises :class:`~shared.errors.RequestError` 503 for nothing."""
        return self._of_index(lambda: self._retriever.live_facts(deadline))

    def _retrieve(self, text: str, deadline: Deadline) -> Retrieval:
        return self._of_index(lambda: self._retriever.retrieve(text, deadline))

    def _of_index(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except Missing as error:
            raise RequestError(
                503,
                "nothing_indexed",
                "There is nothing to answer from: no documentation has been ingested yet.",
                hint="Run `lectern ingest PATH`, or POST /ingest.",
            ) from error

    def _compose(self, found: Retrieval) -> Answer:
        ranked = [passage.chunk for passage in found.passages]
        citations = extractive.choose(ranked) if found.decision().answerable else ()
        nearest = extractive.near_pages(ranked)
        text = extractive.lead_in(citations) if citations else extractive.not_found(nearest)
        return Answer(
            answer_id=self._new_id(),
            kind=EXTRACTIVE if citations else NOT_FOUND,
            answer=text,
            citations=citations,
            nearest=() if citations else nearest,
            rung=HYBRID if found.embedded else LEXICAL,
            degraded=found.reasons if self._wants_vectors and not found.embedded else (),
            generation=found.generation,
        )

    def _record(self, question: Question, answer: Answer, deadline: Deadline) -> tuple[bool, tuple[str, ...]]:
        """Whether it is stored, and the reason when it is not."""
        row = AnswerRecord(
            id=answer.answer_id,
            conversation_id=question.conversation_id or answer.answer_id,
            asked_at=self._now(),
            question=question.text,
            kind=answer.kind,
            answer=answer.answer,
            citations=tuple(citation.url for citation in answer.citations),
            generation_id=answer.generation,
            rung=answer.rung,
        )
        try:
            self._log.record(row, deadline.within(RECORD_SECONDS))
        except DependencyError as error:
            return False, (f"the answer was not recorded ({error.code})",)
        return True, ()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
