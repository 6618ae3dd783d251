"""The page in front of a function that speaks the event contract, for test_page.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request as WerkzeugRequest

from shared.embedded import page
from shared.errors import Interrupted
from shared.http.app import App
from shared.http.errors import too_many_requests
from shared.http.requests import Body, Request, wants_stream
from shared.http.routes import Reply, Route
from shared.http.sse import Event, EventStream
from shared.telemetry.logs import Logger

RESTORE = """A restore takes a **recovery point** and rebuilds both sides from it:

1. Pick the point: `lectern recovery list`
2. Start the restore in a *sealed room*:

   ```bash
   lectern recovery restore 2026-11-20T03:00Z \\
     --into sealed-room --questions golden
   ```

3. Read the [report](./drill.md#reading-the-report) before you switch.

| Part | Restored from | Time |
| --- | --- | ---: |
| Postgres | the export | 40 s |
| Vectors | the points | 95 s |
"""
DRILL = """:::tip
A drill is a restore that nobody needed yet.
:::

The age of the last good drill is on the health page as `drill_age_hours`. It fails when:

- a digest does not match its part,
- a golden question gets another answer,
  - also when only the *order* of the passages changed,
- the room cannot be opened.

> No manifest, no backup.
"""
LONG = "\n\n".join(
    f"Paragraph {n} of a long passage. " + "It goes on for a while. " * 12 for n in range(1, 9)
)
HOSTILE = """<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>

[click](javascript:document.title='owned') ![x](javascript:alert(1)) [data](data:text/html,<script>)

`<b>code</b>` **<i>bold</i>** \\<b\\> &lt;b&gt;
"""


def citation(n: int, title: str, path: list[str], url: str, quote: str) -> dict[str, Any]:
    return {"n": n, "title": title, "heading_path": path, "url": url, "quote": quote}


RESTORE_CITATIONS = [
    citation(
        1,
        "Recovery",
        ["Recovery", "Restoring", "From a recovery point"],
        "/docs/recovery#from-a-recovery-point",
        RESTORE,
    ),
    citation(2, "Drills", ["Drills"], "/docs/recovery/drill#drills", DRILL),
    citation(3, "Recovery", ["Recovery", "Why one point"], "/docs/recovery#why-one-point", LONG),
]
NEAREST = [
    {"title": "Configuration", "url": "/docs/configuration"},
    {"title": "Operating", "url": "/docs/operating"},
]


def found(citations: list[dict[str, Any]], degraded: list[str]) -> dict[str, Any]:
    rung = "full_text" if degraded else "hybrid"
    return {
        "answer_id": "a1",
        "kind": "extractive",
        "answer": "These passages of the docs answer it:",
        "citations": citations,
        "nearest": [],
        "rung": rung,
        "degraded": degraded,
        "generation": "g1",
        "recorded": not degraded,
        "timings_ms": {"total": 41.7},
    }


def reply_to(question: str) -> dict[str, Any]:
    if "risotto" in question:
        return {**found([], []), "kind": "not_found", "answer": "The docs do not say.", "nearest": NEAREST}
    if "hostile" in question:
        return found(
            [citation(1, "<b>Title</b>", ["<i>Path</i>"], "javascript:document.title='owned'", HOSTILE)], []
        )
    degraded = ["qdrant: search failed: connection refused"] if "down" in question else []
    return found(RESTORE_CITATIONS, degraded)


def as_events(answer: dict[str, Any], question: str) -> Iterator[Event]:
    yield Event("meta", {name: answer[name] for name in ("answer_id", "kind", "rung", "degraded")})
    for word in answer["answer"].split(" "):
        yield Event("token", {"text": word + " "})
    for one in answer["citations"]:
        if "breaks" in question:
            raise Interrupted("gemini", "generate", "the stream ended early", hint="Ask again.")
        yield Event("citation", one)
        time.sleep(0.05)
        while "endless" in question:
            time.sleep(0.05)
            yield Event("token", {"text": "and "})
    done = {name: answer[name] for name in ("kind", "nearest", "recorded", "timings_ms")}
    yield Event("done", {**done, "usage": None})


class Question(Body):
    question: str


def chat(request: Request) -> Reply | EventStream:
    question = request.decode(Question).question
    if "too fast" in question:
        raise too_many_requests("You asked too many questions.", 2, hint="Wait a moment, then ask again.")
    answer = reply_to(question)
    if wants_stream(request) and "as json" not in question:
        return EventStream(as_events(answer, question))
    return Reply(answer)


def files() -> list[Route]:
    def serve(asset: page.Asset):
        return lambda _request: Reply(
            asset.content, headers=dict(page.HEADERS), content_type=asset.content_type
        )

    return [Route("GET", path, serve(asset)) for path, asset in page.assets().items()]


def handbook(request: Request) -> Reply:
    return Reply(f"<h1 id=x>{request.path}</h1>".encode(), content_type="text/html; charset=utf-8")


class Quiet(WSGIRequestHandler):
    """Says nothing of its requests."""

    def log(self, *_args) -> None:
        pass


@contextmanager
def running() -> Iterator[str]:
    """Serve the page on a free port of the loopback; its address."""
    docs = [Route("GET", path, handbook) for path in ("/docs", "/docs/{page}", "/docs/{page}/{sub}")]
    routes = [*files(), *docs, Route("POST", "/chat", chat)]
    app = App(routes, name="page", logger=Logger("page", write=lambda _line: None))
    wsgi = WerkzeugRequest.application(app)
    server = make_server("127.0.0.1", 0, wsgi, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
