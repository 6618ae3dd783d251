"""Connections that end where the check of their address ended, and by their deadline.

The name is resolved here, each address is checked, and the connection is made to a checked address: a name
that resolves to something else a moment later (DNS rebinding) changes nothing. TLS verifies the name.
"""

from __future__ import annotations

import ssl
import threading
import typing
from collections.abc import Iterable

import httpcore

from shared.adapters.web.hosts import METADATA_NAMES, Resolve, refusal
from shared.errors import Rejected
from shared.resilience.deadline import Deadline

SERVICE = "site"
FETCH = "fetch"
_CONNECT_SECONDS = 10.0


class CheckedBackend(httpcore.NetworkBackend):
    """Connects for httpcore. ``allowed`` are hosts that may lie in a private network."""

    def __init__(self, resolve: Resolve, allowed: Iterable[str]) -> None:
        self._resolve = resolve
        self._allowed = frozenset(allowed)
        self._tcp = httpcore.SyncBackend()
        self._turn = threading.local()

    def begin(self, deadline: Deadline) -> None:
        """Bind what this thread does from now on to ``deadline``."""
        self._turn.deadline = deadline

    def remaining(self, timeout: float | None) -> float:
        """Seconds that one read, write or connect of this thread may take."""
        deadline: Deadline = self._turn.deadline
        return deadline.timeout(_CONNECT_SECONDS if timeout is None else timeout, attempted="reading a page")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._resolve(host, port, self.remaining(timeout))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        self._check(host, addresses)
        return self._first(addresses, port, timeout, local_address, socket_options)

    def _check(self, host: str, addresses: Iterable[str]) -> None:
        """Every address must be good: one bad one says that the name is not to be trusted."""
        name = host.lower().rstrip(".")
        if name in METADATA_NAMES:
            raise _refused(host, "it is a metadata server")
        for address in addresses:
            problem = refusal(address, allow_local=name in self._allowed)
            if problem:
                raise _refused(f"{host} ({address})", problem)

    def _first(
        self,
        addresses: typing.Sequence[str],
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.NetworkStream:
        """The first address that answers."""
        last: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            try:
                stream = self._tcp.connect_tcp(
                    address, port, self.remaining(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            return _BoundStream(stream, self)
        raise last


class _BoundStream(httpcore.NetworkStream):
    """Ends by the deadline, also when the other side sends one byte at a time."""

    def __init__(self, inner: httpcore.NetworkStream, backend: CheckedBackend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._backend.remaining(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.remaining(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.start_tls(ssl_context, server_hostname, self._backend.remaining(timeout))
        return _BoundStream(inner, self._backend)

    def get_extra_info(self, info: str) -> typing.Any:
        return self._inner.get_extra_info(info)


def _refused(what: str, problem: str) -> Rejected:
    return Rejected(
        SERVICE,
        FETCH,
        f"{what} must not be fetched: {problem}",
        hint="Name the host in LECTERN_SITE_ALLOWED_HOSTS if it is yours.",
    )
