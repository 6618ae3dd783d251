"""Joins the function ``chat``. Nothing heavy is imported on this path: no SDK, only REST."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

from shared.answering.answers import Answer
from shared.answering.service import AnswerService, Cited, Finished, Question, Started, Step, Text
from shared.errors import RequestError
from shared.http.app import App
from shared.http.cors import Cors
from shared.http.requests import Body, Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream
from shared.resilience.deadline import Deadline
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring import process
from shared.wiring.parts import Parts

REQUIRED = ("database_url", "qdrant_url")


class ChatBody(Body, frozen=True):
    """The body of ``POST /chat``."""

    question: str
    conversation_id: str = ""


def prepare() -> None:
    """Check the settings before the first request."""
    process.current(REQUIRED)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    settings = process.current(REQUIRED)
    chat = Chat(service(Parts(settings)), settings)
    return App(
        [Route("POST", "/chat", chat.ask)],
        name="chat",
        logger=process.logger("chat"),
        max_body_bytes=settings.max_content_length,
        cors=Cors(frozenset(settings.allowed_origins)),
        ready=chat.ready,
    )


def service(parts: Parts) -> AnswerService:
    """The answering service on the services that the settings name."""
    alias = parts.settings.qdrant_alias
    return AnswerService(
        Retriever(parts.vector_search, parts.embedder, time.monotonic, alias=alias),
        parts.answer_log,
        parts.generator,
        new_id=lambda: secrets.token_urlsafe(12),
        clock=time.monotonic,
        now=time.time,
        wants_vectors=parts.embedder is not None,
    )


class Chat:
    """The HTTP side of a question."""

    def __init__(self, answers: AnswerService, settings: Settings) -> None:
        self._answers = answers
        self._settings = settings

    def ask(self, request: Request) -> Reply | EventStream:
        """``POST /chat``: JSON, or events when the caller accepts them."""
        body = request.decode(ChatBody)
        asked = question(body.question, self._settings, body.conversation_id)
        deadline = Deadline.after(self._settings.request_deadline_seconds)
        steps = self._answers.steps(asked, deadline)
        if wants_stream(request):
            # The first step is made here: a question that cannot be answered at all still gets its status.
            return EventStream(_events(chain([next(steps)], steps), request))
        answer = next(step.answer for step in steps if isinstance(step, Finished))
        _log(answer, request)
        return Reply(answer)

    def ready(self, _request: Request) -> Reply:
        """``GET /ready``: whether a question can be answered now, and from which generation."""
        facts = self._answers.live_facts(Deadline.after(self._settings.request_deadline_seconds))
        return Reply({"status": "ready", "generation": facts.generation})


def question(text: str, settings: Settings, conversation_id: str = "") -> Question:
    """A question within bounds. Raises :class:`~shared.errors.RequestError` 400 otherwise."""
    text = text.strip()
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
    return Question(text, conversation_id)


def _events(steps: Iterable[Step], request: Request) -> Iterator[Event]:
    for step in steps:
        if isinstance(step, Finished):
            _log(step.answer, request)
        yield event(step)


def _log(answer: Answer, request: Request) -> None:
    request.log.add(
        kind=answer.kind,
        rung=answer.rung,
        degraded=list(answer.degraded),
        recorded=answer.recorded,
        timings_ms=dict(answer.timings_ms),
    )


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
            return Event(
                "done",
                {
                    "kind": answer.kind,
                    "nearest": answer.nearest,
                    "usage": answer.usage,
                    "timings_ms": answer.timings_ms,
                    "recorded": answer.recorded,
                    "degraded": answer.degraded,
                },
            )
