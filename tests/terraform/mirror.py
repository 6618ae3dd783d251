"""What a release changed on Cloud Run, brought into the cloud that Terraform sees.

The Cloud Run of ``tests/fakes`` answers in the API's JSON; the stub provider holds the same things as
attributes. Of each service, what a release changed is carried over, whatever it is: also what would be
Terraform's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.terraform.stub.provider import Cloud
from tests.terraform.stub.schema import read_schema

SERVICE = "google_cloud_run_v2_service"
_SCALARS: dict[str, Any] = {"number": int, "string": str, "bool": bool}
# The provider keeps what others annotate apart from what a configuration does.
_KEPT_APART = {"annotations": "effective_annotations", "labels": "effective_labels"}


def mirror(cloud: Cloud, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Carry over what differs between two answers of the Admin API for one service."""
    state = cloud.find(SERVICE, after["name"].rpartition("/")[2])
    block = read_schema()["resource_schemas"][SERVICE]["block"]
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    known = attributes(block, {snake(key): value for key, value in changed.items()})
    for key in known:
        name = _KEPT_APART.get(key, key)
        if key in {snake(one) for one in changed}:
            state[name] = known[key]


def snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def attributes(block: Mapping[str, Any], api: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the API as the provider has it: a list where the schema says block, null for nothing."""
    found: dict[str, Any] = {}
    for name, facts in block.get("attributes", {}).items():
        found[name] = _typed(facts["type"], api.get(name))
    for name, facts in block.get("block_types", {}).items():
        given = api.get(name)
        items = given if isinstance(given, list) else [given] if given else []
        inner = [attributes(facts["block"], _snaked(one)) for one in items]
        found[name] = inner if facts["nesting_mode"] != "single" else (inner or [None])[0]
    return found


def _snaked(one: Mapping[str, Any]) -> dict[str, Any]:
    return {snake(key): value for key, value in one.items()}


def _typed(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, str):
        return _SCALARS[kind](value)
    shape, inner = kind
    if shape in {"list", "set"}:
        return [_typed(inner, one) for one in (value if isinstance(value, list) else [value])]
    if shape == "map":
        return {key: _typed(inner, one) for key, one in value.items()}
    given = _snaked(value)
    return {name: _typed(one, given.get(name)) for name, one in inner.items()}
