"""Cloud Scheduler's v1 REST API for jobs, as far as schedules are listed, paused and resumed.

After https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs: names, states,
paging, and the 400 FAILED_PRECONDITION for pausing what is paused. :class:`SchedulerState` answers requests
for any server that holds it; :class:`FakeScheduler` is such a server.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]
_PATH = re.compile(
    r"/v1/(?P<parent>projects/[^/]+/locations/[^/]+)/jobs(?:/(?P<name>[^/:]+)(?::(?P<verb>\w+))?)?$"
)
_NEEDS = {"pause": "ENABLED", "resume": "PAUSED"}
_BECOMES = {"pause": "PAUSED", "resume": "ENABLED"}


class SchedulerError(Exception):
    """An error answer in the shape of Google's APIs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": status, "message": message, "status": code}}


@dataclass
class SchedulerState:
    """Jobs by their full name. ``calls`` are the (verb, short name) that were answered well."""

    jobs: dict[str, Json] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, *, parent: str = "projects/p/locations/r", schedule: str = "0 3 * * *") -> None:
        """A job that runs; ``name`` is the short one."""
        full = f"{parent}/jobs/{name}"
        self.jobs[full] = {"name": full, "schedule": schedule, "timeZone": "UTC", "state": "ENABLED"}

    def state(self, name: str) -> str:
        """The state of the job with this short name."""
        return next(job["state"] for full, job in self.jobs.items() if full.endswith(f"/jobs/{name}"))

    def owns(self, path: str) -> bool:
        """Whether a path is one of this API's."""
        return bool(_PATH.match(path))

    def answer(self, method: str, path: str, query: Json, _body: bytes = b"") -> Json:
        """The resource that a request asks for. Raises :class:`SchedulerError`."""
        found = _PATH.match(path)
        if not found:
            raise SchedulerError(404, "NOT_FOUND", f"there is nothing at {path}")
        with self.lock:
            if not found["name"]:
                return self._page(found["parent"], query)
            return self._one(method, f"{found['parent']}/jobs/{found['name']}", found["verb"])

    def _page(self, parent: str, query: Json) -> Json:
        names = sorted(name for name in self.jobs if name.startswith(f"{parent}/jobs/"))
        start = int(query.get("pageToken") or 0)
        size = min(int(query.get("pageSize") or 500), 500)
        page: Json = {"jobs": [self.jobs[name] for name in names[start : start + size]]}
        if start + size < len(names):
            page["nextPageToken"] = str(start + size)
        self.calls.append(("list", parent))
        return page

    def _one(self, method: str, full: str, verb: str | None) -> Json:
        if full not in self.jobs:
            raise SchedulerError(404, "NOT_FOUND", f"Job {full} not found.")
        job = self.jobs[full]
        if verb is None and method == "GET":
            return job
        if verb not in _NEEDS or method != "POST":
            raise SchedulerError(400, "INVALID_ARGUMENT", f"{method} {verb} is not part of this fake")
        if job["state"] != _NEEDS[verb]:
            message = f"Job must be in state {_NEEDS[verb]}, not {job['state']}."
            raise SchedulerError(400, "FAILED_PRECONDITION", message)
        job["state"] = _BECOMES[verb]
        self.calls.append((verb, full.rpartition("/")[2]))
        return job


class FakeScheduler:
    """The API on 127.0.0.1. ``faults`` are taken one a request: a status to answer with, ``"cut"``,
    ``"hang"`` or ``"garbage"``. ``page_size`` bounds a page, whatever is asked.
    """

    def __init__(self, *, page_size: int = 500) -> None:
        self.state = SchedulerState()
        self.faults: list[int | str] = []
        self.page_size = page_size
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeScheduler

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are the point."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, as the base class
        """Quiet."""

    def _serve(self) -> None:
        fake = self.server.fake
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = fake.faults.pop(0) if fake.faults else None
        if fault == "hang":
            fake.stopped.wait(20)
        if fault in {"cut", "hang"}:
            self.close_connection = True
            return
        if fault == "garbage":
            self._send(200, b"<html>captive portal</html>")
            return
        if isinstance(fault, int):
            self._error(SchedulerError(fault, "FAULT", "as the test asked"))
            return
        split = urlsplit(self.path)
        query = dict(parse_qsl(split.query))
        query["pageSize"] = min(int(query.get("pageSize") or 500), fake.page_size)
        try:
            answer = fake.state.answer(self.command, split.path, query, body)
        except SchedulerError as error:
            self._error(error)
        else:
            self._send(200, json.dumps(answer).encode())

    do_GET = _serve  # noqa: N815, the base class's name
    do_POST = _serve  # noqa: N815

    def _error(self, error: SchedulerError) -> None:
        self._send(error.status, json.dumps(error.body).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()))
        self.end_headers()
        self.wfile.write(body)
