"""The messages of Terraform's plugin protocol 5 that a provider needs, and values as they lie in them.

Source: hashicorp/terraform, docs/plugin-protocol/tfplugin5.proto (5.9). The descriptors are made at run time
from the table below, so no generated code lies in the repository.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "tfplugin5"

_MESSAGES = """
DynamicValue: bytes msgpack=1, bytes json=2
Step: string attribute_name=1, string element_key_string=2, int64 element_key_int=3
AttributePath: *Step steps=1
Diagnostic: int32 severity=1, string summary=2, string detail=3, AttributePath attribute=4
Attribute: string name=1, bytes type=2, bool required=4, bool optional=5, bool computed=6, bool sensitive=7, \
bool write_only=10
NestedBlock: string type_name=1, Block block=2, int32 nesting=3, int64 min_items=4, int64 max_items=5
Block: int64 version=1, *Attribute attributes=2, *NestedBlock block_types=3
Schema: int64 version=1, Block block=2
NamedSchema: string key=1, Schema value=2
RawState: bytes json=1
GetSchemaRequest:
GetSchemaResponse: Schema provider=1, *NamedSchema resource_schemas=2, *NamedSchema data_source_schemas=3, \
*Diagnostic diagnostics=4, Schema provider_meta=5
PrepareProviderConfigRequest: DynamicValue config=1
PrepareProviderConfigResponse: DynamicValue prepared_config=1, *Diagnostic diagnostics=2
ValidateResourceTypeConfigRequest: string type_name=1, DynamicValue config=2
ValidateResourceTypeConfigResponse: *Diagnostic diagnostics=1
ValidateDataSourceConfigRequest: string type_name=1, DynamicValue config=2
ValidateDataSourceConfigResponse: *Diagnostic diagnostics=1
ConfigureRequest: string terraform_version=1, DynamicValue config=2
ConfigureResponse: *Diagnostic diagnostics=1
UpgradeResourceStateRequest: string type_name=1, int64 version=2, RawState raw_state=3
UpgradeResourceStateResponse: DynamicValue upgraded_state=1, *Diagnostic diagnostics=2
ReadResourceRequest: string type_name=1, DynamicValue current_state=2
ReadResourceResponse: DynamicValue new_state=1, *Diagnostic diagnostics=2
PlanResourceChangeRequest: string type_name=1, DynamicValue prior_state=2, \
DynamicValue proposed_new_state=3, DynamicValue config=4
PlanResourceChangeResponse: DynamicValue planned_state=1, *Diagnostic diagnostics=4, \
bool legacy_type_system=5
ApplyResourceChangeRequest: string type_name=1, DynamicValue prior_state=2, DynamicValue planned_state=3, \
DynamicValue config=4
ApplyResourceChangeResponse: DynamicValue new_state=1, *Diagnostic diagnostics=3, bool legacy_type_system=4
ReadDataSourceRequest: string type_name=1, DynamicValue config=2
ReadDataSourceResponse: DynamicValue state=1, *Diagnostic diagnostics=2
StopRequest:
StopResponse: string Error=1
"""
_FIELD = re.compile(r"(\*?)(\w+) (\w+)=(\d+)")
_SCALARS = {
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
}
UNKNOWN = msgspec.msgpack.Ext(0, b"\0")
"""A value that is known only after apply."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    for line in _MESSAGES.strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for repeated, kind, field, number in _FIELD.findall(fields):
            label = 3 if repeated else 1
            added = message.field.add(name=field, number=int(number), label=label)
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = 11, f".{PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in (line.partition(":")[0] for line in _MESSAGES.strip().splitlines())
    }


MESSAGES = _classes()


def load(value: Any) -> Any:
    """The value in a ``DynamicValue``; unknown parts are :data:`UNKNOWN`."""
    if value.msgpack:
        return msgspec.msgpack.decode(value.msgpack)
    return json.loads(value.json) if value.json else None


def dump(value: Any) -> Any:
    return MESSAGES["DynamicValue"](msgpack=msgspec.msgpack.encode(value))


def is_unknown(value: Any) -> bool:
    return isinstance(value, msgspec.msgpack.Ext)


def diagnostic(summary: str, path: tuple[str | int, ...] = ()) -> Any:
    """An error at an attribute."""
    steps = [
        MESSAGES["Step"](attribute_name=step)
        if isinstance(step, str)
        else MESSAGES["Step"](element_key_int=step)
        for step in path
    ]
    return MESSAGES["Diagnostic"](
        severity=1, summary=summary, attribute=MESSAGES["AttributePath"](steps=steps)
    )
