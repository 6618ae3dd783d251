"""Where requests come in: an address of each service, whose requests are split by percent, and one for each
tag.

A request is passed on to the instance of the chosen revision. What Cloud Run answers itself is answered here:
403 without a right to call, 404 for a tag that is gone, 429 when the instance is full, 503 when it does not
come up or dies under the request, 504 when it takes longer than the revision's time-out.
"""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.cloud_run.instances import Instance, NotStarted
from tests.fakes.served import QuietHandler, QuietServer

_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length", "date", "server"}
_QUEUE_SECONDS = 10.0
_BLOCK = 65536


@dataclass(frozen=True)
class Route:
    """A revision that answers, and the bounds of its container."""

    revision: str
    instance: Instance
    timeout: float
    slots: threading.Semaphore


@dataclass(frozen=True)
class Served:
    """A finished request: when it came in (Unix seconds), on which revision, with which status, in which
    region.
    """

    service: str
    revision: str
    status: int
    at: float
    seconds: float
    tag: str
    region: str = ""


Choose = Callable[[], Route | None]
Allowed = Callable[[str], bool]


class Front:
    """An address. ``choose`` says which revision gets the next request; ``allowed`` sees
    ``Authorization``.
    """

    def __init__(
        self, service: str, tag: str, choose: Choose, allowed: Allowed, note: Callable[[Served], None]
    ) -> None:
        self.service, self.tag = service, tag
        self.choose, self.allowed, self.note = choose, allowed, note
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.front = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def weighted(routes: list[tuple[Route, int]], dice: random.Random) -> Route | None:
    """One of them, by its percent."""
    total = sum(percent for _, percent in routes)
    if not total:
        return None
    drawn = dice.random() * total
    for route, percent in routes:
        drawn -= percent
        if drawn < 0:
            return route
    return routes[-1][0]


class _Server(QuietServer):
    front: Front


class _Handler(QuietHandler):
    server: _Server

    def _serve(self) -> None:
        front = self.server.front
        started, clock = time.time(), time.perf_counter()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        route = front.choose()
        if route is None:
            self._say(404, "The requested URL was not found on this server.")
            return
        if not front.allowed(self.headers.get("Authorization", "")):
            status = self._say(403, "Your client does not have permission to get this URL.")
        else:
            status = self._pass_on(route, body)
        front.note(
            Served(front.service, route.revision, status, started, time.perf_counter() - clock, front.tag)
        )

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = _serve  # noqa: N815

    def _pass_on(self, route: Route, body: bytes) -> int:
        if not route.slots.acquire(timeout=_QUEUE_SECONDS):
            return self._say(429, "Rate exceeded.")
        try:
            return self._ask(route, body)
        except NotStarted:
            return self._say(503, "Service Unavailable")
        except (TimeoutError, socket.timeout):  # noqa: UP041 - both spellings are met
            return self._say(504, "upstream request timeout")
        except (OSError, http.client.HTTPException):
            return self._say(503, "upstream connect error or disconnect/reset before headers")
        finally:
            route.slots.release()

    def _ask(self, route: Route, body: bytes) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", route.instance.ensure(), timeout=route.timeout)
        try:
            headers = {name: text for name, text in self.headers.items() if name.lower() not in _HOP}
            headers |= {"Content-Length": str(len(body)), "X-Forwarded-For": self.client_address[0]}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._begin(answer)
            return self._hand_over(answer)
        finally:
            connection.close()

    def _begin(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, text in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, text)
        length = answer.getheader("Content-Length")
        if length is not None:
            self.send_header("Content-Length", length)
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def _hand_over(self, answer: http.client.HTTPResponse) -> int:
        """The body as it comes; a container that dies in the middle cuts it."""
        try:
            while block := answer.read1(_BLOCK):
                self.wfile.write(block)
                self.wfile.flush()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return 503
        return answer.status

    def _say(self, status: int, text: str) -> int:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return status
