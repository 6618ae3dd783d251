"""A peer on loopback that answers every request with the same bytes, or does not answer."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)


@dataclass(frozen=True)
class Fault:
    """What the peer sends (None: nothing, and the connection stays open), and what must come of it."""

    name: str
    sent: bytes | None
    raised: type[DependencyError]
    retry_after: float | None = None


def http(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """An HTTP answer; ``length`` may promise more than ``body`` holds."""
    size = len(body) if length is None else length
    head = "\r\n".join(
        [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *headers, "", ""]
    )
    return head.encode() + body


def said(error: str) -> bytes:
    return json.dumps({"status": {"error": error}, "time": 0.0}).encode()


FAULTS = [
    Fault("silent", None, TimedOut),
    Fault("hung up", b"", Unreachable),
    Fault("cut in the headers", b"HTTP/1.1 200 OK\r\nContent-Le", Unreachable),
    Fault("cut in the body", http("200 OK", b'{"result": [', length=1000), Unreachable),
    Fault("not HTTP", b"220 mail.example.com ESMTP ready\r\n\r\n", Garbled),
    Fault("a web page", http("200 OK", b"<html>Welcome</html>", "Content-Type: text/html"), Garbled),
    Fault("no JSON", http("200 OK", b'{"result": '), Garbled),
    Fault("another form", http("200 OK", b'{"result": 5, "status": "ok", "time": 0.1}'), Garbled),
    Fault("no result", http("200 OK", b'{"status": "ok", "time": 0.1}'), Garbled),
    Fault("not UTF-8", http("200 OK", b'{"result": "\xff\xfe"}'), Garbled),
    Fault("not gzip", http("200 OK", b"{}", "Content-Encoding: gzip"), Garbled),
    Fault("zipped page", http("200 OK", gzip.compress(b"<p>"), "Content-Encoding: gzip"), Garbled),
    Fault("redirect", http("302 Found", b"", "Location: http://127.0.0.1:1/"), Garbled),
    Fault("bad request", http("400 Bad Request", said("Wrong input: no")), Rejected),
    Fault("no key", http("401 Unauthorized", b"Must provide an API key"), AccessDenied),
    Fault("wrong key", http("403 Forbidden", said("forbidden")), AccessDenied),
    Fault("no such path", http("404 Not Found", b""), Missing),
    Fault("late", http("408 Request Timeout", said("Timeout error")), TimedOut),
    Fault("late gateway", http("504 Gateway Timeout", b""), TimedOut),
    Fault("throttled", http("429 Too Many Requests", said("slow down"), "Retry-After: 7"), Throttled, 7.0),
    Fault("throttled, unsaid", http("429 Too Many Requests", b""), Throttled),
    Fault(
        "throttled to a date",
        http("429 Too Many Requests", b"", "Retry-After: Fri, 31 Dec 2049 23:59:59 GMT"),
        Throttled,
    ),
    Fault("broken", http("500 Internal Server Error", said("Service internal error")), Overloaded),
    Fault("full", http("503 Service Unavailable", b"", "Retry-After: 2"), Overloaded),
]


@contextmanager
def peer(sent: bytes | None, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that reads each request and answers ``sent``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, sent, tls, done))
        thread.start()
        scheme = "https" if tls else "http"
        address, port = listener.getsockname()
        try:
            yield f"{scheme}://{address}:{port}"
        finally:
            done.set()
            with suppress(OSError), socket.create_connection((address, port), timeout=1):
                pass  # wakes the accept
            thread.join()


def _serve(
    listener: socket.socket, sent: bytes | None, tls: ssl.SSLContext | None, done: threading.Event
) -> None:
    kept: list[socket.socket] = []
    while not done.is_set():
        connection, _ = listener.accept()
        kept.append(connection)
        with suppress(OSError):
            connection.settimeout(5)
            connection = tls.wrap_socket(connection, server_side=True) if tls else connection
            kept.append(connection)
            _read_request(connection)
            if sent is not None:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()
    for connection in kept:
        connection.close()


def _read_request(connection: socket.socket) -> None:
    """Head and body, so that closing afterwards is a clean end and not a reset."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    missing = (int(lengths[0]) if lengths else 0) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536))


@contextmanager
def answering(answers: dict[str, bytes | None], otherwise: bytes) -> Iterator[str]:
    """The address of a server that answers 200 with the body for ``METHOD /path``, or ``otherwise``.

    None answers 503.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = answers.get(f"{self.command} {self.path.partition('?')[0]}", otherwise)
            self.wfile.write(http("503 Service Unavailable", b"") if body is None else http("200 OK", body))

        do_POST = do_GET  # noqa: N815
        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # kept connections end with the test's client

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
