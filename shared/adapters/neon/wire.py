"""One connection to Postgres, held to the deadline of each call.

pg8000's own ways of running SQL with parameters send it in three parts, each with its own Sync.
Behind a transaction pooler each part may meet another server: one client is handed another one's
rows. This module (COPY: :mod:`shared.adapters.neon.copy_protocol`) is the only one that touches pg8000's
connection, and sends Parse, Bind, Describe, Execute and one Sync together. That is one round trip from the
first use on, one implicit transaction, and needs nothing that a pooler has to remember (message flow:
https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY).
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pg8000.native
from pg8000.converters import make_params
from pg8000.core import DESCRIBE, NULL_BYTE, PORTAL, SYNC_MSG, Context
from scramp import ScramException

from shared.adapters.neon.copy_protocol import CopyConnection
from shared.adapters.neon.faults import SERVICE, breaks_connection, translate
from shared.adapters.neon.url import DatabaseUrl
from shared.errors import AccessDenied, DependencyError, Garbled, Unreachable
from shared.resilience.deadline import Deadline

Rows = list[list[Any]]

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html, SSLRequest"""

_RAISED = (
    pg8000.native.Error,
    OSError,
    ScramException,
    # What pg8000 trips over when the bytes are not Postgres's.
    LookupError,
    ValueError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)

Result = TypeVar("Result")


class _Timed:
    """A socket whose every call may take what is left of the deadline, so that their sum does too."""

    deadline: Deadline | None = None

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        return self._timed(super().recv_into, *arguments, **options)  # type: ignore[misc]

    def send(self, *arguments: Any, **options: Any) -> int:
        return self._timed(super().send, *arguments, **options)  # type: ignore[misc]

    def _timed(self, call: Callable[..., int], *arguments: Any, **options: Any) -> int:
        left = self.deadline.remaining() if self.deadline else 0.0
        if left <= 0:
            raise TimeoutError("no time left")
        self.settimeout(left)  # type: ignore[attr-defined]
        return call(*arguments, **options)


class _PlainSocket(_Timed, socket.socket):
    pass


class _TlsSocket(_Timed, ssl.SSLSocket):
    pass


class _Connection(CopyConnection):
    def close(self) -> None:
        """Say goodbye. A server that has refused us is gone by then, which must not hide why it did."""
        with suppress(OSError, pg8000.InterfaceError):
            super().close()

    def run_together(self, sql: str, values: Mapping[str, Any]) -> Rows:
        """The rows of one statement; everything it takes travels in one batch with one Sync."""
        statement, pick = _placeholders(sql)
        self.send_PARSE(NULL_BYTE, statement)
        self.send_BIND(NULL_BYTE, make_params(self.py_types, pick(values)))
        self._send_message(DESCRIBE, PORTAL + NULL_BYTE)
        self.send_EXECUTE()
        self._sock.write(SYNC_MSG)
        self._sock.flush()
        context = Context(statement)
        self.handle_messages(context)
        return context.rows or []


