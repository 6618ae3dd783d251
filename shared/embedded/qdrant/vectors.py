"""Point ids and vectors between JSON and the engine.

The engine panics on sparse vectors of unequal lengths and takes NaN, so everything is checked
here, before the engine sees it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import qdrant_edge as edge

from shared.embedded.qdrant.wire import Closed, PointId, convert, refuse

_MOST = 3.4028234663852886e38  # the largest 32-bit float: what is stored is 32 bits wide
_IDS = 2**64
_TERMS = 2**32

EngineId = int | UUID | str
Layout = Mapping[str, int | None]
"""Vector name to size; None for a sparse vector."""


class SparseVector(Closed):
    """Qdrant's sparse vector: term ids and their weights."""

    indices: list[int]
    values: list[float]


def point_id(value: PointId) -> EngineId:
    """An unsigned 64-bit number or a UUID, the two kinds of id that Qdrant has."""
    if isinstance(value, int):
        if not 0 <= value < _IDS:
            raise refuse(f"Format error in JSON body: {value} is not a valid point ID")
        return value
    try:
        return UUID(value)
    except ValueError:
        raise refuse(
            f"Format error in JSON body: value {value} is not a valid point ID, "
            "valid values are either an unsigned integer or a UUID"
        ) from None


def _finite(values: list[float], name: str) -> list[float]:
    # The sum is finite when all are, but for an overflow, so the slow look is for the few.
    if not values or (math.isfinite(sum(values)) and max(map(abs, values)) <= _MOST):
        return values
    if not all(-_MOST <= value <= _MOST for value in values):
        raise refuse(f"Wrong input: vector {name} holds a number that is not a finite 32-bit float")
    return values


def dense(values: object, name: str, size: int) -> list[float]:
    """A dense vector of ``size`` finite numbers."""
    numbers = _finite(convert(values, list[float]), name)
    if len(numbers) != size:
        raise refuse(f"Wrong input: Vector dimension error: expected dim: {size}, got {len(numbers)}")
    return numbers


def sparse(value: object, name: str) -> edge.SparseVector:
    """A sparse vector: as many indices as values, no index twice. 422 otherwise, as in Qdrant."""
    vector = convert(value, SparseVector)
    if len(vector.indices) != len(vector.values):
        raise refuse("Validation error in JSON body: values: must be the same length as indices", 422)
    if len(set(vector.indices)) != len(vector.indices):
        raise refuse("Validation error in JSON body: indices: must be unique", 422)
    if vector.indices and not (min(vector.indices) >= 0 and max(vector.indices) < _TERMS):
        raise refuse("Format error in JSON body: indices: expected u32")
    return edge.SparseVector(indices=vector.indices, values=_finite(vector.values, name))


def named(value: object, name: str, layout: Layout) -> list[float] | edge.SparseVector:
    """The vector called ``name`` in the form that ``layout`` gives it."""
    if name not in layout:
        raise refuse(f"Wrong input: Not existing vector name error: {name}")
    size = layout[name]
    return sparse(value, name) if size is None else dense(value, name, size)


def point(identity: PointId, vector: object, payload: dict[str, Any] | None, layout: Layout) -> edge.Point:
    """A point for the engine. A bare list is the vector without a name."""
    vectors = vector if isinstance(vector, dict) else {"": vector}
    _check_payload(payload)
    return edge.Point(
        id=point_id(identity),
        vector={name: named(value, name, layout) for name, value in vectors.items()},
        payload=payload or {},
    )


def _check_payload(value: object) -> None:
    """The engine holds 64-bit numbers; JSON can say more."""
    if isinstance(value, dict):
        for part in value.values():
            _check_payload(part)
    elif isinstance(value, list):
        for part in value:
            _check_payload(part)
    elif isinstance(value, int) and not -(2**63) <= value < _IDS:
        raise refuse("Format error in JSON body: number out of range in payload")


def shown(vector: object) -> object:
    """A vector of the engine as JSON; the vector without a name stands bare."""
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": vector.values}
    if isinstance(vector, dict):
        named_vectors = {name: shown(part) for name, part in vector.items()}
        return named_vectors[""] if list(named_vectors) == [""] else named_vectors
    return vector
