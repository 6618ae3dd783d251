"""Whole collections over plain REST: what recovery reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from shared.adapters.qdrant import errors, validate
from shared.adapters.qdrant.packing import ScrollForm, page_of
from shared.adapters.qdrant.rest import decoded
from shared.adapters.qdrant.wire import Wire
from shared.ports.bulk import CollectionFacts, PackedPage, PackedPoint
from shared.ports.vectors import CollectionSpec
from shared.resilience.deadline import Deadline

_WAIT = {"wait": "true"}
_TUNING = ("hnsw_config", "quantization_config", "strict_mode_config", "metadata")
"""Kept under the same name when a collection is made as in its description."""


class _Alias(msgspec.Struct):
    alias_name: str
    collection_name: str


class _Aliases(msgspec.Struct):
    aliases: list[_Alias]


class _Count(msgspec.Struct):
    count: int


class _Description(msgspec.Struct):
    config: dict[str, Any]
    payload_schema: dict[str, dict[str, Any]] = {}


class _Applied(msgspec.Struct):
    status: str


class QdrantBulk:
    """:class:`~shared.ports.bulk.VectorBulk` on the Qdrant at ``url``.

    ``replication_factor`` is given to collections that are made here, as for those of ingestion;
    ``read_consistency`` (as for :class:`~shared.adapters.qdrant.search.QdrantSearch`) goes with each page.
    ``most_seconds`` bounds each request whatever the deadline allows.
    """

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        replication_factor: int = 1,
        read_consistency: str | int | None = None,
        most_seconds: float = 60.0,
        verify: SSLContext | None = None,
    ) -> None:
        self._replication_factor = replication_factor
        self._consistency = {"consistency": str(read_consistency)} if read_consistency else {}
        self._wire = Wire(url, api_key, most_seconds=most_seconds, verify=verify)

    def close(self) -> None:
        """End the kept connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def facts(self, collection: str, deadline: Deadline) -> CollectionFacts:
        """One ``GET /collections/{collection}``."""
        operation = f"description of {collection}"
        found = self._wire.send(
            operation, "GET", _path(operation, collection), form=_Description, deadline=deadline
        )
        try:
            spec = _spec(found.config["params"], found.payload_schema)
        except (KeyError, TypeError, AttributeError) as error:
            raise errors.garbled(operation, f"it lacks {error}") from error
        indexes = {key: _index(each) for key, each in found.payload_schema.items()}
        return CollectionFacts(spec, found.config, indexes)

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        """One ``GET /aliases``."""
        answer = self._wire.send("list of aliases", "GET", "/aliases", form=_Aliases, deadline=deadline)
        return {alias.alias_name: alias.collection_name for alias in answer.aliases}

    def count(self, collection: str, deadline: Deadline) -> int:
        """One ``POST /collections/{collection}/points/count``."""
        operation = f"count of {collection}"
        path = _path(operation, collection, "/points/count")
        body = b'{"exact":true}'
        return self._wire.send(operation, "POST", path, form=_Count, deadline=deadline, body=body).count

    def read(
        self, collection: str, deadline: Deadline, *, offset: str | None = None, limit: int = 256
    ) -> PackedPage:
        """One ``POST /collections/{collection}/points/scroll``."""
        operation = f"scroll through {collection}"
        if limit < 1:
            raise errors.rejected(operation, f"limit {limit} is below 1")
        start = {} if offset is None else {"offset": validate.checked_id(operation, offset)}
        body = msgspec.json.encode({**start, "limit": limit, "with_payload": True, "with_vector": True})
        path = _path(operation, collection, "/points/scroll")
        content = self._wire.content(
            operation, "POST", path, deadline=deadline, body=body, query=self._consistency
        )
        try:
            return page_of(decoded(operation, content, ScrollForm))
        except ValueError as error:
            raise errors.rejected(operation, str(error)) from error

    def create(self, collection: str, facts: CollectionFacts, deadline: Deadline) -> None:
        """One ``PUT /collections/{collection}``; shards and replicas as this cluster has them."""
        operation = f"creation of {collection}"
        body = _creation(facts.config, self._replication_factor)
        self._put(operation, _path(operation, collection), msgspec.json.encode(body), bool, deadline)

    def index(self, collection: str, facts: CollectionFacts, deadline: Deadline) -> None:
        """One ``PUT /collections/{collection}/index`` for each that is not there."""
        operation = f"payload indexes of {collection}"
        there = self.facts(collection, deadline).indexes
        for key, schema in facts.indexes.items():
            if key not in there:
                body = msgspec.json.encode({"field_name": key, "field_schema": schema})
                self._put(operation, _path(operation, collection, "/index"), body, _Applied, deadline)

    def write(self, collection: str, points: Sequence[PackedPoint], deadline: Deadline) -> None:
        """One ``PUT /collections/{collection}/points``."""
        operation = f"upsert into {collection}"
        if points:
            from shared.adapters.qdrant.spelling import upsert_body

            body = upsert_body(points)
            self._put(operation, _path(operation, collection, "/points"), body, _Applied, deadline)

    def delete(self, collection: str, ids: Sequence[str], deadline: Deadline) -> None:
        """One ``POST /collections/{collection}/points/delete``."""
        operation = f"deletion in {collection}"
        wanted = [validate.checked_id(operation, identity) for identity in ids]
        if wanted:
            path = _path(operation, collection, "/points/delete")
            body = msgspec.json.encode({"points": wanted})
            self._wire.send(operation, "POST", path, form=_Applied, deadline=deadline, body=body, query=_WAIT)

    def _put(self, operation: str, path: str, body: bytes, form: type[Any], deadline: Deadline) -> None:
        self._wire.send(operation, "PUT", path, form=form, deadline=deadline, body=body, query=_WAIT)


def _path(operation: str, collection: str, rest: str = "") -> str:
    validate.check_name(operation, collection)
    return f"/collections/{quote(collection, safe='')}{rest}"


def _spec(params: Mapping[str, Any], indexed: Mapping[str, Any]) -> CollectionSpec:
    vectors = params.get("vectors") or {}
    named = {"": vectors} if isinstance(vectors.get("size"), int) else vectors
    return CollectionSpec(
        dense={name: int(each["size"]) for name, each in named.items()},
        sparse=tuple(sorted(params.get("sparse_vectors") or {})),
        indexed=tuple(sorted(indexed)),
    )


def _index(described: Mapping[str, Any]) -> dict[str, Any] | str:
    """What asks for this index again: its parameters where it has any, else its type alone."""
    return described.get("params") or str(described.get("data_type", "keyword"))


def _creation(config: Mapping[str, Any], replication_factor: int) -> dict[str, Any]:
    """The body that makes a collection of this description. The number of shards is left to the cluster."""
    params = config.get("params", {})
    taken = {
        "vectors": params.get("vectors") or {},
        "sparse_vectors": params.get("sparse_vectors"),
        "on_disk_payload": params.get("on_disk_payload"),
        "replication_factor": replication_factor,
        "optimizers_config": config.get("optimizer_config"),
        **{key: config.get(key) for key in _TUNING},
    }
    return {key: _without_nothing(value) for key, value in taken.items() if value is not None}


def _without_nothing(value: Any) -> Any:
    """Descriptions say null where nothing was chosen; requests leave that out."""
    if isinstance(value, dict):
        return {key: _without_nothing(each) for key, each in value.items() if each is not None}
    return value
