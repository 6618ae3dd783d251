"""Our values and qdrant-client's models, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from qdrant_client import models

from shared import batching
from shared.ports import CollectionSpec, Point, SparseVector

_POINTS = 256  # in a batch
_BYTES = 4 * 2**20  # of JSON in a batch, estimated; the server takes 32 MB
_NUMBER = 12  # bytes of a 32-bit float in JSON, and its comma
_COSINE = models.Distance.COSINE


def dense_params(spec: CollectionSpec) -> dict[str, models.VectorParams]:
    return {name: models.VectorParams(size=size, distance=_COSINE) for name, size in spec.dense.items()}


def sparse_params(spec: CollectionSpec) -> dict[str, models.SparseVectorParams]:
    """Without the IDF modifier: our weights carry the generation's own, frozen IDF."""
    return {name: models.SparseVectorParams() for name in spec.sparse}


def spec_of(info: models.CollectionInfo) -> CollectionSpec:
    """The vectors of a collection; a dense one that is not cosine has the size 0, which nothing equals."""
    params = info.config.params
    vectors = params.vectors or {}
    dense = {"": vectors} if isinstance(vectors, models.VectorParams) else vectors
    return CollectionSpec(
        dense={name: each.size if each.distance == _COSINE else 0 for name, each in dense.items()},
        sparse=tuple(sorted(params.sparse_vectors or {})),
        indexed=tuple(sorted(info.payload_schema)),
    )


def difference(there: CollectionSpec, wanted: CollectionSpec) -> str:
    """What of the vectors differs, in words; empty when they are the same."""
    parts = [
        f"{name!r} is {_kind(there, name)} there and {_kind(wanted, name)} here"
        for name in sorted({*there.dense, *there.sparse, *wanted.dense, *wanted.sparse})
        if _kind(there, name) != _kind(wanted, name)
    ]
    return ", ".join(parts)


def _kind(spec: CollectionSpec, name: str) -> str:
    if name in spec.sparse:
        return "sparse"
    if name not in spec.dense:
        return "missing"
    return f"dense with {spec.dense[name]} numbers" if spec.dense[name] else "dense but not cosine"


def batches(points: Iterable[Point]) -> Iterator[list[Point]]:
    """Lists of at most 256 points and about 4 MB; a larger point goes alone."""
    return batching.batches(points, _weight, most=_POINTS, most_weight=_BYTES)


def _weight(point: Point) -> int:
    """Bytes of the point in JSON, roughly."""
    numbers = sum(
        2 * len(vector.indices) if isinstance(vector, SparseVector) else len(vector)
        for vector in point.vectors.values()
    )
    return numbers * _NUMBER + len(msgspec.json.encode(point.payload))


def point_struct(point: Point) -> models.PointStruct:
    """The client's form of a point that was checked."""
    vectors: dict[str, Any] = {
        name: models.SparseVector(indices=list(vector.indices), values=list(vector.values))
        if isinstance(vector, SparseVector)
        else list(vector)
        for name, vector in point.vectors.items()
    }
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))


def point_of(record: models.Record) -> Point:
    """Our form of a record; a vector without a name gets the empty one."""
    vector: Any = record.vector or {}
    named: Mapping[str, Any] = vector if isinstance(vector, dict) else {"": vector}
    return Point(
        str(record.id), {name: _vector(each) for name, each in named.items()}, dict(record.payload or {})
    )


def _vector(vector: Any) -> SparseVector | tuple[float, ...]:
    if isinstance(vector, models.SparseVector):
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return tuple(vector)


def alias_switch(alias: str, collection: str, *, replaces: bool) -> list[Any]:
    """The operations of one request: delete the alias if there is one, create it anew."""
    old = [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))] if replaces else []
    target = models.CreateAlias(alias_name=alias, collection_name=collection)
    return [*old, models.CreateAliasOperation(create_alias=target)]
