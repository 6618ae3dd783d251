"""What fakes of JSON APIs share: a quiet server on a free port that dies with the test, and faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


class Refusal(Exception):
    """An error answer in the shape of Google's APIs (https://google.aip.dev/193)."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.body: dict[str, Any] = {"error": {"code": status, "message": message, "status": code}}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. ``host`` is empty unless the client took the server for a proxy."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    headers: Message
    raw: bytes

    def body(self) -> Any:
        """What was sent as JSON; nothing is an empty object."""
        try:
            return json.loads(self.raw) if self.raw else {}
        except ValueError as error:
            raise Refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload received.") from error


class FakeApi:
    """Use it as a context manager. ``requests`` are the lines that came.

    ``faults`` are taken one a request: ``"cut"`` (reset before anything is done), ``"lose"`` (done, but never
    answered), ``"hang"``, ``"drip"`` (a byte at a time), ``"garbage"``, a status or a :class:`Refusal`.
    """

    def __init__(self) -> None:
        self.faults: list[Refusal | int | str] = []
        self.requests: list[str] = []
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Status, and what is sent as JSON, or bytes as they are. Raises :class:`Refusal`."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


class QuietServer(ThreadingHTTPServer):
    """Ends with the test, and says nothing of clients that give up: they are the point."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet."""


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections, and writes no log."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, as the base class
        """Quiet."""


class _Server(QuietServer):
    fake: FakeApi


class _Handler(QuietHandler):
    server: _Server

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
            status, found = self._answer(fault, raw)
        except Refusal as error:
            self._send(error.status, json.dumps(error.body).encode(), error.headers)
            return
        if fault == "lose":
            self.close_connection = True
            return
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self._send(status, body, drip=fault == "drip")

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815, the base class's names

    def _answer(self, fault: Refusal | int | str | None, raw: bytes) -> tuple[int, Any]:
        if isinstance(fault, int):
            raise Refusal(fault, "FAULT", "as the test asked")
        if isinstance(fault, Refusal):
            raise fault
        split = urlsplit(self.path)
        asked = Asked(self.command, split.netloc, split.path, dict(parse_qsl(split.query)), self.headers, raw)
        return self.server.fake.answer(asked)

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, *, drip: bool = False
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
