"""Qdrant's query requests in the engine's form: nearest (dense or sparse), fusion, prefetch, filter."""

from __future__ import annotations

from typing import Any, Literal

import qdrant_edge as edge

from shared.embedded.qdrant.conditions import engine_filter
from shared.embedded.qdrant.vectors import Layout, named
from shared.embedded.qdrant.wire import Closed, Prefetch, Query, Selector, convert, refuse

_LIMIT = 10  # Qdrant's default
_RRF_K = 2  # Qdrant's default


class _Nearest(Closed):
    nearest: Any


class _Fusion(Closed):
    fusion: Literal["rrf", "dbsf"]


class _RrfParams(Closed):
    k: int | None = None
    weights: list[float] | None = None


class _Rrf(Closed):
    rrf: _RrfParams


def engine_query(query: Query, layout: Layout) -> edge.QueryRequest:
    """One query; RequestError 400 or 422 when it does not fit the collection."""
    prefetches = _prefetches(query.prefetch, layout)
    return edge.QueryRequest(
        limit=_limit(query.limit),
        offset=query.offset or 0,
        query=_scoring(query, layout, fused=bool(prefetches)),
        prefetches=prefetches,
        with_vector=query.with_vector or False,
        with_payload=payload_selector(query.with_payload, default=False),
        filter=engine_filter(query.filter),
        score_threshold=query.score_threshold,
        params=_params(query),
    )


def payload_selector(selector: Selector | None, *, default: bool) -> Any:
    """Which payload keys to answer with."""
    if selector is None:
        return default
    if not isinstance(selector, dict):
        return selector
    if list(selector) == ["include"]:
        return edge.PayloadSelector.Include(selector["include"])
    if list(selector) == ["exclude"]:
        return edge.PayloadSelector.Exclude(selector["exclude"])
    raise refuse("Format error in JSON body: with_payload takes `include` or `exclude`")


def _limit(limit: int | None) -> int:
    if limit is None:
        return _LIMIT
    if limit < 1:
        raise refuse(f"Validation error in JSON body: limit: value {limit} invalid, must be 1 or larger", 422)
    return limit


def _params(query: Prefetch) -> edge.SearchParams | None:
    if query.params is None:
        return None
    return edge.SearchParams(hnsw_ef=query.params.hnsw_ef, exact=query.params.exact or False)


def _prefetches(value: Any, layout: Layout) -> list[edge.Prefetch]:
    if value is None:
        return []
    return [
        _prefetch(convert(part, Prefetch), layout) for part in (value if isinstance(value, list) else [value])
    ]


def _prefetch(prefetch: Prefetch, layout: Layout) -> edge.Prefetch:
    nested = _prefetches(prefetch.prefetch, layout)
    return edge.Prefetch(
        limit=_limit(prefetch.limit),
        query=_scoring(prefetch, layout, fused=bool(nested)),
        prefetches=nested,
        params=_params(prefetch),
        filter=engine_filter(prefetch.filter),
        score_threshold=prefetch.score_threshold,
    )


def _scoring(query: Prefetch, layout: Layout, *, fused: bool) -> Any:
    """What ranks the points: the nearest vectors, or the fusion of the prefetched lists."""
    form = query.query
    if form is None:
        return None
    if isinstance(form, dict) and ("fusion" in form or "rrf" in form):
        if query.using is not None:
            raise refuse("Bad request: Fusion queries cannot be combined with the 'using' field.")
        if not fused:
            raise refuse("Wrong input: Validation failed: cannot apply Fusion without prefetches")
        return _fusion(form)
    vector = convert(form, _Nearest).nearest if isinstance(form, dict) and "nearest" in form else form
    if not isinstance(vector, list | dict):
        raise refuse("Wrong input: only vectors can be searched for on this server, not point ids")
    name = query.using or ""
    return edge.Query.Nearest(named(vector, name, layout), using=name)


def _fusion(form: dict[str, Any]) -> Any:
    if "rrf" in form:
        rrf = convert(form, _Rrf).rrf
        return edge.Fusion.Rrf(k=_RRF_K if rrf.k is None else rrf.k, weights=rrf.weights)
    if convert(form, _Fusion).fusion == "dbsf":
        return edge.Fusion.Dbsf()
    return edge.Fusion.Rrf(k=_RRF_K)
