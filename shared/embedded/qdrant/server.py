"""The loopback server: HTTP/1.1 with kept-alive connections, one thread a connection."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from shared.embedded.qdrant.engine import Engine
from shared.embedded.qdrant.rest import respond
from shared.errors import RequestError, StackError

_LOG = logging.getLogger(__name__)
_LARGEST_BODY = 32 * 2**20  # bytes; Qdrant's own limit
_PROBES = {
    "/healthz": b"healthz check passed",
    "/readyz": b"all shards are ready",
    "/livez": b"livez check passed",
}
VERSION = {"title": "qdrant edge engine on loopback", "version": "1.16.3"}


class EmbeddedQdrant:
    """Qdrant's engine on ``home``, served at ``url`` on 127.0.0.1 from :meth:`start` to :meth:`stop`.

    ``port`` 0 takes a free one. With an ``api_key`` every request but the probes must carry it.
    The engine is opened by ``start``, which therefore must run after any fork.
    """

    def __init__(self, home: Path, *, port: int = 0, api_key: str = "") -> None:
        self._home = home
        self._port = port
        self._api_key = api_key
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:<port>``; only while it runs."""
        if self._server is None:
            raise StackError("The embedded Qdrant is not running.", hint="Call start() first.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Open the collections and listen; :class:`StackError` when folder or port are taken."""
        engine = Engine(self._home)
        try:
            server = _Server(("127.0.0.1", self._port), engine, self._api_key)
        except OSError as error:
            engine.close()
            raise StackError(
                f"The embedded Qdrant cannot listen on 127.0.0.1:{self._port}: {error.strerror}.",
                hint="Choose another port, or 0 for a free one.",
            ) from error
        self._server = server
        threading.Thread(
            target=server.serve_forever, args=(0.05,), name="embedded-qdrant", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """End the connections and flush the collections; may be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.hang_up()
            server.engine.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engine: Engine, api_key: str) -> None:
        self.engine = engine
        self.api_key = api_key
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End idle connections, whose threads would wait for a next request for ever."""
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    _LOG.debug("a connection had ended already")

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _LOG.debug("connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        _LOG.debug(format, *args)

    def _handle(self) -> None:
        started = time.perf_counter()
        path = urlsplit(self.path).path
        if path in _PROBES:
            self._send(200, _PROBES[path], "text/plain")
            return
        status, answer = self._answer(path)
        answer["time"] = time.perf_counter() - started
        self._send(status, msgspec.json.encode(answer), "application/json")

    def _answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body. This is where a request ends, so nothing passes it but as an answer."""
        try:
            body = self._body()
            self._check_key()
            if path == "/":
                return 200, dict(VERSION)
            return 200, {"result": respond(self.server.engine, self.command, path, body), "status": "ok"}
        except RequestError as error:
            return error.status, {"status": {"error": error.message}}
        except Exception as error:  # noqa: BLE001
            _LOG.exception("%s %s failed", self.command, path)
            return 500, {"status": {"error": f"Service internal error: {error}"}}

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.close_connection = True
            raise RequestError(411, "qdrant", "Bad request: a body needs its Content-Length")
        if int(length) > _LARGEST_BODY:
            self.close_connection = True
            raise RequestError(
                413, "qdrant", f"JSON payload ({length} bytes) is larger than allowed (33554432)"
            )
        return self.rfile.read(int(length))

    def _check_key(self) -> None:
        expected = self.server.api_key
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        given = self.headers.get("api-key") or bearer
        if expected and not hmac.compare_digest(given.encode(), expected.encode()):
            raise RequestError(401, "qdrant", "Must provide an API key or an Authorization bearer token")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