@lru_cache(maxsize=256)
def _placeholders(sql: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The statement with $1, $2 … for its names, and what puts values in their order."""
    statement, pick = pg8000.native.to_statement(sql)
    return statement, pick


class Wire:
    """An authenticated connection. Not to be shared among threads.

    Every error is one of :mod:`shared.errors`; ``usable`` tells whether the connection survived it.
    """

    def __init__(self, url: DatabaseUrl, deadline: Deadline) -> None:
        """Connect and log in: one try, at most the URL's ``connect_timeout``."""
        self._place = url.place
        self.usable = True
        limit = deadline.within(url.connect_timeout)
        self._socket = self._guarded("connect", lambda: _open(url, limit))
        try:
            self._connection = self._guarded("connect", lambda: self._log_in(url, limit))
            self._check_channel_binding(url)
        except DependencyError:
            self._socket.close()
            raise

    def script(self, sql: str, deadline: Deadline, operation: str) -> Rows:
        """Run ``sql``, which has no parameters and may be several statements, in one round trip."""
        return self._run(lambda: self._connection.run(sql), deadline, operation) or []

    def query(self, sql: str, params: Mapping[str, Any], deadline: Deadline, operation: str) -> Rows:
        """Run one statement with ``:name`` parameters in one round trip."""
        values = {name: _text_array(value) for name, value in params.items()}
        return self._run(lambda: self._connection.run_together(sql, values), deadline, operation)

    def copy_out(self, sql: str, write: Callable[[bytes], object], deadline: Deadline, operation: str) -> int:
        """Run ``COPY … TO STDOUT`` and hand its data over in blocks of whole rows; the number of rows."""
        return self._run(lambda: self._connection.copy_out(sql, write), deadline, operation)

    def copy_in(self, sql: str, blocks: Iterable[bytes], deadline: Deadline, operation: str) -> int:
        """Run ``COPY … FROM STDIN`` with ``blocks``, cut anywhere; the number of rows."""
        return self._run(lambda: self._connection.copy_in(sql, blocks), deadline, operation)

    def is_stale(self) -> bool:
        """Whether the server said something while nobody asked: it closed the connection, or will."""
        try:
            return bool(select.select([self._socket], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def close(self) -> None:
        """Say goodbye if possible, and close."""
        self._socket.deadline = Deadline.after(1.0)
        try:
            self._connection.close()
        except (pg8000.native.Error, OSError):
            self._socket.close()

    def abandon(self) -> None:
        """Let go of a connection that belongs to the process we were forked from."""
        self._socket.close()

    def _log_in(self, url: DatabaseUrl, limit: Deadline) -> _Connection:
        self._socket.deadline = limit
        if url.password is None and url.tls:
            raise AccessDenied(SERVICE, "connect", "DATABASE_URL has no password", hint="Add one.")
        return _Connection(
            url.user,
            password=url.password or "",
            database=url.database,
            sock=self._socket,
            ssl_context=False,
            application_name=url.application_name,
        )

    def _check_channel_binding(self, url: DatabaseUrl) -> None:
        mechanism = getattr(getattr(self._connection, "auth", None), "mechanism_name", "none")
        if url.channel_binding and not mechanism.endswith("-PLUS"):
            raise AccessDenied(
                SERVICE,
                "connect",
                f"the server offers no channel binding ({self._place}, mechanism {mechanism})",
                hint="Take channel_binding=require out of DATABASE_URL if this server is the right one.",
            )

    def _run(self, call: Callable[[], Result], deadline: Deadline, operation: str) -> Result:
        self._socket.deadline = deadline
        return self._guarded(operation, call)

    def _guarded(self, operation: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except DependencyError:
            self.usable = False
            raise
        except _RAISED as error:
            self.usable = self.usable and not breaks_connection(error)
            raise translate(error, operation, self._place) from error
        except BaseException:
            self.usable = False  # stopped in the middle of an answer
            raise


def _text_array(value: Any) -> Any:
    """A list of texts as an array literal; pg8000 leaves the text "null" unquoted, which makes it NULL."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return value
    quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in value)
    return "{" + ",".join(f'"{each}"' for each in quoted) + "}"


@lru_cache(maxsize=4)
def _tls_context(root_certificate: Path | None) -> ssl.SSLContext:
    """Made once: reading the system's certificates takes 40 ms."""
    context = ssl.create_default_context(cafile=root_certificate)
    context.sslsocket_class = _TlsSocket
    return context


def _open(url: DatabaseUrl, limit: Deadline) -> _PlainSocket | _TlsSocket:
    if url.socket_folder:
        plain = _PlainSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        return _connected(plain, str(url.socket_folder / f".s.PGSQL.{url.port}"), limit.remaining())
    found = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    plain = _first_that_connects(found, limit)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return _encrypted(plain, url, limit) if url.tls else plain


def _first_that_connects(found: list[Any], limit: Deadline) -> _PlainSocket:
    """The first address of a host that answers; each gets an even share of the time left."""
    problem: OSError | None = None
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        share = limit.remaining() / (len(found) - tried)
        try:
            return _connected(_PlainSocket(family, kind, protocol), address, share)
        except OSError as error:
            problem = error
    raise problem or OSError("no address")


def _connected(plain: _PlainSocket, address: Any, seconds: float) -> _PlainSocket:
    try:
        plain.settimeout(max(seconds, 0.001))
        plain.connect(address)
    except BaseException:
        plain.close()
        raise
    return plain


def _encrypted(plain: _PlainSocket, url: DatabaseUrl, limit: Deadline) -> _TlsSocket:
    """Verified TLS, or an error: there is no way on without it."""
    try:
        plain.settimeout(max(limit.remaining(), 0.001))
        plain.sendall(_SSL_REQUEST)
        reply = plain.recv(1)
        if reply != b"S":
            _refuse_plain_text(reply, url)
        plain.settimeout(max(limit.remaining(), 0.001))
        wrapped = _tls_context(url.root_certificate).wrap_socket(plain, server_hostname=url.host)
    except BaseException:
        plain.close()
        raise
    assert isinstance(wrapped, _TlsSocket)
    return wrapped


def _refuse_plain_text(reply: bytes, url: DatabaseUrl) -> None:
    if reply == b"":
        raise Unreachable(SERVICE, "connect", f"the connection was cut ({url.place})")
    if reply == b"N":
        raise AccessDenied(
            SERVICE,
            "connect",
            f"the server has no TLS ({url.place})",
            hint="Check the host in DATABASE_URL; sslmode=disable is for a loopback address.",
        )
    raise Garbled(SERVICE, "connect", f"the answer is not Postgres's ({url.place})")
