"""A Qdrant that fails now and then: a proxy that answers every so many requests by itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@contextmanager
def flaky(url: str, status: int, every: int, headers: dict[str, str] | None = None) -> Iterator[str]:
    """The address of the proxy before ``url``; each ``every``-th request is answered with ``status``."""
    client = httpx.Client(base_url=url, timeout=60)
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if next(numbers) % every == 0:
                self._send(status, b"{}", headers or {})
                return
            given = {"api-key": self.headers.get("api-key", ""), "content-type": "application/json"}
            answer = client.request(self.command, self.path, content=body, headers=given)
            self._send(answer.status_code, answer.content, {"content-type": "application/json"})

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _send(self, code: int, body: bytes, extra: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in {**extra, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # kept connections end with the test's client

    with client, Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
