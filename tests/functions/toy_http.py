"""A function made of nothing but the HTTP package, for test_http_under_gunicorn.py."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from shared import errors
from shared.http.app import App
from shared.http.cors import Cors
from shared.http.errors import not_implemented, too_many_requests
from shared.http.requests import Body, Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream

DIARY = Path(os.environ["TOY_DIARY"])


class Page(Body):
    url: str = ""


class Question(Body):
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    page: Page = Page()


def note(word: str) -> None:
    with DIARY.open("a") as diary:
        diary.write(f"{word} {time.monotonic()}\n")


def ask(request: Request) -> Reply | EventStream:
    question = request.decode(Question)
    request.log.add(rung="toy")
    if wants_stream(request):
        return EventStream(iter([Event("meta", {"answer_id": "a1"}), Event("done", {"kind": "extractive"})]))
    return Reply({"answer": question.question.upper()})


def stored(request: Request) -> Reply:
    return Reply({"answer_id": request.params["answer_id"], "query": dict(request.query)})


FAILURES = {
    "bug": lambda: KeyError("secret-detail"),
    "settings": lambda: errors.SettingsError(["DATABASE_URL is secret-detail"]),
    "throttled": lambda: errors.Throttled("gemini", "embed", "429", retry_after=1.2),
    "busy": lambda: too_many_requests("Too many questions.", 6.1, hint="Wait a little."),
    "later": lambda: not_implemented("Not in this deployment.", hint="Deploy it."),
    "unencodable": lambda: None,
}


def fail(request: Request) -> Reply:
    error = FAILURES[request.params["kind"]]()
    if error is None:
        return Reply({"it": object()})
    raise error


def ticks() -> Iterator[Event]:
    """Speaks every 0.1 s for ever."""
    try:
        n = 0
        while True:
            n += 1
            yield Event("token", {"text": str(n), "at": time.monotonic()})
            time.sleep(0.1)
    finally:
        note("closed")


def flood() -> Iterator[Event]:
    try:
        while True:
            yield Event("token", {"text": "x" * 60_000})
    finally:
        note("closed")


def breaks() -> Iterator[Event]:
    yield Event("token", {"text": "one"})
    raise KeyError("secret-detail")


def throttles() -> Iterator[Event]:
    yield Event("token", {"text": "one"})
    raise errors.Interrupted("gemini", "generate", "the stream ended early")


def silence(woken: threading.Event) -> Iterator[Event]:
    """Says one thing and then waits on something outside."""
    try:
        yield Event("token", {"text": "one"})
        woken.wait(60)
    finally:
        note("closed")


def stream(request: Request) -> EventStream:
    kind = request.params["kind"]
    if kind == "silence":
        woken = threading.Event()
        return EventStream(silence(woken), heartbeat_seconds=0.3, cancel=woken.set)
    return EventStream({"ticks": ticks, "flood": flood, "breaks": breaks, "throttles": throttles}[kind]())


def ready(_request: Request) -> Reply:
    raise errors.StackError("Postgres is still starting.", hint="Wait for it.")


APP = App(
    [
        Route("POST", "/chat", ask),
        Route("GET", "/chat/{answer_id}", stored),
        Route("GET", "/fail/{kind}", fail),
        Route("GET", "/stream/{kind}", stream),
    ],
    name="toy",
    max_body_bytes=4096,
    cors=Cors(frozenset({"https://docs.example.com"})),
    ready=ready,
)


def toy(request):
    """The entry point."""
    return APP(request)
