"""A web server on loopback that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = "text/html; charset=utf-8"


@dataclass
class Answer:
    """What a path answers. ``raw`` is written instead of everything else, in pieces."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": HTML})
    raw: Callable[[], Iterator[bytes]] | None = None


Route = Answer | Callable[[Mapping[str, str]], Answer]
"""An answer, or what makes one of the request's headers (names in lower case)."""


class WebServer(ThreadingHTTPServer):
    """Answers ``routes`` by path, and 404 else. ``asked`` lists the paths; ``most_at_once`` the crowd."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.routes: dict[str, Route] = {}
        self.asked: list[str] = []
        self.heads: list[dict[str, str]] = []
        self.guard = threading.Lock()
        self.at_once = 0
        self.most_at_once = 0
        self.ended = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients of these tests hang up; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        server = self.server
        heads = {name.lower(): value for name, value in self.headers.items()}
        with server.guard:
            server.asked.append(self.path)
            server.heads.append(heads)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            route = server.routes.get(self.path, Answer(status=404))
            self._answer(route if isinstance(route, Answer) else route(heads))
        finally:
            with server.guard:
                server.at_once -= 1

    def _answer(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.close_connection = True
            for piece in answer.raw():
                self.wfile.write(piece)
                self.wfile.flush()
            return
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.status != 304:
            self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' own output is enough."""


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A running server; it ends with the block."""
    server = WebServer(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
