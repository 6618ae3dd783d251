"""Request bodies of the part of Qdrant's REST that is served; any other field is refused.

Field names and forms are those of Qdrant's OpenAPI document. Unions that the document leaves
untagged (queries, conditions, vectors) arrive as plain JSON and are told apart by the modules
that convert them.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from shared.errors import RequestError

PointId = int | str
Body = dict[str, Any]
Selector = bool | list[str] | dict[str, list[str]]
T = TypeVar("T")


class Closed(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A body in which an unknown field is an error, as it is in Qdrant."""


class VectorParams(Closed):
    size: int
    distance: Literal["Cosine", "Euclid", "Dot", "Manhattan"]
    on_disk: bool | None = None
    hnsw_config: Body | None = None


class SparseParams(Closed):
    index: Body | None = None
    modifier: Literal["idf", "none"] | None = None


class CreateCollection(Closed):
    """Collection parameters; tuning for clusters and HNSW is accepted and changes nothing here."""

    vectors: Body | None = None
    sparse_vectors: dict[str, SparseParams] | None = None
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    on_disk_payload: bool | None = None
    hnsw_config: Body | None = None
    wal_config: Body | None = None
    optimizers_config: Body | None = None
    quantization_config: Body | None = None
    strict_mode_config: Body | None = None
    metadata: Body | None = None


class CreateIndex(Closed):
    field_name: str
    field_schema: str | Body | None = None


class PointStruct(Closed):
    id: PointId
    vector: Any
    payload: Body | None = None


class Batch(Closed):
    ids: list[PointId]
    vectors: dict[str, list[Any]]
    payloads: list[Body | None] | None = None


class Upsert(Closed):
    points: list[PointStruct] | None = None
    batch: Batch | None = None


class DeletePoints(Closed):
    points: list[PointId] | None = None
    filter: Body | None = None


class Retrieve(Closed):
    ids: list[PointId]
    with_payload: Selector | None = None
    with_vector: bool | list[str] | None = None


class Scroll(Closed):
    offset: PointId | None = None
    limit: int | None = None
    filter: Body | None = None
    with_payload: Selector | None = None
    with_vector: bool | list[str] | None = None


class Count(Closed):
    filter: Body | None = None
    exact: bool | None = None


class SearchParams(Closed):
    hnsw_ef: int | None = None
    exact: bool | None = None
    indexed_only: bool | None = None


class Prefetch(Closed):
    prefetch: Any = None
    query: Any = None
    using: str | None = None
    filter: Body | None = None
    params: SearchParams | None = None
    score_threshold: float | None = None
    limit: int | None = None


class Query(Prefetch):
    offset: int | None = None
    with_payload: Selector | None = None
    with_vector: bool | list[str] | None = None


class QueryBatch(Closed):
    searches: list[Query]


class AliasTarget(Closed):
    collection_name: str
    alias_name: str


class AliasName(Closed):
    alias_name: str


class AliasRename(Closed):
    old_alias_name: str
    new_alias_name: str


class AliasAction(Closed):
    create_alias: AliasTarget | None = None
    delete_alias: AliasName | None = None
    rename_alias: AliasRename | None = None


class AliasChanges(Closed):
    actions: list[AliasAction]


def parse(body: bytes, form: type[T]) -> T:
    """The body as ``form``; RequestError 400 in Qdrant's words when it is not."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(400, "qdrant", f"Format error in JSON body: {error}") from None


def convert(value: object, form: type[T]) -> T:
    """A part of a body as ``form``; RequestError 400 when it is not."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise RequestError(400, "qdrant", f"Format error in JSON body: {error}") from None


def refuse(message: str, status: int = 400) -> RequestError:
    """What Qdrant answers to input that it understands and does not accept."""
    return RequestError(status, "qdrant", message)
