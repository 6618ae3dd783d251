"""A listener with the right address and a certificate that nobody trusts."""

from __future__ import annotations

import socket
import ssl
import threading
from types import TracebackType
from typing import Self

import trustme

_POSTGRES_REQUEST_BYTES = 8
_SECONDS = 10.0


class Impostor:
    """TLS on ``127.0.0.1:port``, at once or, with ``postgres``, after the client's SSLRequest
    (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL). A client that trusts it
    all the same is answered nothing, and ``trusted`` counts it.
    """

    def __init__(self, authority: trustme.CA, *, postgres: bool = False) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        self._postgres = postgres
        self.trusted = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_SECONDS)
        try:
            if self._postgres:
                client.recv(_POSTGRES_REQUEST_BYTES)
                client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as trusting:
                if trusting.recv(1):
                    self.trusted += 1
        except OSError:
            client.close()
