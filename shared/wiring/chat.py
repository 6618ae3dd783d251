"""Joins the function ``chat``. Nothing heavy is imported on this path: no SDK, only REST."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

import msgspec

from shared.access.admission import Admission
from shared.access.modes import Caller
from shared.answering.answers import Answer
from shared.answering.cache import LayeredCache, ProcessCache
from shared.answering.guarded import GuardedLog
from shared.answering.prompts import PageContext
from shared.answering.redaction import redact
from shared.answering.search import SearchLadder
from shared.answering.service import (
    AnswerService,
    Cited,
    Entry,
    Finished,
    Question,
    Started,
    Step,
    Text,
)
from shared.answering.spool import Recorder, Spool
from shared.answering.writing import Stop, Writer
from shared.errors import RequestError
from shared.http.app import App
from shared.http.cors import Cors
from shared.http.requests import Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream
from shared.resilience.breaker import Breaker
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import process
from shared.wiring.chat_api import ChatApi, ChatBody, Done, State, checked_conversation
from shared.wiring.parts import Parts

REQUIRED = ("database_url", "qdrant_url")


def prepare() -> None:
    """Check the settings before the first request."""
    process.check(lambda settings: Parts(settings).gate, REQUIRED)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    settings = process.current(REQUIRED)
    parts = Parts(settings)
    state = State(parts)
    chat = Chat(service(parts), state, settings, parts.guards.database.breaker)
    api = ChatApi(state, serves_metrics=settings.monitoring_enabled)
    return App(
        [Route("POST", "/chat", chat.ask), *api.routes()],
        name="chat",
        logger=process.logger("chat"),
        max_body_bytes=settings.max_content_length,
        cors=Cors(frozenset(settings.allowed_origins)),
        ready=chat.ready,
        on_finish=state.metrics.observe,
    )


def service(parts: Parts) -> AnswerService:
    """The answering service on the services that the settings name."""
    own, guards = parts.settings, parts.guards
    store = parts.object_store if own.storage_bucket else None
    search = SearchLadder(
        parts.vector_search,
        parts.embedder,
        parts.full_text,
        store,
        guards=guards,
        clock=time.monotonic,
        alias=own.qdrant_alias,
    )
    recorder = Recorder(
        GuardedLog(parts.answer_log, guards.database),
        Spool(store) if store else None,
        redact=redact if own.redact_personal_data else None,
    )
    cached = own.cache_seconds > 0
    return AnswerService(
        search,
        recorder,
        [Writer(model, parts.guard(model.model)) for model in parts.generators],
        LayeredCache(ProcessCache(time.monotonic), parts.answer_cache, own.cache_seconds) if cached else None,
        new_id=lambda: secrets.token_urlsafe(12),
        clock=time.monotonic,
        now=time.time,
        shares_database=not own.redis_url,
    )


class ReadersDoor:
    """One caller's way in: the limit, the spend, and what the database knows."""

    def __init__(self, admission: Admission, caller: Caller, *, database: bool) -> None:
        self._admission = admission
        self._caller = caller
        self._database = database

    def open(self, cache_key: str, conversation_id: str, deadline: Deadline) -> Entry:
        opened = self._admission.open(
            self._caller,
            deadline,
            cache_key=cache_key,
            conversation_id=conversation_id,
            database=self._database,
        )
        return Entry(opened.opening, opened.degraded)

    def over_budget(self) -> str:
        return self._admission.meter.over()

    def spent(self, usd: float) -> None:
        self._admission.meter.add(usd)


class Chat:
    """The HTTP side of a question."""

    def __init__(self, answers: AnswerService, state: State, settings: Settings, database: Breaker) -> None:
        self._answers = answers
        self._database = database
        self._state = state
        self._settings = settings

    def ask(self, request: Request) -> Reply | EventStream:
        """``POST /chat``: JSON, or events when the caller accepts them."""
        deadline = Deadline.after(self._settings.request_deadline_seconds)
        caller = self._state.admission.admit(request.headers, request.remote, deadline)
        asked = question_of(request.decode(ChatBody), self._settings)
        door = ReadersDoor(self._state.admission, caller, database=self._database.admits())
        stop = Stop()
        steps = self._noted(self._answers.steps(asked, deadline, door, stop), request)
        if wants_stream(request):
            # The first step is made here: a question that cannot be answered at all still gets its status.
            return EventStream(map(event, chain([next(steps)], steps)), cancel=stop.stop)
        return Reply(next(step.answer for step in steps if isinstance(step, Finished)))

    def ready(self, _request: Request) -> Reply:
        """``GET /ready``: whether a question can be answered now, from which generation, on which rung."""
        held = self._answers.live_facts(Deadline.after(self._settings.request_deadline_seconds))
        ready = {"status": "ready", "generation": held.value.generation, "rung": held.rung}
        return Reply({**ready, "degraded": held.reasons})

    def _noted(self, steps: Iterable[Step], request: Request) -> Iterator[Step]:
        """The steps; the last one is put into the log line and kept for readers whose stream breaks."""
        for step in steps:
            if isinstance(step, Finished):
                self._state.recent.add(step.answer.answer_id, msgspec.to_builtins(step.answer))
                _log(step, request)
            yield step


def question(text: str, settings: Settings) -> Question:
    """A question that stands alone. Raises :class:`~shared.errors.RequestError` 400 out of bounds."""
    return question_of(ChatBody(text), settings)


def question_of(body: ChatBody, settings: Settings) -> Question:
    """The question of a request. Raises :class:`~shared.errors.RequestError` 400 out of bounds."""
    text = body.question.strip()
    most = settings.question_max_characters
    if "\x00" in text:
        raise RequestError(400, "invalid_question", "The question holds a NUL character.", hint="Remove it.")
    if not text:
        raise RequestError(400, "empty_question", "The question is empty.", hint="Ask something in words.")
    if len(text) > most:
        raise RequestError(
            400,
            "question_too_long",
            f"The question has {len(text)} characters; {most} are allowed.",
            hint="Ask a shorter question.",
        )
    if body.conversation_id:
        checked_conversation(body.conversation_id)
    page = PageContext("", body.page.version, body.page.locale, body.page.selection)
    return Question(text, body.conversation_id, page, body.sent_turns())


def event(step: Step) -> Event:
    """A step of an answer as the event that a page shows."""
    match step:
        case Started():
            return Event("meta", step)
        case Text():
            return Event("token", step)
        case Cited():
            return Event("citation", step.citation)
        case Finished():
            answer = step.answer
            done = Done(
                answer.kind, answer.nearest, answer.usage, answer.timings_ms, answer.recorded, answer.degraded
            )
            return Event("done", done)


def _log(finished: Finished, request: Request) -> None:
    answer: Answer = finished.answer
    request.log.add(
        answer_id=answer.answer_id,
        kind=answer.kind,
        rungs={"search": answer.rung, "writing": answer.writer, "memory": finished.memory},
        degraded=list(answer.degraded),
        recorded=answer.recorded,
        citations_dropped=finished.dropped,
        cost_usd=finished.cost_usd,
        timings_ms=dict(answer.timings_ms),
    )
