"""Server-sent events: an iterator of events becomes an unbuffered response that notices when nobody listens.

Source of the wire form: HTML Living Standard, "Server-sent events"; one ``event:`` and one ``data:`` line
each, the data a line of JSON.

The source runs in a thread of its own, so that the serving thread can send heartbeats while the source is
silent and see the reader leave. The source is closed by the thread that runs it, between two events; what
blocks inside the source is woken through ``EventStream.cancel``.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
# The opening comment carries the headers to the reader before the first event exists.
_OPENING = b": open\n\n"
_HEARTBEAT = b": heartbeat\n\n"
_POLL_SECONDS = 0.2
_JOIN_SECONDS = 2.0
_QUEUED_EVENTS = 64


@dataclass(frozen=True, slots=True)
class Event:
    """``name`` is ``meta``, ``token``, ``citation``, ``done`` or ``error``; ``data`` becomes JSON."""

    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that is sent as it comes into being.

    ``events`` is closed when it ends, fails, or the reader leaves; it runs in another thread than the
    handler. ``heartbeat_seconds`` is the longest silence on the wire. ``cancel`` is called once, from another
    thread than the source's, when the reader leaves before the end: it should make the source's pending call
    return.
    """

    events: Iterator[Event]
    heartbeat_seconds: float = 15.0
    cancel: Callable[[], None] | None = None
    headers: dict[str, str] = field(default_factory=dict)


def encode_event(event: Event) -> bytes:
    """The event's bytes on the wire; JSON text has no line breaks, so one ``data:`` line holds it."""
    return b"event: %s\ndata: %s\n\n" % (event.name.encode(), msgspec.json.encode(event.data))


class StreamBody:
    """The iterable that the WSGI server sends.

    ``on_error`` turns an exception of the source into the closing ``error`` event (and logs it); ``on_end``
    is called once when the response is over, with the bytes sent and whether the reader left before the end.
    """

    def __init__(
        self,
        stream: EventStream,
        *,
        sock: socket.socket | None,
        on_error: Callable[[Exception], Event],
        on_end: Callable[[int, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._sock = sock
        self._on_error = on_error
        self._on_end = on_end
        self._clock = clock
        self._queue: queue.Queue[bytes | None] = queue.Queue(_QUEUED_EVENTS)
        self._stopped = threading.Event()
        self._closed = False
        self._ended = False
        self._sent = 0
        self._thread = threading.Thread(target=self._feed, name="events", daemon=True)

    def start(self) -> None:
        """Begin to run the source."""
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        yield self._count(_OPENING)
        last = self._clock()
        while True:
            chunk: bytes | None
            try:
                chunk = self._queue.get(timeout=min(_POLL_SECONDS, self._stream.heartbeat_seconds))
            except queue.Empty:
                chunk = b""
            if chunk is None:
                self._ended = True
                return
            if peer_left(self._sock):
                return
            if not chunk and self._clock() - last < self._stream.heartbeat_seconds:
                continue
            yield self._count(chunk or _HEARTBEAT)
            last = self._clock()

    def close(self) -> None:
        """Stop the source and wait a moment for it; called by the server, whatever happened."""
        if self._closed:
            return
        self._closed = True
        self._stopped.set()
        started = self._thread.ident is not None
        if not started:
            self._close_source()
        elif not self._ended and self._stream.cancel is not None:
            self._stream.cancel()
        # Cloud Run takes the processor away after the response, so the source ends inside it if it can.
        if started:
            self._thread.join(_JOIN_SECONDS)
        self._on_end(self._sent, started and not self._ended)

    def _count(self, chunk: bytes) -> bytes:
        self._sent += len(chunk)
        return chunk

    def _feed(self) -> None:
        try:
            for event in self._stream.events:
                if not self._put(encode_event(event)):
                    break
        except Exception as error:  # noqa: BLE001 - the request ends here; on_error logs it
            self._put(encode_event(self._on_error(error)))
        finally:
            self._close_source()
            self._put(None)

    def _close_source(self) -> None:
        close = getattr(self._stream.events, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception as error:  # noqa: BLE001 - a source that fails while it closes; on_error logs it
            self._on_error(error)

    def _put(self, chunk: bytes | None) -> bool:
        """Queue the chunk, waiting for a slow reader; False when there is nobody to read it any more."""
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(chunk, timeout=_POLL_SECONDS)
                return True
        return False


def peer_left(sock: socket.socket | None) -> bool:
    """Whether the other end closed the connection, without taking anything from it.

    A server learns of it otherwise only from its second failed write. False when it cannot be known: no
    socket, TLS, or a socket with a time-out, on which a look would wait.
    """
    if sock is None or sock.gettimeout():
        return False
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, InterruptedError, ValueError):
        return False
    except OSError:
        return True


def limit_send_time(sock: socket.socket | None, seconds: int) -> None:
    """Make a send to a reader that takes nothing fail after ``seconds``; a thread would hang in it for ever.

    Set in the kernel, since the server owns the socket object's own time-out.
    """
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, 0))
