"""The HTTP side of what surrounds a question: its messages, feedback, picking up, suggestions, deletion.

:mod:`shared.wiring.openapi` describes them all.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.access.admission import Admission
from shared.answering.answers import NearPage
from shared.answering.memory import DeletionList, Forgetting
from shared.answering.spool import storable
from shared.errors import LecternError, RequestError
from shared.http.requests import Body, Request
from shared.http.routes import Reply, Route
from shared.ports import AnswerLog, Deletion, Feedback, Memory, ObjectStore, Turn, Usage
from shared.resilience.deadline import Deadline
from shared.telemetry.metrics import CONTENT_TYPE, Metrics
from shared.wiring.access import admission
from shared.wiring.parts import Parts
from shared.wiring.suggested import Suggested, Suggestions

CALL_SECONDS = 5.0
"""Time for a request beside a question."""
_PAGE_PARAMETERS = {"url": 2000, "version": 100, "locale": 35}
"""What `GET /suggestions` takes, and the most characters of each."""
_SESSION_SECONDS = 1800.0
_DAY = 86_400.0
_ANSWER_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_CONVERSATION_ID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)

AnswerId = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{8,64}$", description="As `answer_id` came in `meta`.")]


class PageContext(Body, frozen=True):
    """The page that the reader is on: its address, docs version and language, and what is selected on it."""

    url: Annotated[str, Meta(max_length=2000)] = ""
    version: Annotated[str, Meta(max_length=100)] = ""
    locale: Annotated[str, Meta(max_length=35)] = ""
    selection: Annotated[str, Meta(max_length=4000)] = ""


class SentTurn(Body, frozen=True):
    """A recent turn of the conversation, as the page remembers it; used while the stored ones are away."""

    role: Literal["user", "model"]
    text: Annotated[str, Meta(max_length=8000)]


class ChatBody(Body, frozen=True):
    """The body of ``POST /chat``. A conversation's id is chosen by the page, at random: who knows it can
    continue and delete the conversation. Empty: the question stands alone.
    """

    question: Annotated[str, Meta(min_length=1, max_length=20_000)]
    conversation_id: Annotated[str, Meta(pattern="^([A-Za-z0-9_-]{16,64})?$")] = ""
    page: PageContext = PageContext()
    turns: Annotated[tuple[SentTurn, ...], Meta(max_length=24)] = ()

    def sent_turns(self) -> tuple[Turn, ...]:
        """The turns in the form of the domain."""
        return tuple(Turn(turn.role, storable(turn.text)) for turn in self.turns)


class Done(msgspec.Struct, frozen=True):
    """The data of the event ``done``: what is known once the answer is whole."""

    kind: str
    nearest: tuple[NearPage, ...]
    usage: Usage | None
    timings_ms: Mapping[str, float]
    recorded: bool
    degraded: tuple[str, ...]


class Ready(msgspec.Struct, frozen=True):
    """From which generation of the index a question would be answered, on which rung of the search, and why
    not on a better one.
    """

    status: str
    generation: str
    rung: str
    degraded: tuple[str, ...]


class FeedbackBody(Body, frozen=True):
    """The body of ``POST /feedback``: a verdict on an answer. A second one replaces the first."""

    answer_id: AnswerId
    rating: Literal["up", "down"]
    reason: Annotated[str, Meta(max_length=100)] = ""
    comment: Annotated[str, Meta(max_length=2000)] = ""


class FeedbackReply(msgspec.Struct, frozen=True):
    """``recorded`` is true only when Postgres or the bucket holds the verdict."""

    recorded: bool


class RecentAnswers:
    """The answers that this instance gave last, for readers whose stream broke; at most ``most``."""

    def __init__(self, most: int = 200) -> None:
        self._most = most
        self._kept: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, answer_id: str, detail: Mapping[str, Any]) -> None:
        """Remember a finished answer."""
        with self._lock:
            self._kept[answer_id] = detail
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def get(self, answer_id: str) -> Mapping[str, Any] | None:
        """The answer, or None."""
        with self._lock:
            return self._kept.get(answer_id)


class State:
    """What lives around questions, on the services that the settings name; shared with the answering side."""

    def __init__(self, parts: Parts) -> None:
        own = parts.settings
        self.log: AnswerLog = parts.answer_log
        self.memory: Memory = parts.memory
        self.store: ObjectStore | None = parts.object_store if own.storage_bucket else None
        self.spool = parts.spool
        self.recorder = parts.recorder
        self.admission: Admission = admission(parts)
        self.suggested = Suggested(parts.suggestions, parts.memory, self.store)
        self.recent = RecentAnswers()
        self.metrics = Metrics(self._sessions, time.monotonic)

    def _sessions(self) -> int:
        return self.memory.active_sessions(_SESSION_SECONDS, Deadline.after(1.0))


class ChatApi:
    """Handlers of everything but ``POST /chat``."""

    def __init__(self, state: State, *, serves_metrics: bool) -> None:
        self._state = state
        self._serves_metrics = serves_metrics

    def routes(self) -> list[Route]:
        """The routes to hand to :class:`~shared.http.app.App`."""
        found = [
            Route("POST", "/feedback", self.feedback),
            Route("GET", "/chat/{answer_id}", self.pick_up),
            Route("GET", "/suggestions", self.suggestions),
            Route("DELETE", "/conversations/{conversation_id}", self.delete),
        ]
        return [*found, Route("GET", "/metrics", self.metrics)] if self._serves_metrics else found

    def feedback(self, request: Request) -> Reply:
        """``POST /feedback``."""
        deadline = self._admitted(request)
        body = request.decode(FeedbackBody)
        given = Feedback(
            _checked(body.answer_id, _ANSWER_ID, "answer_id"),
            body.rating,
            storable(body.reason),
            storable(body.comment),
            time.time(),
        )
        landing = self._state.recorder.keep(given, deadline)
        request.log.add(rungs={"memory": landing.place}, rating=body.rating)
        if not landing.recorded:
            raise _later("The feedback cannot be stored just now.")
        return Reply(FeedbackReply(recorded=True))

    def pick_up(self, request: Request) -> Reply:
        """``GET /chat/{answer_id}``: an answer whose stream broke; from here, Postgres or the spool."""
        deadline = self._admitted(request)
        answer_id = _checked(request.params["answer_id"], _ANSWER_ID, "answer_id")
        found, failed = self._state.recent.get(answer_id), False
        for look in (self._in_database, self._in_spool):
            if found is None:
                try:
                    found = look(answer_id, deadline.within(deadline.remaining() / 2))
                except LecternError:
                    failed = True
        if found is not None:
            return Reply(found)
        if failed:
            raise _later("The answer cannot be looked up just now.")
        raise RequestError(
            404,
            "unknown_answer",
            "There is no such answer.",
            hint="Ask the question again: it may have expired.",
        )

    def suggestions(self, request: Request) -> Reply:
        """``GET /suggestions``: the operator's, else those of the part of the site that the reader is in."""
        self._admitted(request)
        page = {name: _parameter(request, name, most) for name, most in _PAGE_PARAMETERS.items()}
        found = self._state.suggested.for_page(**page)
        return Reply(Suggestions(found), headers={"Cache-Control": "private, max-age=300"})

    def delete(self, request: Request) -> Reply:
        """``DELETE /conversations/{conversation_id}``: 204, or 202 when it waits for the database."""
        deadline = self._admitted(request)
        named = checked_conversation(request.params["conversation_id"])
        if self._state.store is None or self._state.spool is None:
            self._state.memory.delete_conversation(Deletion(named, time.time()), deadline)
            return Reply(status=204)
        listed, spool = DeletionList(self._state.store), self._state.spool
        done = Forgetting(self._state.memory, listed, spool.put, time.time).forget(named, deadline)
        return Reply(status=204 if done == "deleted" else 202)

    def metrics(self, _request: Request) -> Reply:
        """``GET /metrics``."""
        return Reply(self._state.metrics.text(), content_type=CONTENT_TYPE)

    def _admitted(self, request: Request) -> Deadline:
        deadline = Deadline.after(CALL_SECONDS)
        caller = self._state.admission.admit(request.headers, request.remote, deadline)
        self._state.admission.take_here(caller)
        return deadline

    def _in_database(self, answer_id: str, deadline: Deadline) -> Mapping[str, Any] | None:
        return self._state.log.detail(answer_id, deadline)

    def _in_spool(self, answer_id: str, deadline: Deadline) -> Mapping[str, Any] | None:
        spool, now = self._state.spool, time.time()
        if spool is None:
            return None
        return spool.answer(answer_id, now, deadline) or spool.answer(answer_id, now - _DAY, deadline)


def _later(message: str) -> RequestError:
    return RequestError(503, "unavailable", message, hint="Try again.", headers={"Retry-After": "2"})


def checked_conversation(identifier: str) -> str:
    """The id, if it has the documented form. Raises :class:`~shared.errors.RequestError` 400 otherwise."""
    return _checked(identifier, _CONVERSATION_ID, "conversation_id")


def _parameter(request: Request, name: str, most: int) -> str:
    value = request.query.get(name, "")
    if len(value) <= most and value.isprintable():
        return value
    raise RequestError(
        400,
        "invalid_request",
        f"{name} is longer than {most} characters, or has some that cannot be printed.",
        hint="Send the page's own address, version and language, or leave them out.",
    )


def _checked(value: str, form: re.Pattern[str], name: str) -> str:
    if form.fullmatch(value):
        return value
    raise RequestError(
        400,
        "invalid_request",
        f"{name} does not have the documented form.",
        hint="Send it as it was given out.",
    )
