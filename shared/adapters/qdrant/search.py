"""What a question needs of Qdrant, over plain REST.

qdrant-client is not used here: importing it costs more than a second of a cold start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from shared.adapters.qdrant import errors, validate
from shared.adapters.qdrant.requests import search_body
from shared.errors import SettingsError
from shared.ports import Hit, Point, Search
from shared.resilience.deadline import Deadline

T = TypeVar("T")
_KEPT = 300.0  # seconds an idle connection is kept; Qdrant Cloud's balancer ends them later


class _Answer(msgspec.Struct, Generic[T]):
    result: T


class _Hit(msgspec.Struct):
    id: str | int
    score: float


class _Hits(msgspec.Struct):
    points: list[_Hit]


class _Record(msgspec.Struct):
    id: str | int
    payload: dict[str, Any] | None = None


class _Alias(msgspec.Struct):
    alias_name: str
    collection_name: str


class _Aliases(msgspec.Struct):
    aliases: list[_Alias]


class _Collections(msgspec.Struct):
    collections: list[dict[str, Any]]


class QdrantSearch:
    """:class:`~shared.ports.VectorSearch` on a Qdrant at ``url``, with one pool of kept connections.

    ``read_consistency`` is Qdrant's (``majority``, ``quorum``, ``all`` or a number of replicas), empty
    for its default. ``most_seconds`` bounds each call whatever the deadline allows. ``verify``
    replaces the system's certificate authorities. Equal scores come in the engine's own order.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        read_consistency: str | int | None = None,
        most_seconds: float = 10.0,
        verify: SSLContext | None = None,
    ) -> None:
        self._most_seconds = most_seconds
        self._consistency = read_consistency
        self._client = httpx.Client(
            base_url=checked_url(url),
            headers={"api-key": api_key} if api_key else {},
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=_KEPT),
            verify=verify or url.startswith("https:"),  # reading the authorities costs 50 ms: only for TLS
            trust_env=False,
        )

    def close(self) -> None:
        """End the kept connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def search(self, collection: str, searches: Sequence[Search], deadline: Deadline) -> list[list[Hit]]:
        """All lists in one ``POST /collections/{collection}/points/query/batch``."""
        operation = f"search in {collection}"
        for search in searches:
            validate.check_search(operation, search)
        if not searches:
            return []
        body = {"searches": [search_body(search) for search in searches]}
        path = f"/collections/{quote(collection, safe='')}/points/query/batch"
        lists = self._post(operation, path, body, list[_Hits], deadline)
        if len(lists) != len(searches):
            raise errors.garbled(operation, f"{len(lists)} lists for {len(searches)} searches")
        return [[Hit(str(hit.id), hit.score) for hit in hits.points] for hits in lists]

    def retrieve(self, collection: str, ids: Sequence[str], deadline: Deadline) -> list[Point]:
        """One ``POST /collections/{collection}/points``."""
        operation = f"retrieve from {collection}"
        wanted = [validate.checked_id(operation, identity) for identity in ids]
        if not wanted:
            return []
        body = {"ids": wanted, "with_payload": True, "with_vector": False}
        path = f"/collections/{quote(collection, safe='')}/points"
        records = self._post(operation, path, body, list[_Record], deadline)
        found = {str(record.id): Point(str(record.id), {}, record.payload or {}) for record in records}
        return [found[identity] for identity in wanted if identity in found]

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        """One ``GET /aliases``."""
        answer = self._send("list of aliases", "GET", "/aliases", form=_Aliases, deadline=deadline)
        return {alias.alias_name: alias.collection_name for alias in answer.aliases}

    def ping(self, deadline: Deadline) -> None:
        """One ``GET /collections``: unlike the probes it asks for the key."""
        self._send("ping", "GET", "/collections", form=_Collections, deadline=deadline)

    def _post(self, operation: str, path: str, body: object, form: type[T], deadline: Deadline) -> T:
        content = msgspec.json.encode(body)
        return self._send(operation, "POST", path, form=form, deadline=deadline, body=content)

    def _send(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        form: type[T],
        deadline: Deadline,
        body: bytes | None = None,
    ) -> T:
        seconds = deadline.timeout(self._most_seconds, attempted=f"qdrant: {operation}")
        request = self._client.build_request(
            method,
            path,
            content=body,
            headers={"content-type": "application/json", "accept-encoding": "gzip"},
            params=self._parameters(method, seconds),
            timeout=seconds,
        )
        status, headers, content = self._whole(operation, request, deadline.within(seconds))
        if status != httpx.codes.OK:
            raise errors.of_status(operation, status, content, headers)
        return _decoded(operation, content, form)

    def _parameters(self, method: str, seconds: float) -> dict[str, str]:
        """Let the service give up when we do; it counts in whole seconds."""
        if method != "POST":
            return {}
        timeout = {"timeout": str(max(1, math.ceil(seconds)))}
        return timeout if self._consistency is None else timeout | {"consistency": str(self._consistency)}

    def _whole(
        self, operation: str, request: httpx.Request, deadline: Deadline
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body. httpx times each read, so the whole is timed between the reads."""
        content = bytearray()
        try:
            response = self._client.send(request, stream=True)
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


def _decoded(operation: str, content: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=_Answer[form]).result  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.garbled(operation, error) from None
