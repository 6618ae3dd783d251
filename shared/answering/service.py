"""A question to a recorded answer: retrieve, decide, compose, record; step by step, so that a reader can
watch it come into being.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from shared.answering import extractive
from shared.answering.answers import EXTRACTIVE, GENERATED, NOT_FOUND, Answer, Citation
from shared.answering.generated import Draft, write
from shared.errors import DeadlineExceeded, DependencyError, Missing, RequestError
from shared.ports import AnswerLog, AnswerRecord
from shared.ports import Generator as LanguageModel
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.layout import Facts
from shared.retrieval.results import Retrieval
from shared.retrieval.retriever import Retriever

T = TypeVar("T")
HYBRID, LEXICAL = "hybrid", "lexical"
EMBEDDING_SHARE = 0.4
"""Share of a question's time that the search with vectors may take before words alone are tried."""
RECORD_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks. ``conversation_id`` may be empty: the question then stands alone."""

    text: str
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The first step: what is known before the first word."""

    answer_id: str
    rung: str
    degraded: tuple[str, ...]
    generation: str


@dataclass(frozen=True, slots=True)
class Text:
    """The next words of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that the answer stands on."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Finished:
    """The last step: the whole answer, and whether it is recorded."""

    answer: Answer


Step = Started | Text | Cited | Finished


class AnswerService:
    """Answers questions from the live generation.

    Without ``generator`` the passages themselves are the answer. ``new_id`` makes answer ids, ``clock``
    gives monotonic and ``now`` Unix seconds. ``wants_vectors`` says whether an embedder is configured:
    searching by words alone is a degraded answer only then.
    """

    def __init__(
        self,
        retriever: Retriever,
        log: AnswerLog,
        generator: LanguageModel | None = None,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        now: Clock,
        wants_vectors: bool = True,
    ) -> None:
        self._retriever = retriever
        self._log = log
        self._generator = generator
        self._new_id = new_id
        self._clock = clock
        self._now = now
        self._wants_vectors = wants_vectors

    def ask(self, question: Question, deadline: Deadline) -> Answer:
        """The whole answer. Raises what :meth:`steps` raises."""
        return next(step.answer for step in self.steps(question, deadline) if isinstance(step, Finished))

    def steps(self, question: Question, deadline: Deadline) -> Iterator[Step]:
        """The answer as it comes into being: Started, then Text and Cited, at last Finished.

        Raises :class:`~shared.errors.RequestError` 503 ``nothing_indexed`` before the first ingestion, and
        the errors of the search when nothing can be found at all.
        """
        started = self._clock()
        found, reasons = self._retrieve(question.text, deadline)
        answer = self._begun(found, reasons)
        timings = {"search": _milliseconds(self._clock() - started)}
        yield Started(answer.answer_id, answer.rung, answer.degraded, answer.generation)
        written = self._clock()
        answer = yield from self._compose(question, found, answer, deadline)
        timings["answer"] = _milliseconds(self._clock() - written)
        recorded, failures = self._record(question, answer, deadline)
        timings["total"] = _milliseconds(self._clock() - started)
        degraded = (*answer.degraded, *failures)
        yield Finished(replace(answer, recorded=recorded, degraded=degraded, timings_ms=timings))

    def live_facts(self, deadline: Deadline) -> Facts:
        """What is being answered from. Raises :class:`~shared.errors.RequestError` 503 for nothing."""
        return self._of_index(lambda: self._retriever.live_facts(deadline))

    # ------------------------------------------------------------ search

    def _retrieve(self, text: str, deadline: Deadline) -> tuple[Retrieval, tuple[str, ...]]:
        """What was found, and why it was found with less than everything."""
        if not self._wants_vectors:
            return self._of_index(lambda: self._retriever.retrieve(text, deadline, dense=False)), ()
        hybrid = deadline.within(EMBEDDING_SHARE * deadline.remaining())
        try:
            found = self._of_index(lambda: self._retriever.retrieve(text, hybrid))
        except (DependencyError, DeadlineExceeded) as error:
            reason = f"vectors were not searched ({error.code})"
            return self._of_index(lambda: self._retriever.retrieve(text, deadline, dense=False)), (reason,)
        return found, found.reasons

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

    # ------------------------------------------------------------ answer

    def _begun(self, found: Retrieval, reasons: tuple[str, ...]) -> Answer:
        return Answer(
            answer_id=self._new_id(),
            kind=NOT_FOUND,
            answer="",
            citations=(),
            nearest=(),
            rung=HYBRID if found.embedded else LEXICAL,
            degraded=reasons,
            generation=found.generation,
        )

    def _compose(
        self, question: Question, found: Retrieval, answer: Answer, deadline: Deadline
    ) -> Generator[Step, None, Answer]:
        ranked = [passage.chunk for passage in found.passages]
        passages = extractive.choose(ranked) if found.decision().answerable else ()
        if passages and self._generator is not None:
            draft = yield from self._write(self._generator, question, passages, deadline)
            if not (draft.failed or draft.declined):
                return replace(
                    answer, kind=GENERATED, answer=draft.text, citations=draft.citations, usage=draft.usage
                )
            answer = replace(
                answer, usage=draft.usage, degraded=(*answer.degraded, *filter(None, [draft.failed]))
            )
            passages = () if draft.declined else passages
        nearest = () if passages else extractive.near_pages(ranked)
        text = extractive.lead_in(passages) if passages else extractive.not_found(nearest)
        yield Text(text)
        yield from map(Cited, passages)
        kind = EXTRACTIVE if passages else NOT_FOUND
        return replace(answer, kind=kind, answer=text, citations=passages, nearest=nearest)

    def _write(
        self, generator: LanguageModel, question: Question, passages: tuple[Citation, ...], deadline: Deadline
    ) -> Generator[Step, None, Draft]:
        """The draft of a language model, given out as it is written; its citations follow at the end."""
        draft = Draft()
        try:
            yield from map(Text, write(generator, question.text, passages, draft, deadline))
        except (DependencyError, DeadlineExceeded) as error:
            draft.failed = f"the language model did not answer ({error.code})"
        if not (draft.failed or draft.declined):
            yield from map(Cited, draft.citations)
        return draft

    # ------------------------------------------------------------ memory

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
        except (DependencyError, DeadlineExceeded) as error:
            return False, (f"the answer was not recorded ({error.code})",)
        return True, ()


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
