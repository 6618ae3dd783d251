"""The provider's attributes: read from ``schema/``, put into messages, and held against values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.terraform.stub.protocol import MESSAGES, diagnostic, is_unknown

FILE = Path(__file__).resolve().parents[1] / "schema" / "google.json.gz"
Path_ = tuple[str | int, ...]
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}


def read_schema(path: Path = FILE) -> dict[str, Any]:
    """``provider``, ``resource_schemas`` and ``data_source_schemas``, as ``terraform providers schema -json``
    has them, with ``x_enum`` where the documentation lists the values of a text.
    """
    document = json.loads(gzip.decompress(path.read_bytes()))
    return dict(next(iter(document["provider_schemas"].values())))


def block_message(block: dict[str, Any]) -> Any:
    attributes = [
        MESSAGES["Attribute"](
            name=name,
            type=json.dumps(facts["type"]).encode(),
            **{flag: facts.get(flag, False) for flag in ("required", "optional", "computed", "sensitive")},
            write_only=facts.get("write_only", False),
        )
        for name, facts in sorted(block.get("attributes", {}).items())
    ]
    nested = [
        MESSAGES["NestedBlock"](
            type_name=name,
            block=block_message(facts["block"]),
            nesting=_NESTING[facts["nesting_mode"]],
            min_items=facts.get("min_items", 0),
            max_items=facts.get("max_items", 0),
        )
        for name, facts in sorted(block.get("block_types", {}).items())
    ]
    return MESSAGES["Block"](attributes=attributes, block_types=nested)


def schema_message(schema: dict[str, Any]) -> Any:
    return MESSAGES["Schema"](version=schema.get("version", 0), block=block_message(schema["block"]))


def problems(block: dict[str, Any], value: Any, path: Path_ = ()) -> Iterator[Any]:
    """What the provider would refuse of a configuration beyond what Terraform itself sees."""
    for name, facts, given, place in _attributes(block, value, path):
        if facts.get("computed") and not facts.get("optional"):
            yield diagnostic(
                f'Value for unconfigurable attribute: "{name}" is decided by the provider', place
            )
        for one in given if isinstance(given, list) else [given]:
            allowed = facts.get("x_enum")
            if allowed and isinstance(one, str) and one and one not in allowed:
                yield diagnostic(f"expected {name} to be one of {allowed}, got {one}", place)


def _attributes(
    block: dict[str, Any], value: Any, path: Path_
) -> Iterator[tuple[str, dict[str, Any], Any, Path_]]:
    if not isinstance(value, dict):
        return
    for name, facts in block.get("attributes", {}).items():
        if value.get(name) is not None:
            yield name, facts, value[name], (*path, name)
    for name, facts in block.get("block_types", {}).items():
        for place, each in _items(value.get(name), path, name):
            yield from _attributes(facts["block"], each, place)


def _items(value: Any, path: Path_, name: str) -> Iterator[tuple[Path_, Any]]:
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield (*path, name, number), each
    elif value is not None:
        yield (*path, name), value


def filled(block: dict[str, Any], value: Any, make: Callable[[str, Any], Any]) -> Any:
    """``value`` with every computed attribute that is not set or unknown given by ``make(name, type)``."""
    if not isinstance(value, dict):
        return value
    out = dict(value)
    for name, facts in block.get("attributes", {}).items():
        if (facts.get("computed") and out.get(name) is None) or is_unknown(out.get(name)):
            out[name] = make(name, facts["type"])
        if facts.get("write_only"):
            out[name] = None
    for name, facts in block.get("block_types", {}).items():
        inner = out.get(name)
        if isinstance(inner, list):
            out[name] = [filled(facts["block"], each, make) for each in inner]
        elif isinstance(inner, dict):
            out[name] = filled(facts["block"], inner, make)
    return out
