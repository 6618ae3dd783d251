"""The application behind every function's entry point: a request comes in, exactly one answer goes out.

``App`` is called by functions-framework with a flask Request and returns a werkzeug Response. It never
raises: whatever happens is answered in the error shape and written to the log as one line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from werkzeug.wrappers import Request as WerkzeugRequest
from werkzeug.wrappers import Response

from shared.http import sse
from shared.http.cors import Cors
from shared.http.errors import Failure, failure_of
from shared.http.ids import new_request_id, read_request_id, read_trace
from shared.http.requests import EVENTS, Request, read_body
from shared.http.routes import Handler, Reply, Route, Table
from shared.http.sse import Event, EventStream, StreamBody
from shared.telemetry.logs import Logger, RequestLog, RequestRecord, Trace

_STALLED_READER_SECONDS = 30
_ALWAYS = {"X-Content-Type-Options": "nosniff"}


@dataclass(slots=True)
class _Exchange:
    """One request under way and what is known of it so far."""

    method: str
    path: str
    headers: Mapping[str, str]
    request_id: str
    trace: Trace | None
    started: float
    log: RequestLog = field(default_factory=RequestLog)
    route: str = ""
    request_bytes: int = 0
    error_code: str = ""


class App:
    """One function's HTTP side.

    Besides ``routes`` it answers ``GET /live``, which touches nothing, and ``GET /ready`` by the handler
    ``ready`` (without one: as ``/live``). ``max_body_bytes`` bounds every body. ``on_finish`` gets the record
    of each request after its log line; ``new_id`` and ``clock`` (monotonic seconds) are arguments for tests.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        name: str,
        logger: Logger | None = None,
        max_body_bytes: int = 1 << 20,
        cors: Cors | None = None,
        ready: Handler | None = None,
        on_finish: Callable[[RequestRecord], None] | None = None,
        new_id: Callable[[], str] = new_request_id,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        own = [Route("GET", "/live", _live), Route("GET", "/ready", ready or _ready)]
        self._table = Table([*routes, *own])
        self._logger = logger or Logger(name)
        self._max_body_bytes = max_body_bytes
        self._cors = cors or Cors()
        self._on_finish = on_finish
        self._new_id = new_id
        self._clock = clock

    def __call__(self, raw: WerkzeugRequest) -> Response:
        """Answer one request; the response's own iteration and closing are part of it."""
        exchange = self._open(raw)
        try:
            result = self._answer(exchange, raw)
            if isinstance(result, EventStream):
                return self._stream(exchange, raw, result)
            response = self._response(exchange, _encoded(result), result)
        except Exception as error:  # noqa: BLE001 - the request ends here: answered in the error shape and logged
            response = self._failed(exchange, error)
        self._finish(exchange, response.status_code, response.calculate_content_length() or 0)
        return response

    def _open(self, raw: WerkzeugRequest) -> _Exchange:
        headers = {name.lower(): value for name, value in raw.headers.items()}
        trace = read_trace(headers)
        request_id = read_request_id(headers, trace) or self._new_id()
        return _Exchange(raw.method, raw.path, headers, request_id, trace, self._clock())

    def _answer(self, exchange: _Exchange, raw: WerkzeugRequest) -> Reply | EventStream:
        exchange.route = self._table.pattern(exchange.path)
        # First of all, also for an unknown path: functions-framework would read an unread body without bound.
        body = read_body(raw, self._max_body_bytes)
        exchange.request_bytes = len(body)
        if exchange.method == "OPTIONS":
            return self._options(exchange)
        match = self._table.find(exchange.method, exchange.path)
        request = Request(
            method=exchange.method,
            path=exchange.path,
            route=exchange.route,
            params=match.params,
            query=raw.args.to_dict(),
            headers=exchange.headers,
            body=body,
            request_id=exchange.request_id,
            remote=raw.remote_addr or "",
            trace=exchange.trace,
            log=exchange.log,
        )
        return match.route.handler(request)

    def _options(self, exchange: _Exchange) -> Reply:
        allowed = self._table.methods(exchange.path)
        return Reply(
            status=204,
            headers={"Allow": allowed, **self._cors.preflight_headers(exchange.headers, allowed)},
        )

    def _response(self, exchange: _Exchange, body: bytes, reply: Reply) -> Response:
        headers = {"Cache-Control": "no-store", **reply.headers, **self._common(exchange)}
        response = Response(body, reply.status, headers, content_type=reply.content_type)
        if reply.body is None:
            response.headers.remove("Content-Type")
        return response

    def _common(self, exchange: _Exchange) -> dict[str, str]:
        return {**_ALWAYS, **self._cors.headers(exchange.headers), "X-Request-Id": exchange.request_id}

    def _failed(self, exchange: _Exchange, error: Exception) -> Response:
        failure = self._note(exchange, error)
        body = msgspec.json.encode(failure.body(exchange.request_id))
        reply = Reply(body, failure.status, failure.headers)
        response = self._response(exchange, body, reply)
        if failure.status == 413:  # noqa: PLR2004 - HTTP's number
            # functions-framework reads what is left of the body into memory, except for a streamed response.
            response.content_length = len(body)
            response.response = iter([body])
        return response

    def _note(self, exchange: _Exchange, error: Exception) -> Failure:
        failure = failure_of(error)
        exchange.error_code = failure.code
        exchange.log.add(error_message=str(error))
        if not failure.expected:
            where = f"{exchange.method} {exchange.route or exchange.path} failed: {type(error).__name__}"
            self._logger.failure(where, error, trace=exchange.trace, request_id=exchange.request_id)
        return failure

    def _stream(self, exchange: _Exchange, raw: WerkzeugRequest, stream: EventStream) -> Response:
        sock = raw.environ.get("gunicorn.socket") or raw.environ.get("werkzeug.socket")
        sse.limit_send_time(sock, _STALLED_READER_SECONDS)

        def on_error(error: Exception) -> Event:
            return Event("error", self._note(exchange, error).body(exchange.request_id))

        def on_end(sent: int, left: bool) -> None:
            self._finish(exchange, 200, sent, client_left=left)

        body = StreamBody(stream, sock=sock, on_error=on_error, on_end=on_end, clock=self._clock)
        if exchange.method != "HEAD":
            body.start()
        headers = {**sse.HEADERS, **stream.headers, **self._common(exchange)}
        return Response(body, 200, headers, content_type=EVENTS)

    def _finish(self, exchange: _Exchange, status: int, sent: int, *, client_left: bool = False) -> None:
        record = RequestRecord(
            method=exchange.method,
            path=exchange.path,
            route=exchange.route,
            status=status,
            seconds=self._clock() - exchange.started,
            request_id=exchange.request_id,
            request_bytes=exchange.request_bytes,
            response_bytes=sent,
            trace=exchange.trace,
            error_code=exchange.error_code,
            client_left=client_left,
            fields=exchange.log.fields(),
        )
        self._logger.request(record)
        if self._on_finish is None:
            return
        try:
            self._on_finish(record)
        except Exception as error:  # noqa: BLE001 - the request ends here, and its answer does not depend on this
            self._logger.failure("on_finish failed", error, trace=record.trace, request_id=record.request_id)


def _encoded(reply: Reply) -> bytes:
    if reply.body is None:
        return b""
    return reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)


def _live(_request: Request) -> Reply:
    return Reply(_status("live"))


def _ready(_request: Request) -> Reply:
    return Reply(_status("ready"))


def _status(word: str) -> dict[str, Any]:
    return {"status": word}
