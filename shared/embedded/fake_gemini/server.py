"""The fake's HTTP: routes, both stream forms, and the faults that happen on the wire."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from shared.embedded.fake_gemini import wire, words
from shared.embedded.fake_gemini.faults import Fault, Faults

_ROUTE = re.compile(r"/v1(?:beta|alpha)?/models/([^:/]+):(\w+)$")
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived, for tests to look at."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class FakeGemini:
    """The server. ``api_key`` is the only key it takes; None takes any. ``port`` 0 picks a free one.
    ``writer`` decides what it says, and may be changed while it runs.
    """

    api_key: str | None = "fake-key"
    port: int = 0
    faults: Faults = field(default_factory=Faults)
    writer: words.Writer = words.honest
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=_KEPT))
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away before its answer was complete."""
    _server: _Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeGemini) -> None:
        super().__init__(("127.0.0.1", fake.port), _Handler)
        self.fake = fake
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        with self._lock:
            self._open.add(accepted)
        return accepted, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def end(self) -> None:
        """Stop, and close what clients hold open."""
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for one in self._open:
                _sever(one)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: requests are kept in ``seen``."""

    def do_GET(self) -> None:
        try:
            wire.check_key(self._key(), self.server.fake.api_key)
            self._send(200, wire.listing(urlsplit(self.path).path), Fault())
        except wire.Refusal as refusal:
            self._send(refusal.code, refusal.document, Fault())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fake.faults.take(self.path)
        if fault.black_hole:
            self.server.stopping.wait()
            self.close_connection = True
            return
        self.server.stopping.wait(fault.first_byte_delay)
        try:
            self._answer(raw, fault)
        except wire.Refusal as refusal:
            # A stream in the JSON form is an array, and so is its error.
            array = "streamGenerateContent" in self.path and not self._is_sse()
            self._send(refusal.code, [refusal.document] if array else refusal.document, fault)
        except OSError:
            self.server.fake.left.set()
            self.close_connection = True

    def _answer(self, raw: bytes, fault: Fault) -> None:
        body = self._parsed(raw)
        wire.check_key(self._key(), self.server.fake.api_key)
        if fault.status:
            details = wire.throttled(fault) if fault.status == 429 else []  # noqa: PLR2004 - HTTP
            quota = "You exceeded your current quota, please check your plan."
            message = quota if details else "The model is overloaded."
            raise wire.Refusal(fault.status, message, details)
        route = _ROUTE.match(unquote(urlsplit(self.path).path))
        if route is None:
            raise wire.Refusal(404, "Requested entity was not found.")
        model, operation = route.groups()
        wire.check_model(model, operation)
        if fault.malformed:
            self._send_bytes(200, b"<html><body>Sign in to this network</body></html>", "text/html", fault)
        elif operation == "streamGenerateContent":
            self._stream(wire.generation(model, body, fault, self.server.fake.writer), fault)
        else:
            self._send(200, self._document(model, operation, body, fault), fault)

    def _document(self, model: str, operation: str, body: Any, fault: Fault) -> Any:
        if operation == "generateContent":
            return wire.whole(wire.generation(model, body, fault, self.server.fake.writer))
        if operation == "embedContent":
            return {"embedding": wire.embedding(model, body)}
        if operation == "batchEmbedContents":
            return wire.spoiled(wire.embeddings(model, body), fault.vectors)
        if operation == "countTokens":
            return wire.token_count(body)
        raise wire.Refusal(404, "Requested entity was not found.")

    def _parsed(self, raw: bytes) -> Any:
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw or b"{}")
        except ValueError as error:
            raise wire.Refusal(400, "Invalid JSON payload received.") from error
        self.server.fake.seen.append(Seen(self.path, headers, body))
        return body

    def _stream(self, chunks: list[wire.Document], fault: Fault) -> None:
        sse = self._is_sse()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if sse else "application/json; charset=UTF-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(repeat(chunks[0]) if fault.endless else chunks):
            if number == fault.cut_after:
                self._cut()
                return
            if number == fault.end_after:
                break
            failed = number == fault.error_after
            document = wire.error(503, "The model is overloaded.") if failed else chunk
            self._write_chunk(self._framed(document, number, sse=sse), fault)
            if failed:
                break
            self.server.stopping.wait(fault.chunk_delay)
        if not sse:
            self._write_chunk(b"]", Fault())
        self.wfile.write(b"0\r\n\r\n")

    def _framed(self, document: wire.Document, number: int, *, sse: bool) -> bytes:
        text = json.dumps(self._encoded(document), ensure_ascii=False).encode()
        if sse:
            return b"data: " + text + b"\r\n\r\n"
        return (b",\r\n" if number else b"[") + text

    def _write_chunk(self, data: bytes, fault: Fault) -> None:
        for piece in self._split(data, fault):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _split(self, data: bytes, fault: Fault) -> Iterator[bytes]:
        """The bytes to send at once: all, or one at a time with a pause between."""
        if not fault.trickle:
            yield data
            return
        for one in data:
            yield bytes([one])
            self.server.stopping.wait(fault.chunk_delay)

    def _send(self, status: int, document: Any, fault: Fault) -> None:
        data = json.dumps(self._encoded(document)).encode()
        self._send_bytes(status, data, "application/json; charset=UTF-8", fault)

    def _send_bytes(self, status: int, data: bytes, content_type: str, fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        if fault.retry_after:
            self.send_header("Retry-After", fault.retry_after)
        self.end_headers()
        if fault.cut_after is not None:
            self.wfile.write(data[: len(data) // 2])
            self._cut()
            return
        for piece in self._split(data, fault):
            self.wfile.write(piece)
            self.wfile.flush()

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        _sever(self.connection)

    def _encoded(self, document: Any) -> Any:
        return wire.numbered(document) if "enum-encoding=int" in unquote(self.path) else document

    def _is_sse(self) -> bool:
        return "alt=sse" in urlsplit(self.path).query

    def _key(self) -> str | None:
        found = re.search(r"[?&]key=([^&]+)", self.path)
        return self.headers.get("x-goog-api-key") or (found[1] if found else None)


def _sever(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
