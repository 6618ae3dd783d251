"""The routes: one function for each request that is served, from its body to its ``result``.

Source of names, forms, defaults and status codes: Qdrant's OpenAPI document, version 1.16.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import qdrant_edge as edge

from shared.embedded.qdrant import answers, wire
from shared.embedded.qdrant.collection import Collection
from shared.embedded.qdrant.conditions import engine_filter
from shared.embedded.qdrant.engine import Engine
from shared.embedded.qdrant.queries import engine_query, payload_selector
from shared.embedded.qdrant.vectors import point, point_id
from shared.embedded.qdrant.wire import parse, refuse

Handler = Callable[[Engine, str, bytes], Any]

_SCROLL_LIMIT = 10  # Qdrant's default


def respond(engine: Engine, method: str, path: str, body: bytes) -> Any:
    """The ``result`` of a request; RequestError with Qdrant's status and words otherwise."""
    for verb, pattern, handler in _ROUTES:
        found = pattern.fullmatch(path)
        if found and verb == method:
            name = found.groupdict().get("name", "")
            return handler(engine, unquote(name), body)
    raise refuse(f"Not found: this server has no {method} {path}", 404)


def _list_collections(engine: Engine, _name: str, _body: bytes) -> Any:
    return {"collections": [{"name": name} for name in engine.names()]}


def _create(engine: Engine, name: str, body: bytes) -> Any:
    engine.create(name, parse(body, wire.CreateCollection))
    return True


def _drop(engine: Engine, name: str, _body: bytes) -> Any:
    return engine.drop(name)


def _exists(engine: Engine, name: str, _body: bytes) -> Any:
    return {"exists": engine.find(name) is not None}


def _describe(engine: Engine, name: str, _body: bytes) -> Any:
    return answers.description(engine.get(name))


def _create_index(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    request = parse(body, wire.CreateIndex)
    schema = request.field_schema
    kind = schema.get("type") if isinstance(schema, dict) else schema
    engine_kind = getattr(edge.PayloadSchemaType, str(kind).capitalize(), None)
    if engine_kind is None:
        raise refuse(f"Format error in JSON body: unknown payload schema {kind!r}")
    collection.write(edge.UpdateOperation.create_field_index(request.field_name, engine_kind))
    return answers.APPLIED


def _upsert(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    points = _points(parse(body, wire.Upsert), collection)
    if not points:
        raise refuse("Bad request: Empty update request")
    collection.write(edge.UpdateOperation.upsert_points(points))
    return answers.APPLIED


def _points(request: wire.Upsert, collection: Collection) -> list[edge.Point]:
    if (request.points is None) == (request.batch is None):
        raise refuse("Format error in JSON body: an upsert takes either `points` or `batch`")
    if request.points is not None:
        return [point(each.id, each.vector, each.payload, collection.layout) for each in request.points]
    batch = request.batch
    assert batch is not None
    payloads = batch.payloads or [None] * len(batch.ids)
    if any(len(column) != len(batch.ids) for column in (payloads, *batch.vectors.values())):
        raise refuse("Validation error in JSON body: batch: ids, vectors and payloads differ in number", 422)
    rows = [
        {key: column[row] for key, column in batch.vectors.items() if column[row] is not None}
        for row in range(len(batch.ids))
    ]
    return [point(*row, collection.layout) for row in zip(batch.ids, rows, payloads, strict=True)]


def _delete(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    request = parse(body, wire.DeletePoints)
    if (request.points is None) == (request.filter is None):
        raise refuse("Format error in JSON body: a delete takes either `points` or `filter`")
    chosen = engine_filter(request.filter)
    if chosen is None:
        ids = [point_id(identity) for identity in request.points or []]
        collection.write(edge.UpdateOperation.delete_points(ids))
    else:
        collection.write(edge.UpdateOperation.delete_points_by_filter(chosen))
    return answers.APPLIED


def _retrieve(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    request = parse(body, wire.Retrieve)
    ids = [point_id(identity) for identity in request.ids]
    payload = payload_selector(request.with_payload, default=False)
    found = collection.read(lambda shard: shard.retrieve(ids, payload, request.with_vector or False))
    return [answers.record(each) for each in found]


def _scroll(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    request = parse(body, wire.Scroll)
    limit = _SCROLL_LIMIT if request.limit is None else request.limit
    if limit < 1:
        raise refuse(f"Validation error in JSON body: limit: value {limit} invalid, must be 1 or larger", 422)
    scroll = edge.ScrollRequest(
        offset=None if request.offset is None else point_id(request.offset),
        limit=limit,
        filter=engine_filter(request.filter),
        with_payload=payload_selector(request.with_payload, default=True),
        with_vector=request.with_vector or False,
    )
    found, offset = collection.read(lambda shard: shard.scroll(scroll))
    return {"points": [answers.record(each) for each in found], "next_page_offset": offset}


def _count(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    chosen = engine_filter(parse(body, wire.Count).filter)
    count = collection.read(lambda shard: shard.count(edge.CountRequest(exact=True, filter=chosen)))
    return {"count": count}


def _query(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    return _answer(collection, [parse(body, wire.Query)])[0]


def _query_batch(engine: Engine, name: str, body: bytes) -> Any:
    collection = engine.get(name)
    return _answer(collection, parse(body, wire.QueryBatch).searches)


def _answer(collection: Collection, queries: list[wire.Query]) -> list[dict[str, Any]]:
    batch = edge.QueryBatchRequest([engine_query(query, collection.layout) for query in queries])
    found = collection.read(lambda shard: shard.query_batch(batch))
    return [{"points": [answers.hit(each) for each in points]} for points in found]


def _list_aliases(engine: Engine, name: str, _body: bytes) -> Any:
    """Those of one collection, or all; a name that is no collection has none."""
    pairs = sorted(engine.aliases().items())
    return {
        "aliases": [
            {"alias_name": alias, "collection_name": target}
            for alias, target in pairs
            if name in ("", target)
        ]
    }


def _change_aliases(engine: Engine, _name: str, body: bytes) -> Any:
    engine.change_aliases(parse(body, wire.AliasChanges).actions)
    return True


_COLLECTION = r"/collections/(?P<name>[^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = [
    (verb, re.compile(path), handler)
    for verb, path, handler in [
        ("POST", f"{_COLLECTION}/points/query/batch", _query_batch),
        ("POST", f"{_COLLECTION}/points/query", _query),
        ("POST", f"{_COLLECTION}/points", _retrieve),
        ("POST", f"{_COLLECTION}/points/scroll", _scroll),
        ("POST", f"{_COLLECTION}/points/count", _count),
        ("PUT", f"{_COLLECTION}/points", _upsert),
        ("POST", f"{_COLLECTION}/points/delete", _delete),
        ("GET", "/collections", _list_collections),
        ("POST", "/collections/aliases", _change_aliases),
        ("GET", "/aliases", _list_aliases),
        ("GET", f"{_COLLECTION}/aliases", _list_aliases),
        ("GET", f"{_COLLECTION}/exists", _exists),
        ("PUT", f"{_COLLECTION}/index", _create_index),
        ("GET", _COLLECTION, _describe),
        ("PUT", _COLLECTION, _create),
        ("DELETE", _COLLECTION, _drop),
    ]
]
