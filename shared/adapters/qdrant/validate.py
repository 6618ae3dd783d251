"""Points, vectors and conditions are checked before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from uuid import UUID

from shared.adapters.qdrant.errors import rejected
from shared.ports import CollectionSpec, Condition, Point, Search, SparseVector

_MOST = 3.4028234663852886e38  # the largest 32-bit float: Qdrant stores 32 bits
_TERMS = 2**32


def check_name(operation: str, name: str) -> None:
    """``Rejected`` for a collection or alias that would be another path, or none."""
    if not name or name in (".", "..") or "/" in name:
        raise rejected(operation, f"the name {name!r} cannot be part of an address")


def checked_id(operation: str, value: str) -> str:
    """The UUID in the form in which Qdrant answers it; ``Rejected`` when it is none."""
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise rejected(operation, f"point id {value!r} is not a UUID") from None


def check_search(operation: str, search: Search) -> None:
    """``Rejected`` for a vector that is empty or not finite, a limit below 1, a condition on nothing."""
    if search.limit < 1:
        raise rejected(operation, f"limit {search.limit} of the search on {search.using!r} is below 1")
    check_conditions(operation, search.conditions)
    if isinstance(search.vector, SparseVector):
        _check_sparse(operation, f"the query on {search.using!r}", search.vector)
    else:
        _check_dense(operation, f"the query on {search.using!r}", search.vector)


def check_point(operation: str, point: Point, spec: CollectionSpec) -> None:
    """``Rejected`` unless every vector has its name, size and numbers as the collection wants them."""
    checked_id(operation, point.id)
    for name, vector in point.vectors.items():
        where = f"vector {name!r} of point {point.id}"
        if isinstance(vector, SparseVector):
            if name not in spec.sparse:
                raise rejected(operation, f"{where} is no sparse vector of the collection")
            _check_sparse(operation, where, vector)
        else:
            if name not in spec.dense:
                raise rejected(operation, f"{where} is no dense vector of the collection")
            _check_dense(operation, where, vector, spec.dense[name])


def check_conditions(operation: str, conditions: Sequence[Condition]) -> None:
    """``Rejected`` for a condition without values: it would match nothing on one engine, all on another."""
    for condition in conditions:
        if not condition.any_of:
            raise rejected(operation, f"the condition on {condition.key!r} names no value")


def _check_dense(operation: str, where: str, vector: Sequence[float], size: int | None = None) -> None:
    if not vector:
        raise rejected(operation, f"{where} is empty")
    if size is not None and len(vector) != size:
        raise rejected(operation, f"{where} has {len(vector)} numbers, the collection has {size}")
    _check_finite(operation, where, vector)


def _check_sparse(operation: str, where: str, vector: SparseVector) -> None:
    """An empty one is refused too: engines count it into their statistics. Leave the name out instead."""
    if not vector.indices:
        raise rejected(operation, f"{where} is empty")
    if len(vector.indices) != len(vector.values):
        lengths = f"{len(vector.indices)} indices and {len(vector.values)} values"
        raise rejected(operation, f"{where} has {lengths}")
    if len(set(vector.indices)) != len(vector.indices):
        raise rejected(operation, f"{where} names an index twice")
    if not all(0 <= index < _TERMS for index in vector.indices):
        raise rejected(operation, f"{where} has an index outside 0..2**32-1")
    _check_finite(operation, where, vector.values)


def _check_finite(operation: str, where: str, numbers: Sequence[float]) -> None:
    # The sum is finite when all are, but for an overflow, so the slow look is for the few.
    if math.isfinite(sum(numbers)) and max(map(abs, numbers)) <= _MOST:
        return
    if not all(-_MOST <= number <= _MOST for number in numbers):
        raise rejected(operation, f"{where} holds a number that is not a finite 32-bit float")
