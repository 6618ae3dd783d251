"""An OpenAPI 3.1 document made from routes and the types of their messages.

Source: https://spec.openapis.org/oas/v3.1.1. The schemas are those that msgspec checks bodies by, so the
document cannot promise another form than the code accepts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.http.errors import ErrorBody
from shared.http.requests import EVENTS, JSON

_REFERENCE = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query or path parameter; ``pattern`` is a regular expression for the whole value."""

    name: str
    place: str  # query, path
    description: str
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path. ``replies`` maps a status to the type of its JSON (None: no body);
    ``errors`` maps further statuses to what they mean; ``events`` names the server-sent events of a stream
    and the type of each one's data; ``text`` is the media type of a reply that is not JSON. Where not
    ``needs_body`` the request may come without one.
    """

    method: str
    path: str
    summary: str
    body: type | None = None
    replies: Mapping[int, Any] = field(default_factory=dict)
    errors: Mapping[int, str] = field(default_factory=dict)
    parameters: Sequence[Parameter] = ()
    events: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    needs_body: bool = True


def document(title: str, version: str, description: str, operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    types = _types(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {"schemas": _on_one_line(dict(sorted(components.items())))},
    }


def encode(made: Mapping[str, Any]) -> bytes:
    """The document as it is committed: indented, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def _on_one_line(value: Any) -> Any:
    """Descriptions come from docstrings, which are broken into lines and indented."""
    if isinstance(value, dict):
        return {
            key: " ".join(each.split())
            if key == "description" and isinstance(each, str)
            else _on_one_line(each)
            for key, each in value.items()
        }
    return [_on_one_line(each) for each in value] if isinstance(value, list) else value


def _types(operations: Sequence[Operation]) -> list[Any]:
    found: list[Any] = [ErrorBody]
    for operation in operations:
        wanted = [operation.body, *operation.replies.values(), *operation.events.values()]
        found += [kind for kind in wanted if kind is not None and all(kind is not one for one in found)]
    return found


def _operation(operation: Operation, schemas: Mapping[int, Any]) -> dict[str, Any]:
    named = re.sub(r"\W+", " ", f"{operation.method.lower()} {operation.path}").split()
    made: dict[str, Any] = {"operationId": "_".join(named), "summary": operation.summary}
    if operation.parameters:
        made["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        content = {"schema": schemas[id(operation.body)]}
        # text/plain, with the same JSON inside, needs no preflight in a browser.
        made["requestBody"] = {
            "required": operation.needs_body,
            "content": {JSON: content, "text/plain": content},
        }
    replies = {
        str(status): _reply(operation, status, kind, schemas) for status, kind in operation.replies.items()
    }
    failed = {"content": {JSON: {"schema": schemas[id(ErrorBody)]}}}
    replies |= {str(status): {"description": words, **failed} for status, words in operation.errors.items()}
    made["responses"] = dict(sorted(replies.items()))
    return made


def _reply(operation: Operation, status: int, kind: Any, schemas: Mapping[int, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if kind is not None:
        content[JSON] = {"schema": schemas[id(kind)]}
    if operation.text:
        content[operation.text] = {"schema": {"type": "string"}}
    if operation.events:
        content[EVENTS] = {
            "schema": {"type": "string", "description": "Server-sent events; the data of each is JSON."},
            "x-events": {name: schemas[id(data)] for name, data in operation.events.items()},
        }
    described = {"description": operation.summary if status < 300 else "See the summary."}  # noqa: PLR2004
    return {**described, "content": content} if content else described


def _parameter(one: Parameter) -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": one.pattern} if one.pattern else {})}
    return {
        "name": one.name,
        "in": one.place,
        "required": one.place == "path",
        "description": one.description,
        "schema": schema,
    }
