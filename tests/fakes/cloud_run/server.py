"""The fake's HTTP side on 127.0.0.1: routes to its states, and faults on demand."""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.jobs import JobsState

Json = dict[str, Any]
_REGIONAL = re.compile(r"([a-z]+-[a-z]+[0-9]+)-run\.")


class State(Protocol):
    """One part of the API."""

    def owns(self, path: str) -> bool: ...

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> Json: ...


class FakeCloudRun:
    """The API. ``faults`` are taken one a request: an error to answer with, ``"cut"`` (reset before anything
    is done), ``"lose"`` (done, but never answered), ``"hang"``, ``"drip"`` (a byte at a time) or
    ``"garbage"``. ``parts`` are further states, asked in turn.
    """

    def __init__(self, *parts: State, jobs: JobsState | None = None) -> None:
        self.jobs = jobs or JobsState()
        self.parts: tuple[State, ...] = (self.jobs, *parts)
        self.faults: list[RunError | str] = []
        self.requests: list[str] = []
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
        self.jobs.stop()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeCloudRun

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are the point."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, as the base class
        """Quiet."""

    def _serve(self) -> None:
        fake = self.server.fake
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fake.requests.append(f"{self.command} {self.path}")
        fault = fake.faults.pop(0) if fake.faults else None
        if fault == "hang":
            fake.stopped.wait(20)
        if fault in {"cut", "hang"}:
            self.close_connection = True
            return
        if fault == "garbage":
            self._send(200, b"<html>captive portal</html>")
            return
        try:
            if isinstance(fault, RunError):
                raise fault
            answer = self._answer(raw)
        except RunError as error:
            self._send(error.status, json.dumps(error.body).encode(), error.headers)
            return
        if fault == "lose":
            self.close_connection = True
            return
        self._send(200, json.dumps(answer).encode(), drip=fault == "drip")

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815, the base class's names

    def _answer(self, raw: bytes) -> Json:
        split = urlsplit(self.path)
        path = _with_region(split.netloc, split.path)
        try:
            body = json.loads(raw) if raw else {}
        except ValueError as error:
            raise RunError(400, "Invalid JSON payload received.") from error
        for part in self.server.fake.parts:
            if part.owns(path):
                return part.answer(self.command, path, dict(parse_qsl(split.query)), body)
        raise RunError(404, f"The requested URL {split.path} was not found on this server.")

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, drip: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        for piece in (body[i : i + 1] for i in range(len(body))) if drip else [body]:
            self.wfile.write(piece)
            if drip:
                self.wfile.flush()
                time.sleep(0.05)


def _with_region(host: str, path: str) -> str:
    """The path with the region, which gcloud names in the host alone: ``europe-west1-run.googleapis.com``."""
    found = _REGIONAL.match(host)
    return f"/regions/{found[1]}{path}" if found else path
