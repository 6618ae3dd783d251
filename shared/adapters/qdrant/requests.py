"""Bodies of Qdrant's REST requests, made of our values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.ports import Condition, Search, SparseVector


def vector_body(vector: Sequence[float] | SparseVector) -> Any:
    """A vector as JSON."""
    if isinstance(vector, SparseVector):
        return {"indices": list(vector.indices), "values": list(vector.values)}
    return list(vector)


def condition_body(condition: Condition) -> dict[str, Any]:
    """A condition on a payload key. Qdrant matches lists of one type only, and no list of booleans."""
    kinds = {type(value) for value in condition.any_of}
    if kinds in ({str}, {int}):
        return {"key": condition.key, "match": {"any": list(condition.any_of)}}
    return {"should": [{"key": condition.key, "match": {"value": value}} for value in condition.any_of]}


def filter_body(conditions: Sequence[Condition], but_ids: Sequence[str] = ()) -> dict[str, Any]:
    """Points that meet all conditions, but for those ids."""
    body: dict[str, Any] = {"must": [condition_body(condition) for condition in conditions]}
    if but_ids:
        body["must_not"] = [{"has_id": list(but_ids)}]
    return body


def search_body(search: Search) -> dict[str, Any]:
    """One query of a batch: ids and scores only."""
    body: dict[str, Any] = {
        "query": vector_body(search.vector),
        "using": search.using,
        "limit": search.limit,
        "with_payload": False,
        "with_vector": False,
    }
    if search.conditions:
        body["filter"] = filter_body(search.conditions)
    return body
