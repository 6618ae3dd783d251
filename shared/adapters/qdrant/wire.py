"""Requests for whole collections, over urllib3.

A scroll's answer has megabytes. httpx hands them on in pieces of 64 kB through four layers, which costs three
times what reading them does; urllib3 reads them from the socket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar

import urllib3
from urllib3.exceptions import DecodeError, HTTPError, NewConnectionError, SSLError, TimeoutError  # noqa: A004

from shared.adapters.qdrant import errors
from shared.adapters.qdrant.rest import checked_url, decoded
from shared.errors import DependencyError, Garbled, TimedOut, Unreachable
from shared.resilience.deadline import Deadline

T = TypeVar("T")
Read = Callable[[int], bytes]
"""At most so many bytes of an answer; empty at its end."""
_PIECE = 1 << 20
_CONNECT_SECONDS = 10.0
_NO_HTTP = ("BadStatusLine", "LineTooLong", "UnknownProtocol")


class Wire:
    """Kept connections to the Qdrant at ``url``; ``most_seconds`` bounds each request.

    ``verify`` replaces the system's certificate authorities. Redirects are not followed and nothing is tried
    again. Errors: those of :class:`~shared.ports.vectors.VectorSearch`.
    """

    def __init__(
        self, url: str, api_key: str = "", *, most_seconds: float = 60.0, verify: SSLContext | None = None
    ) -> None:
        self._url = checked_url(url)
        self._most_seconds = most_seconds
        self._headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if api_key:
            self._headers["api-key"] = api_key
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, ssl_context=verify)

    def close(self) -> None:
        """End the kept connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, operation: str, method: str, path: str, *, form: type[T], **request: Any) -> T:
        """The ``result`` of a request as ``form``; the others as for :meth:`content`."""
        return decoded(operation, self.content(operation, method, path, **request), form)

    def content(self, operation: str, method: str, path: str, **request: Any) -> bytes:
        """The body of an answer whose status is 200; the others as for :meth:`stream`."""
        with self.stream(operation, method, path, **request) as read:
            return _whole(read)

    @contextmanager
    def stream(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        deadline: Deadline,
        body: bytes | Iterable[bytes] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Read]:
        """The body of an answer whose status is 200, to be read within ``deadline``."""
        seconds = deadline.timeout(self._most_seconds, attempted=f"qdrant: {operation}")
        until = deadline.within(seconds)
        with _named(operation):
            answer = self._pool.request(
                method,
                self._url + path + _spelled(method, seconds, query or {}),
                body=body,
                headers={**self._headers, **(headers or {})},
                timeout=urllib3.Timeout(connect=min(seconds, _CONNECT_SECONDS), read=seconds),
                preload_content=False,
                redirect=False,
            )
            try:
                yield _checked(operation, answer, _reading(answer, operation, until))
            except BaseException:
                answer.close()  # what is left of it must not be taken for the next answer
                raise
            finally:
                answer.release_conn()


def _checked(operation: str, answer: urllib3.BaseHTTPResponse, read: Read) -> Read:
    """``read`` of an answer whose status is 200."""
    if not {"content-length", "transfer-encoding"} & {name.lower() for name in answer.headers}:
        raise Unreachable(errors.SERVICE, operation, "the answer was cut in its headers")
    if answer.status != HTTPStatus.OK:
        raise errors.of_status(operation, answer.status, _whole(read), answer.headers)
    return read


def _reading(answer: urllib3.BaseHTTPResponse, operation: str, until: Deadline) -> Read:
    def read(size: int) -> bytes:
        with _named(operation):
            piece = answer.read1(size)
        if until.expired():
            raise TimedOut(errors.SERVICE, operation, "the answer came too slowly")
        return piece

    return read


def _whole(read: Read) -> bytes:
    pieces = []
    while piece := read(_PIECE):
        pieces.append(piece)
    return b"".join(pieces)


def _spelled(method: str, seconds: float, query: Mapping[str, str]) -> str:
    """The query; a POST that reads lets the service give up when we do, which counts in whole seconds.

    One that writes says ``wait``: Qdrant 1.16 cannot read a time-out in a deletion.
    """
    reads = method == "POST" and "wait" not in query
    own = {"timeout": str(max(1, math.ceil(seconds)))} if reads else {}
    pairs = "&".join(f"{key}={value}" for key, value in {**own, **query}.items())
    return f"?{pairs}" if pairs else ""


@contextmanager
def _named(operation: str) -> Iterator[None]:
    try:
        yield
    except (HTTPError, OSError) as error:
        raise _of_transport(operation, error) from error


def _of_transport(operation: str, error: Exception) -> DependencyError:
    """As :func:`shared.adapters.qdrant.errors.of_transport`, of urllib3's errors."""
    said = str(error)
    if isinstance(error, TimeoutError) and not isinstance(error, NewConnectionError):
        return TimedOut(errors.SERVICE, operation, "no answer in the time given")
    if isinstance(error, SSLError):
        return errors.of_tls(operation, error)
    if isinstance(error, DecodeError) or any(name in said for name in _NO_HTTP):
        return Garbled(errors.SERVICE, operation, f"the answer is not HTTP, {said}", hint=errors.CHECK_URL)
    return Unreachable(errors.SERVICE, operation, said or "the connection failed", hint=errors.CHECK_URL)
