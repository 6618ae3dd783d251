"""Calls that keep their deadline and can be stopped from another thread.

httpx's time-outs are for each read from the socket, and are fixed when the request is sent: a
server that trickles one byte now and then would hold a call for ever. Here every read asks the
call how long it may still take.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from shared.resilience.deadline import Deadline

_active = threading.local()


class Call:
    """One request under way: its deadline, and the socket to shut when it is stopped."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.cancelled = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Within it, what this thread reads and writes belongs to this call."""
        before = current_call()
        _active.call = self
        try:
            yield
        finally:
            _active.call = before

    def allowance(self, sock: socket.socket | None, most: float | None) -> float | None:
        """Seconds that the next read or write on ``sock`` may take; 0 or less when there are none."""
        with self._lock:
            self._socket = sock
            if self.cancelled:
                return 0.0
        left = self.deadline.remaining()
        return left if most is None else min(left, most)

    def finish(self) -> None:
        """The connection goes back to the pool: it is no longer this call's to shut."""
        with self._lock:
            self._socket = None

    def cancel(self) -> None:
        """Stop it now; a thread that waits for the answer wakes up with an error."""
        with self._lock:
            self.cancelled = True
        self.sever()

    def sever(self) -> None:
        """Shut the socket that it is using, if any, in both directions."""
        with self._lock:
            if self._socket is not None:
                # The base class's method: ssl's own would take the session from under the reader.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def current_call() -> Call | None:
    """The call that this thread is working for."""
    return getattr(_active, "call", None)


def make_client(base_url: str) -> httpx.Client:
    """A client of one service: keep-alive, no proxies or certificates from the environment."""
    context = httpx.create_ssl_context(trust_env=False) if base_url.startswith("https:") else None
    return httpx.Client(base_url=base_url, transport=_Transport(context), trust_env=False)


class _Transport(httpx.HTTPTransport):
    def __init__(self, context: ssl.SSLContext | None) -> None:
        # httpx has no argument for httpcore's network backend, so the pool is made here.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=30.0,
            network_backend=_Backend(),
        )


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        allowed = _allowance(None, timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, allowed, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _allowance(self._inner, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _allowance(self._inner, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        allowed = _allowance(self._inner, timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, allowed))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _allowance(
    stream: httpcore.NetworkStream | None, timeout: float | None, late: type[Exception]
) -> float | None:
    call = current_call()
    if call is None:
        return timeout
    sock = stream.get_extra_info("socket") if stream is not None else None
    allowed = call.allowance(sock, timeout)
    if allowed is not None and allowed <= 0:
        raise late("No time left.")
    return allowed
