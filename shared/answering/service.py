"""A question to a recorded answer, step by step, so that a reader can watch it come into being.

Each step has a way down: a search without vectors, without Qdrant, from the lifeboat; a second model, then
the passages themselves; the page's own turns for the database's history; the spool for the database.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from shared.answering import extractive
from shared.answering.answers import EXTRACTIVE, GENERATED, NOT_FOUND, Answer
from shared.answering.cache import CacheKey, LayeredCache, is_keepable, pages_of
from shared.answering.memory import history
from shared.answering.prompts import VERSION
from shared.answering.search import SearchLadder
from shared.answering.spool import NOWHERE, Landing, Recorder
from shared.answering.steps import OPEN_DOOR, Cited, Door, Entry, Finished, Question, Started, Step, Text
from shared.answering.understanding import Understood, understand
from shared.answering.writing import Brief, Stop, Writer, Written, compose
from shared.errors import Cancelled, Missing, RequestError
from shared.ports import AnswerRecord, CacheEntry, Condition, Kept, Turn
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.ladder import Held
from shared.retrieval.layout import Facts
from shared.retrieval.results import Retrieval

T = TypeVar("T")
LOOKUP_SECONDS = 8.0
"""Most time for finding the index: used up only while a lifeboat is fetched for the first time."""
UNDERSTANDING_SECONDS = 4.0
PASSAGES_FOUND = 12
QUOTES, CACHE = "passages", "cache"
"""Names of rungs of writing that are no model."""


class AnswerService:
    """Answers questions from the live generation.

    ``writers`` are tried in order; without any the passages themselves are the answer. ``shares_database``
    says whether the cache's shared store is the database that the door asks. ``new_id`` makes answer ids,
    ``clock`` gives monotonic and ``now`` Unix seconds. ``release`` names the code: releases share no answers.
    """

    def __init__(
        self,
        search: SearchLadder,
        recorder: Recorder,
        writers: Sequence[Writer] = (),
        cache: LayeredCache | None = None,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        now: Clock,
        shares_database: bool = True,
        release: str = "",
    ) -> None:
        self._search = search
        self._recorder = recorder
        self._writers = tuple(writers)
        self._cache = cache
        self._new_id = new_id
        self._clock = clock
        self._now = now
        self._shares_database = shares_database
        # Code that answers differently must not be given the answers of other code, nor leave it its own.
        self._code = f"{VERSION} {release}"

    def ask(self, question: Question, deadline: Deadline, door: Door = OPEN_DOOR) -> Answer:
        """The whole answer. Raises what :meth:`steps` raises."""
        *_, last = (step for step in self.steps(question, deadline, door) if isinstance(step, Finished))
        return last.answer

    def steps(
        self, question: Question, deadline: Deadline, door: Door, stop: Stop | None = None
    ) -> Generator[Step, None, None]:
        """The answer as it comes into being: Started, then Text and Cited, at last Finished.

        ``stop`` ends a model's writing from outside. Raises :class:`~shared.errors.RequestError`: 429, and
        503 ``nothing_indexed`` before the first ingestion; ``NoRungHeld`` when nothing at all can be found.
        """
        ask = _Ask(question, deadline, stop or Stop(), _Watch(self._clock), self._now())
        facts = self._on_index(lambda: self._search.live_facts(deadline.within(LOOKUP_SECONDS))).value
        key = self._key(question, facts.generation)
        entry = door.open(key, question.conversation_id, deadline)
        ask.watch.lap("open")
        said = history(entry.opening.history if entry.opening else None, question.turns)
        # A first question of a conversation is like anybody's; a later one depends on what was said.
        kept = None if said else self._kept(key, entry, deadline)
        known = _remembered(kept)
        degraded = (entry.degraded,) if entry.degraded else ()
        if known is not None:
            answer = replace(known, answer_id=self._new_id(), degraded=(*known.degraded, *degraded))
            yield Started(answer.answer_id, answer.rung, answer.degraded, answer.generation)
            yield Text(answer.answer)
            yield from map(Cited, answer.citations)
            yield self._finish(ask, replace(answer, writer=CACHE), Written(), 0.0)
            return
        writers = () if door.over_budget() else self._writers
        understood = self._understand(question, said, writers, deadline)
        ask.watch.lap("understand")
        held = self._on_index(
            lambda: self._search.search(
                understood.standalone, deadline, limit=PASSAGES_FOUND, conditions=_scope(question)
            )
        )
        ask.watch.lap("search")
        broke = door.over_budget()
        answer = self._begun(held, (*degraded, broke) if broke else degraded)
        written = Written(cost_usd=understood.usage.cost_usd if understood.usage else 0.0)
        try:
            yield Started(answer.answer_id, answer.rung, answer.degraded, answer.generation)
            answer = yield from self._compose(
                ask, held.value, answer, _Pen(understood.standalone, writers, written)
            )
        except (Cancelled, GeneratorExit):
            door.left(written.cost_usd)
            raise
        ask.watch.lap("answer")
        cost = written.cost_usd
        # Spend is stored with the answer; of one that is not, by itself.
        (door.left if question.unkept else door.spent)(cost)
        yield self._finish(ask, answer, written, cost)
        self._keep(key, answer, kept, deadline)

    def live_facts(self, deadline: Deadline) -> Held[Facts]:
        """What is being answered from, and on which rung. Raises RequestError 503 for nothing."""
        return self._on_index(lambda: self._search.live_facts(deadline))

    # ------------------------------------------------------------ before the first word

    def _on_index(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except Missing as error:
            raise RequestError(
                503,
                "nothing_indexed",
                "There is nothing to answer from: no documentation has been ingested yet.",
                hint="Run `lectern ingest PATH`, or POST /ingest.",
            ) from error

    def _key(self, question: Question, generation: str) -> str:
        """The key of the answer in the cache; empty for one that depends on what the page says."""
        if self._cache is None or not question.is_anybodys:
            return ""
        model = self._writers[0].model.model if self._writers else ""
        page = question.page
        return CacheKey(generation, question.text, page.version, page.locale, model, self._code).digest()

    def _kept(self, key: str, entry: Entry, deadline: Deadline) -> Kept | None:
        if not key or self._cache is None:
            return None
        opening = entry.opening if self._shares_database else None
        if self._shares_database and entry.degraded:
            return self._cache.find_here(key, deadline)  # the database was asked just now, or is left alone
        return self._cache.find(key, Kept(opening.cached, opening.epoch) if opening else None, deadline)

    def _understand(
        self, question: Question, said: tuple[Turn, ...], writers: Sequence[Writer], deadline: Deadline
    ) -> Understood:
        able = [writer.model for writer in writers if writer.guard.breaker.admits()]
        return understand(
            question.text, said, able[0] if able else None, deadline.within(UNDERSTANDING_SECONDS)
        )

    def _begun(self, held: Held[Retrieval], reasons: Sequence[str]) -> Answer:
        return Answer(
            answer_id=self._new_id(),
            kind=NOT_FOUND,
            answer="",
            citations=(),
            nearest=(),
            rung=held.rung,
            degraded=(*held.reasons, *reasons),
            generation=held.value.generation,
            coverage=round(held.value.coverage, 3),
        )

    # ------------------------------------------------------------ the answer itself

    def _compose(
        self, ask: _Ask, found: Retrieval, answer: Answer, pen: _Pen
    ) -> Generator[Step, None, Answer]:
        ranked = [passage.chunk for passage in found.passages]
        passages = extractive.choose(ranked) if found.decision().answerable else ()
        written = pen.written
        if passages and pen.writers:
            yield from _write(pen, Brief(pen.standalone, passages, found.idf, ask.question.page), ask)
            draft = written.draft
            answer = replace(answer, degraded=(*answer.degraded, *written.reasons), usage=draft.usage)
            if written.stands:
                text = draft.text.strip()
                own = replace(answer, kind=GENERATED, answer=text, citations=draft.citations)
                return replace(own, writer=written.model)
            passages = () if draft.declined else passages
        nearest = () if passages else extractive.near_pages(ranked)
        text = extractive.lead_in(passages) if passages else extractive.not_found(nearest)
        yield Text(text)
        yield from map(Cited, passages)
        kind = EXTRACTIVE if passages else NOT_FOUND
        return replace(answer, kind=kind, answer=text, citations=passages, nearest=nearest, writer=QUOTES)

    # ------------------------------------------------------------ after the last word

    def _finish(self, ask: _Ask, answer: Answer, written: Written, cost_usd: float) -> Finished:
        question, deadline = ask.question, ask.deadline
        record = AnswerRecord(
            id=answer.answer_id,
            conversation_id=question.conversation_id or answer.answer_id,
            asked_at=ask.asked_at,
            question=question.text,
            kind=answer.kind,
            answer=answer.answer,
            citations=tuple(citation.url for citation in answer.citations),
            generation_id=answer.generation,
            rung=answer.rung,
            cost_usd=cost_usd,
            detail=msgspec.to_builtins(replace(answer, recorded=True, timings_ms=ask.watch.laps())),
        )
        landing = Landing(NOWHERE) if question.unkept else self._recorder.keep(record, deadline)
        ask.watch.lap("record")
        degraded = (*answer.degraded, *filter(None, (landing.reason,)))
        done = replace(answer, recorded=landing.recorded, degraded=degraded, timings_ms=ask.watch.laps())
        return Finished(done, landing.place, dict(written.draft.dropped), cost_usd)

    def _keep(self, key: str, answer: Answer, kept: Kept | None, deadline: Deadline) -> None:
        """Keep a whole answer that stands on pages and was made as it should be."""
        if self._cache is None or kept is None or not is_keepable(answer.kind, answer.degraded):
            return
        urls = pages_of([citation.url for citation in answer.citations])
        entry = CacheEntry(msgspec.to_builtins(answer), urls, answer.generation)
        self._cache.keep(key, entry, kept.epoch, deadline)


def _write(pen: _Pen, brief: Brief, ask: _Ask) -> Iterator[Step]:
    with closing(compose(pen.writers, brief, ask.deadline, stop=ask.stop, written=pen.written)) as sentences:
        for sentence in sentences:
            yield from map(Cited, sentence.fresh)
            yield Text(sentence.text)


def _scope(question: Question) -> tuple[Condition, ...]:
    """A reader is answered from the docs version and language that they read; pages of a site without
    versions or languages are for everybody.
    """
    wanted = {"version": question.page.version, "locale": question.page.locale}
    return tuple(Condition(name, (value, "")) for name, value in wanted.items() if value)


def _remembered(kept: Kept | None) -> Answer | None:
    if kept is None or kept.payload is None:
        return None
    try:
        return msgspec.convert(kept.payload, Answer)
    except msgspec.ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question under way."""

    question: Question
    deadline: Deadline
    stop: Stop
    watch: _Watch
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Pen:
    """What an answer is written to, by whom, and what became of it so far."""

    standalone: str
    writers: Sequence[Writer]
    written: Written


class _Watch:
    """Milliseconds of each step."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started = self._last = clock()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._clock()
        self._laps[name] = round((now - self._last) * 1000, 1)
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": round((self._clock() - self._started) * 1000, 1)}
