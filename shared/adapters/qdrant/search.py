"""What a question needs of Qdrant, over plain REST."""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec

from shared.adapters.qdrant import errors, validate
from shared.adapters.qdrant.requests import search_body
from shared.adapters.qdrant.rest import Rest
from shared.ports import Hit, Point, Search
from shared.resilience.deadline import Deadline

T = TypeVar("T")


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
        parameters = {} if read_consistency is None else {"consistency": str(read_consistency)}
        self._rest = Rest(url, api_key, most_seconds=most_seconds, verify=verify, parameters=parameters)

    def close(self) -> None:
        """End the kept connections."""
        self._rest.close()

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
        answer = self._rest.send("list of aliases", "GET", "/aliases", form=_Aliases, deadline=deadline)
        return {alias.alias_name: alias.collection_name for alias in answer.aliases}

    def ping(self, deadline: Deadline) -> None:
        """One ``GET /collections``: unlike the probes it asks for the key."""
        self._rest.send("ping", "GET", "/collections", form=_Collections, deadline=deadline)

    def _post(self, operation: str, path: str, body: object, form: type[T], deadline: Deadline) -> T:
        content = msgspec.json.encode(body)
        return self._rest.send(operation, "POST", path, form=form, deadline=deadline, body=content)
