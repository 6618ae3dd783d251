"""Requests to one Qdrant over plain REST: whole answers within the deadline, our errors.

qdrant-client is not used here: importing it costs more than a second of a cold start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx
import msgspec

from shared.adapters.qdrant import errors
from shared.errors import SettingsError
from shared.resilience.deadline import Deadline

T = TypeVar("T")
_KEPT = 300.0  # seconds an idle connection is kept; Qdrant Cloud's balancer ends them later


class Answer(msgspec.Struct, Generic[T]):
    """What every answer looks like, but for figures that nobody needs."""

    result: T


class Rest:
    """A pool of kept connections to the Qdrant at ``url``.

    ``most_seconds`` bounds each call whatever the deadline allows. ``verify`` replaces the system's
    certificate authorities. ``parameters`` go with each POST.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        most_seconds: float,
        verify: SSLContext | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._most_seconds = most_seconds
        self._given = dict(parameters or {})
        self._headers = {"content-type": "application/json", "accept-encoding": "gzip"}
        self.client = httpx.Client(
            base_url=checked_url(url),
            headers={"api-key": api_key} if api_key else {},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=_KEPT),
            verify=verify or url.startswith("https:"),  # reading the authorities costs 50 ms: only for TLS
            trust_env=False,
        )

    def close(self) -> None:
        """End the kept connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        form: type[T],
        deadline: Deadline,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> T:
        """The ``result`` of a request as ``form``."""
        content = self.content(operation, method, path, deadline=deadline, body=body, query=query)
        return decoded(operation, content, form)

    def content(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        deadline: Deadline,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of an answer whose status is 200."""
        seconds = self.seconds(operation, deadline)
        request = self.client.build_request(
            method,
            path,
            content=body,
            headers=self._headers,
            params={**self._parameters(method, seconds), **(query or {})},
            timeout=seconds,
        )
        status, headers, content = self._whole(operation, request, deadline.within(seconds))
        if status != httpx.codes.OK:
            raise errors.of_status(operation, status, content, headers)
        return content

    def seconds(self, operation: str, deadline: Deadline) -> float:
        """How long the next call may take; ``DeadlineExceeded`` when there is no time left."""
        return deadline.timeout(self._most_seconds, attempted=f"qdrant: {operation}")

    def _parameters(self, method: str, seconds: float) -> dict[str, str]:
        """Let the service give up when we do; it counts in whole seconds."""
        if method != "POST":
            return {}
        return {"timeout": str(max(1, math.ceil(seconds)))} | self._given

    def _whole(
        self, operation: str, request: httpx.Request, deadline: Deadline
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body. httpx times each read, so the whole is timed between the reads."""
        content = bytearray()
        try:
            response = self.client.send(request, stream=True)
            try:
                for chunk in response.iter_bytes():
                    content += chunk
                    if deadline.expired():
                        raise httpx.ReadTimeout("the answer came too slowly", request=request)
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise errors.of_transport(operation, error) from error
        return response.status_code, response.headers, bytes(content)


def checked_url(url: str) -> str:
    """The address without a slash at its end; :class:`SettingsError` when it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError([f"QDRANT_URL: {url!r} is not an address ({error})"]) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise SettingsError([f"QDRANT_URL: {url!r} must be http://host:port or https://host:port"])
    return url.rstrip("/")


def decoded(operation: str, content: bytes, form: type[T]) -> T:
    """The ``result`` of an answer; ``Garbled`` when it has another form."""
    try:
        return msgspec.json.decode(content, type=Answer[form]).result  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.garbled(operation, error) from None
