"""Joins the function ``chat``. Nothing heavy is imported on this path: no SDK, only REST."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from functools import cache

from shared.answering.answers import Answer
from shared.answering.service import AnswerService, Question
from shared.errors import RequestError
from shared.http.app import App
from shared.http.cors import Cors
from shared.http.requests import Body, Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream
from shared.resilience.deadline import Deadline
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring import parts, process

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
    chat = Chat(service(settings), settings)
    return App(
        [Route("POST", "/chat", chat.ask)],
        name="chat",
        logger=process.logger("chat"),
        max_body_bytes=settings.max_content_length,
        cors=Cors(frozenset(settings.allowed_origins)),
        ready=chat.ready,
    )


def service(settings: Settings) -> AnswerService:
    """The answering service on the services that the settings name."""
    embedder = parts.embedder(settings)
    retriever = Retriever(
        parts.vector_search(settings), embedder, time.monotonic, alias=settings.qdrant_alias
    )
    return AnswerService(
        retriever,
        parts.answer_log(parts.database(settings)),
        new_id=lambda: secrets.token_urlsafe(12),
        clock=time.monotonic,
        now=time.time,
        wants_vectors=embedder is not None,
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
        answer = self._answers.ask(asked, Deadline.after(self._settings.request_deadline_seconds))
        request.log.add(
            kind=answer.kind,
            rung=answer.rung,
            degraded=list(answer.degraded),
            recorded=answer.recorded,
            timings_ms=dict(answer.timings_ms),
        )
        return EventStream(events(answer)) if wants_stream(request) else Reply(answer)

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


def events(answer: Answer) -> Iterator[Event]:
    """The answer as the events that a page shows."""
    yield Event(
        "meta",
        {
            "answer_id": answer.answer_id,
            "rung": answer.rung,
            "degraded": answer.degraded,
            "generation": answer.generation,
        },
    )
    yield Event("token", {"text": answer.answer})
    for citation in answer.citations:
        yield Event("citation", citation)
    yield Event(
        "done",
        {
            "kind": answer.kind,
            "nearest": answer.nearest,
            "usage": {},
            "timings_ms": answer.timings_ms,
            "recorded": answer.recorded,
        },
    )
