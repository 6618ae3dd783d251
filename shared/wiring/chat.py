"""Joins the function ``chat``. Nothing heavy is imported on this path: no SDK, only REST."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Self

import msgspec

from shared.access.modes import Caller
from shared.answering.answers import Answer
from shared.answering.cache import LayeredCache, ProcessCache
from shared.answering.guarded import GuardedCache
from shared.answering.prompts import PageContext
from shared.answering.search import SearchLadder
from shared.answering.service import AnswerService
from shared.answering.steps import Cited, Entry, Finished, Question, Started, Step, Text
from shared.answering.writing import Stop, Writer
from shared.errors import LecternError, RequestError
from shared.http.app import App
from shared.http.cors import Cors
from shared.http.requests import Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream
from shared.ports import AnswerCache
from shared.resilience.breaker import Breaker
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.catalogue import FIRST_TOKEN
from shared.telemetry.logs import Logger, RequestLog
from shared.wiring import process
from shared.wiring.chat_api import ChatApi, ChatBody, Done, Ready, State, checked_conversation
from shared.wiring.parts import Parts
from shared.wiring.warmup import Step as WarmStep
from shared.wiring.warmup import WarmUp

REQUIRED = ("database_url", "qdrant_url")
READY_SECONDS = 5.0
"""Most time for saying whether a question could be answered."""
SPEND_SECONDS = 1.0
"""Most time for counting what an answer cost whose reader left: it must be over before the response is."""
_making = threading.Lock()


def prepare() -> None:
    """Check the settings, and have the process that will answer warm up."""
    process.check(lambda settings: Parts(settings).gate, REQUIRED)
    _warm_up.after_fork()


def application() -> App:
    """The function's application, made when it is first asked for."""
    # One for all: two first requests would otherwise make two, each with its own breakers and connections.
    with _making:
        return _made()[0]


def _warm_steps() -> tuple[Mapping[str, WarmStep], Logger]:
    with _making:
        _, chat, parts = _made()
    return chat.warm_steps(parts), process.logger("chat")


_warm_up = WarmUp(_warm_steps)


@cache
def _made() -> tuple[App, Chat, Parts]:
    settings = process.current(REQUIRED)
    parts = Parts(settings)
    state = State(parts)
    chat = Chat(service(parts), state, settings, parts.guards.database.breaker, process.logger("chat"))
    api = ChatApi(state, serves_metrics=settings.monitoring_enabled)
    return _app(chat, api, state, settings), chat, parts


def _app(chat: Chat, api: ChatApi, state: State, settings: Settings) -> App:
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
        others=parts.embedder_of,
    )
    cached = own.cache_seconds > 0
    return AnswerService(
        search,
        parts.recorder,
        [Writer(model, parts.guard(model.model)) for model in parts.generators],
        LayeredCache(ProcessCache(time.monotonic), _shared_cache(parts), own.cache_seconds)
        if cached
        else None,
        new_id=lambda: secrets.token_urlsafe(12),
        clock=time.monotonic,
        now=time.time,
        shares_database=not own.redis_url,
        release=own.release,
    )


def _shared_cache(parts: Parts) -> AnswerCache:
    """The cache that instances share. One in Postgres is asked together with the opening of a question, and
    not at all while that fails; Redis has a breaker of its own.
    """
    shared = parts.answer_cache
    return GuardedCache(shared, parts.guard("redis")) if parts.settings.redis_url else shared


class ReadersDoor:
    """One caller's way in: the limit, the spend, and what the database knows."""

    def __init__(self, state: State, caller: Caller, log: RequestLog, *, database: bool) -> None:
        self._admission = state.admission
        self._memory = state.memory
        self._caller = caller
        self._log = log
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

    def left(self, usd: float) -> None:
        if usd <= 0:
            return
        self.spent(usd)
        try:
            self._memory.add_spend(usd, Deadline.after(SPEND_SECONDS))
        except LecternError as error:
            self._log.add(spend_lost_usd=usd, spend_lost_why=error.code)


class Chat:
    """The HTTP side of a question."""

    def __init__(
        self, answers: AnswerService, state: State, settings: Settings, database: Breaker, logger: Logger
    ) -> None:
        self._answers = answers
        self._logger = logger
        self._database = database
        self._state = state
        self._settings = settings

    def ask(self, request: Request) -> Reply | EventStream:
        """``POST /chat``: JSON, or events when the caller accepts them. ``Cache-Control: no-store`` keeps
        nothing of it: how a release asks its questions without telling in readers' answers and figures.
        """
        started = time.monotonic()
        deadline = Deadline.after(self._settings.request_deadline_seconds)
        caller = self._state.admission.admit(request.headers, request.remote, deadline)
        asked = question_of(request.decode(ChatBody), self._settings)
        if "no-store" in request.header("cache-control").lower():
            asked = replace(asked, unkept=True)
        door = ReadersDoor(self._state, caller, request.log, database=self._database.admits())
        stop = Stop()
        steps = self._noted(self._answers.steps(asked, deadline, door, stop), request, started)
        if wants_stream(request):
            return EventStream(Events(steps), cancel=stop.stop)
        # To the very end: what comes after the last step is for the next reader.
        *_, last = (step for step in steps if isinstance(step, Finished))
        return Reply(last.answer)

    def ready(self, _request: Request) -> Reply:
        """``GET /ready``: whether a question can be answered now, from which generation, on which rung."""
        if _warm_up.under_way:
            raise RequestError(
                503,
                "warming_up",
                "The instance is warming up.",
                hint="Ask again in a second.",
                headers={"Retry-After": "1"},
            )
        held = self._answers.live_facts(Deadline.after(READY_SECONDS))
        return Reply(Ready("ready", held.value.generation, held.rung, held.reasons))

    def warm_steps(self, parts: Parts) -> dict[str, WarmStep]:
        """What a first question would have to wait for, by name."""
        steps: dict[str, WarmStep] = {"index": self._answers.live_facts, "database": parts.answer_log.ping}
        embedder, guard = parts.embedder, parts.guards.embedding
        if embedder:
            steps["embedding"] = lambda most: guard.call(lambda own: embedder.embed_query("warm", own), most)
        return steps

    def _noted(
        self, steps: Generator[Step, None, None], request: Request, started: float
    ) -> Generator[Step, None, None]:
        """The steps; the last one is put into the log line and kept for readers whose stream breaks."""
        first_words: float | None = None
        with closing(steps):
            for step in steps:
                if first_words is None and isinstance(step, Text | Finished):
                    first_words = time.monotonic() - started
                if isinstance(step, Finished):
                    self._state.recent.add(step.answer.answer_id, msgspec.to_builtins(step.answer))
                    _log(step, request)
                    self._measure(step.answer, first_words or 0.0)
                yield step

    def _measure(self, answer: Answer, seconds: float) -> None:
        labels = {"kind": answer.kind, "search": answer.rung, "writing": answer.writer}
        self._logger.measure(FIRST_TOKEN, round(seconds, 4), **labels)


class Events:
    """The steps as events. The first one is made at once: a question that cannot be answered at all still
    gets its status. Closing ends the steps, wherever they are.
    """

    def __init__(self, steps: Generator[Step, None, None]) -> None:
        self._steps = steps
        self._first: Step | None = next(steps)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        first, self._first = self._first, None
        return event(first or next(self._steps))

    def close(self) -> None:
        self._steps.close()


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
