"""Server-sent events without a server: when the source runs, stops and is closed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from shared.http.sse import Event, EventStream, StreamBody, encode_event, limit_send_time, peer_left


class Ends:
    """Remembers how a stream ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []
        self.errors: list[Exception] = []

    def on_end(self, sent: int, left: bool) -> None:
        self.calls.append((sent, left))

    def on_error(self, error: Exception) -> Event:
        self.errors.append(error)
        return Event("error", {"error": {}})

    def body(self, stream: EventStream, sock: socket.socket | None = None) -> StreamBody:
        return StreamBody(stream, sock=sock, on_error=self.on_error, on_end=self.on_end)


def counted(closed: list[int], n: int) -> Iterator[Event]:
    try:
        for i in range(n):
            yield Event("token", {"text": i})
    finally:
        closed.append(threading.get_ident())


def test_line_breaks_and_unicode_stay_in_one_data_line() -> None:
    """A code block in an answer would be cut at its first line break."""
    wire = encode_event(Event("token", {"text": "a\nb\r\n\u2028é"}))
    assert wire == 'event: token\ndata: {"text":"a\\nb\\r\\n\u2028é"}\n\n'.encode()


def test_every_event_is_sent_and_the_source_closed_before_the_end() -> None:
    """The last words of an answer would be lost, or its record written after the processor is taken away."""
    ends, closed = Ends(), []
    body = ends.body(EventStream(counted(closed, 500)))
    body.start()
    wire = b"".join(body)
    assert closed
    body.close()
    body.close()
    assert wire.count(b"event: token") == 500
    assert ends.calls == [(len(wire), False)]
    assert not ends.errors


def test_a_stream_that_is_never_read_is_closed() -> None:
    """A HEAD request, or a reader that leaves at once, would leak whatever the source had opened."""
    ends, closed = Ends(), []
    source = counted(closed, 5)
    next(source)
    ends.body(EventStream(source)).close()
    assert closed == [threading.get_ident()]
    assert ends.calls == [(0, False)]


def test_leaving_closes_the_source_in_its_own_thread_and_wakes_it() -> None:
    """A source that waits for a model would go on until the model answers."""
    ends, closed, woken = Ends(), [], threading.Event()

    def waiting() -> Iterator[Event]:
        try:
            yield Event("token", {})
            woken.wait(60)
            yield Event("token", {})
        finally:
            closed.append(threading.get_ident())

    body = ends.body(EventStream(waiting(), cancel=woken.set))
    body.start()
    reading = iter(body)
    next(reading)
    next(reading)
    started = time.monotonic()
    body.close()
    assert time.monotonic() - started < 1
    assert closed
    assert closed != [threading.get_ident()]
    assert ends.calls[0][1] is True


def test_an_error_while_closing_is_reported() -> None:
    """A failure to record an answer would go unnoticed, and the stream would hang."""
    ends = Ends()

    def untidy() -> Iterator[Event]:
        try:
            while True:
                yield Event("token", {})
        finally:
            raise OSError("disk full")

    body = ends.body(EventStream(untidy()))
    body.start()
    next(iter(body))
    body.close()
    assert [str(error) for error in ends.errors] == ["disk full"]


def test_data_that_is_not_json_is_an_error_event() -> None:
    """A mistake in our own data would end the stream without a word."""
    ends = Ends()
    body = ends.body(EventStream(iter([Event("token", object())])))
    body.start()
    assert b"event: error" in b"".join(body)


def test_peer_left_sees_the_close_and_takes_nothing() -> None:
    """The next request on a kept connection would lose its first bytes."""
    ours, theirs = socket.socketpair()
    with ours:
        assert not peer_left(None)
        assert not peer_left(ours)
        theirs.sendall(b"GET")
        assert not peer_left(ours)
        assert ours.recv(10) == b"GET"
        theirs.close()
        assert peer_left(ours)
        ours.settimeout(5)
        assert not peer_left(ours)  # a look would wait, so it does not look


def test_a_send_to_a_stuck_reader_ends() -> None:
    """A browser that stops reading would hold a thread of the instance for ever."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        limit_send_time(ours, 1)
        started = time.monotonic()
        with pytest.raises(BlockingIOError):
            ours.sendall(b"x" * (64 << 20))
        assert 0.5 < time.monotonic() - started < 5


def test_a_source_that_ignores_its_reader_does_not_hold_the_server() -> None:
    """One stuck source would keep a serving thread busy although its reader is gone."""
    ends, released = Ends(), threading.Event()

    def stubborn() -> Iterator[Event]:
        yield Event("token", {})
        released.wait(60)

    body = ends.body(EventStream(stubborn()))
    body.start()
    reading = iter(body)
    next(reading)
    next(reading)
    started = time.monotonic()
    body.close()
    assert time.monotonic() - started < 4
    assert ends.calls
    released.set()
