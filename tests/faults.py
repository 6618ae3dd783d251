"""A TCP proxy on loopback that does to a connection what networks do."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)


class FaultProxy:
    """Stands in front of ``target`` (host, port) at ``127.0.0.1:port``.

    Faults hold for connections made from then on and, where it makes sense, for open ones:

    - :meth:`refuse`: nothing listens
    - :meth:`black_hole`: connections are accepted and nothing is ever answered
    - :meth:`delay`: each answer comes that much later
    - :meth:`cut_after`: after so many bytes of answer the connection is reset; after ``times`` of
      that (when given) the proxy is honest again
    - :meth:`garbage`: the first bytes sent are answered with these
    - :meth:`cut_open`: every open connection is reset now
    - :meth:`heal`: an honest proxy again

    ``connections`` counts the accepted ones; ``turns`` how often an answer began after bytes were
    sent, which is the number of round trips of a client that waits for its answers.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._guard = threading.Condition()
        self._open: set[socket.socket] = set()
        self._mode = "honest"
        self._seconds = 0.0
        self._bytes = 0
        self._reply = b""
        self._times: int | None = None
        self._closed = threading.Event()
        self.connections = 0
        self.turns = 0
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def refuse(self) -> None:
        self._set("refuse")
        self._stop_listening()

    def black_hole(self) -> None:
        self._set("black hole")

    def delay(self, seconds: float) -> None:
        self._seconds = seconds
        self._set("delay")

    def cut_after(self, size: int, times: int | None = None) -> None:
        self._bytes = size
        self._times = times
        self._set("cut")

    def garbage(self, reply: bytes = b"HTTP/1.1 400 Bad Request\r\n\r\n") -> None:
        self._reply = reply
        self._set("garbage")

    def heal(self) -> None:
        was = self._mode
        self._set("honest")
        if was == "refuse":
            self._listener = self._listen(self.port)

    def cut_open(self) -> None:
        with self._guard:
            sockets = list(self._open)
        for each in sockets:
            self._reset(each)

    def close(self) -> None:
        self._closed.set()
        self._set("closed")
        self._stop_listening()
        self.cut_open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set(self, mode: str) -> None:
        with self._guard:
            self._mode = mode
            self._guard.notify_all()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _stop_listening(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._guard:
            self._open.add(client)
            self._guard.wait_for(lambda: self._mode != "black hole")
        if self._mode == "garbage":
            self._answer_garbage(client)
            return
        try:
            server = socket.create_connection(self._target, 10)
        except OSError:
            self._reset(client)
            return
        with self._guard:
            self._open.add(server)
        state = _Connection(client, server)
        threading.Thread(target=self._pump, args=(state, client, server), daemon=True).start()
        self._pump(state, server, client)

    def _answer_garbage(self, client: socket.socket) -> None:
        try:
            client.recv(65536)
            client.sendall(self._reply)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(client)

    def _pump(self, state: _Connection, source: socket.socket, sink: socket.socket) -> None:
        from_server = source is state.server
        try:
            while data := source.recv(65536):
                data = self._treat(state, data, from_server=from_server)
                if data is None:
                    break
                sink.sendall(data)
            else:
                # A reset would overtake what was said last: a refusal would look like a cut.
                sink.shutdown(socket.SHUT_WR)
                if not state.is_last_end():
                    return
        except OSError:
            pass
        self._reset(source)
        self._reset(sink)

    def _treat(self, state: _Connection, data: bytes, *, from_server: bool) -> bytes | None:
        """What is passed on of ``data``; None to reset the connection."""
        with self._guard:
            self._guard.wait_for(lambda: self._mode != "black hole")
        if not from_server:
            state.sent = True
            return data
        if state.sent:
            state.sent = False
            self.turns += 1
        if self._mode == "delay" and self._closed.wait(self._seconds):
            return None
        if self._mode != "cut":
            return data
        state.passed += len(data)
        if state.passed <= self._bytes:
            return data
        with self._guard:
            if self._times is not None:
                self._times -= 1
                self._mode = "cut" if self._times else "honest"
        return None

    def _reset(self, each: socket.socket) -> None:
        """Close with RST instead of FIN; a receiver of ours that waits on it wakes up."""
        with self._guard:
            if each not in self._open:
                return
            self._open.discard(each)
        try:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.shutdown(socket.SHUT_RD)
        except OSError:
            pass
        finally:
            each.close()


class _Connection:
    """The two ends of one proxied connection and what has passed."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.sent = False
        self.passed = 0
        self._ends = iter((False, True))

    def is_last_end(self) -> bool:
        """Whether the other direction ended before this one did."""
        return next(self._ends)
