"""Filters between Qdrant's JSON and the engine."""

from __future__ import annotations

from typing import Any, cast

import qdrant_edge as edge

from shared.embedded.qdrant.vectors import point_id
from shared.embedded.qdrant.wire import Body, Closed, PointId, convert, refuse


class _Match(Closed):
    value: bool | int | str | None = None
    any: list[int | str] | None = None


class _Field(Closed):
    key: str
    match: _Match


class _HasId(Closed):
    has_id: list[PointId]


class _Key(Closed):
    key: str


class _IsEmpty(Closed):
    is_empty: _Key


class _Clauses(Closed):
    must: Any = None
    should: Any = None
    must_not: Any = None


def engine_filter(body: Body | None) -> edge.Filter | None:
    """The engine's form of a filter; None when there is none."""
    if body is None:
        return None
    clauses = convert(body, _Clauses)
    return edge.Filter(
        must=_conditions(clauses.must),
        should=_conditions(clauses.should),
        must_not=_conditions(clauses.must_not),
    )


def _conditions(value: Any) -> list[Any] | None:
    if value is None:
        return None
    parts = value if isinstance(value, list) else [value]
    return [_condition(part) for part in parts]


def _condition(part: Any) -> Any:
    if not isinstance(part, dict):
        raise refuse("Format error in JSON body: a condition must be an object")
    if "key" in part:
        field = convert(part, _Field)
        return edge.FieldCondition(key=field.key, match=_match(field.match))
    if "has_id" in part:
        ids = convert(part, _HasId).has_id
        return edge.HasIdCondition({point_id(identity) for identity in ids})
    if "is_empty" in part:
        return edge.IsEmptyCondition(convert(part, _IsEmpty).is_empty.key)
    return engine_filter(part)


def _match(match: _Match) -> Any:
    if (match.value is None) == (match.any is None):
        raise refuse("Format error in JSON body: match takes either `value` or `any`")
    if match.any is not None:
        if len({type(value) for value in match.any}) > 1:
            raise refuse("Format error in JSON body: match any takes strings or integers, not both")
        return edge.MatchAny(cast("list[str]", match.any))
    value = match.value
    assert value is not None
    return edge.MatchValue(_engine_bool(value=value) if isinstance(value, bool) else value)


def _engine_bool(*, value: bool) -> Any:
    """The engine takes Python's ``True`` for the integer 1, which matches no boolean; numpy's it reads."""
    import numpy as np

    return np.bool_(value)
