"""Reads a provider's attributes out of the code that cdktn generated for it.

A unit is one folder of the package: for each resource and each of its blocks a class, whose attributes
stand in comments such as ``// name - computed: false, optional: true, required: false``, followed by the
accessor that tells the type, and a function that says what is a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

_ATTRIBUTE = re.compile(r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$", re.MULTILINE)
_CLASS = re.compile(r"^class (\w+) extends \w+\.(ComplexObject|ComplexList|Terraform\w+) \{$", re.MULTILINE)
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_HCL = re.compile(
    r'^ +(\w+): \{\n +value: .*\n +isBlock: (true|false),\n +type: "(\w+)",\n +storageClassType: "(\w+)"',
    re.MULTILINE,
)
_TOP = re.compile(r"^    synthesizeHclAttributes\(\) \{$(.*?)^    \}$", re.MULTILINE | re.DOTALL)
_CHILD = re.compile(r'new (?:\w+\.)?(\w+)\(this, "\w+"(?:, (true|false))?\)')
_GETTER = re.compile(r"this\.(get\w+Attribute)\(")
_INTERFACE = re.compile(r"^export (?:declare )?interface (\w+).*?\{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_DOC = re.compile(r"/\*\*((?:(?!\*/).)*?#(\w+) \w+#\w+\}.*?)\*/", re.DOTALL)
_VALUES = re.compile(r"Possible values: \[(.*?)\]", re.DOTALL)
_SECRET = re.compile(r"(^|_)(secret_data|password|private_key|client_secret)(_wo)?$")
_GETTERS: dict[str, Any] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
}
_MAPS: dict[str, Any] = {
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
    "AnyMap": ["map", "dynamic"],
    "StringMapList": ["list", ["map", "string"]],
}
Hcl = dict[str, tuple[str, str, str]]
Block = dict[str, Any]


class Unit:
    """One folder of the package."""

    def __init__(self, javascript: str, declarations: str) -> None:
        code = re.sub(r"^//# sourceMappingURL.*$", "", javascript, flags=re.MULTILINE)
        self._hcl = {match[1]: _hcl(match[2]) for match in _FUNCTION.finditer(code)}
        self._values = _possible_values(declarations)
        self._classes = {name: (kind, body) for (name, kind), body in _parts(_CLASS, code)}

    def schemas(self) -> Iterator[tuple[str, str, Block]]:
        """Kind (``TerraformResource`` …), Terraform's type and block of everything in the unit."""
        for name, (kind, body) in self._classes.items():
            found = re.search(r'static tfResourceType = "([\w-]+)"', body)
            if kind.startswith("Terraform") and found:
                yield kind, found[1], self._block(name, f"{name}Config", _hcl(_top(body)), ())

    def _block(self, name: str, interface: str, hcl: Hcl, above: tuple[str, ...]) -> Block:
        block: Block = {"attributes": {}, "block_types": {}}
        for (attribute, computed, optional, required), text in _parts(_ATTRIBUTE, self._classes[name][1]):
            if attribute == "alias" and not above:
                continue  # Terraform's own
            flags = {"computed": computed, "optional": optional, "required": required}
            kept = {flag: True for flag, said in flags.items() if said == "true"}
            self._add(
                block, attribute, text, kept, hcl.get(attribute, ("false", "", "")), interface, (*above, name)
            )
        return {part: content for part, content in block.items() if content}

    def _add(  # noqa: PLR0917 - what is known of one attribute
        self,
        block: Block,
        attribute: str,
        text: str,
        flags: Block,
        hcl: tuple[str, str, str],
        interface: str,
        above: tuple[str, ...],
    ) -> None:
        is_block, kind, storage = hcl[0] == "true", hcl[1], hcl[2]
        child = _CHILD.search(text.split("\n    }\n", maxsplit=1)[0])
        if is_block and kind == "list" and f"{storage[:-4]}OutputReference" not in self._classes:
            block["block_types"][attribute] = self._flat(storage)
        elif child and child[1] not in _MAPS:
            many, inner = self._child(child[1], above)
            nesting = "set" if kind == "set" or child[2] == "true" else "list"
            if is_block:
                nested: Block = {"nesting_mode": "single" if kind == "struct" else nesting, "block": inner}
                if kind != "struct":
                    nested |= {"min_items": 1} if flags.get("required") else {}
                    nested |= {} if many else {"max_items": 1}
                block["block_types"][attribute] = nested
            else:
                whole = ["object", _as_object(inner)]
                block["attributes"][attribute] = {
                    "type": whole if kind == "struct" else [nesting, whole],
                    **flags,
                }
        else:
            block["attributes"][attribute] = (
                self._scalar(attribute, text, child, kind, storage, interface) | flags
            )

    def _child(self, name: str, above: tuple[str, ...]) -> tuple[bool, Block]:
        many = self._classes[name][0] == "ComplexList"
        item = f"{name[:-4]}OutputReference" if many else name
        if item in above:  # two exotic resources hold themselves
            return many, {}
        struct = item.removesuffix("OutputReference")
        return many, self._block(item, struct, self._hcl.get(struct[0].lower() + struct[1:], {}), above)

    def _flat(self, storage: str) -> Block:
        """A block of the provider itself, which has no class of its own."""
        hcl = self._hcl.get(storage[0].lower() + storage[1:-4], {})
        inner = {name: {"type": _type(kind, cls), "optional": True} for name, (_, kind, cls) in hcl.items()}
        return {"nesting_mode": "list", "max_items": 1, "block": {"attributes": inner}}

    def _scalar(  # noqa: PLR0917 - what is known of one attribute
        self, attribute: str, text: str, child: re.Match[str] | None, kind: str, storage: str, interface: str
    ) -> Block:
        getter = _GETTER.search(text)
        type_ = _MAPS[child[1]] if child else _GETTERS[getter[1]] if getter else _type(kind, storage)
        if "Fn.tolist(" in text and isinstance(type_, list):
            type_ = ["set", type_[1]]
        facts: Block = {"type": type_}
        if values := self._values.get((interface, attribute)):
            facts["x_enum"] = values
        if attribute.endswith("_wo"):
            facts["write_only"] = True
        if _SECRET.search(attribute):
            facts["sensitive"] = True
        return facts


def _parts(head: re.Pattern[str], text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each head's groups, and the text up to the next head."""
    heads = list(head.finditer(text))
    for one, following in zip_longest(heads, heads[1:]):
        yield one.groups(), text[one.end() : following.start() if following else len(text)]


def _hcl(text: str) -> Hcl:
    return {name: (is_block, kind, storage) for name, is_block, kind, storage in _HCL.findall(text)}


def _top(body: str) -> str:
    found = _TOP.search(body)
    return found[1] if found else ""


def _possible_values(declarations: str) -> dict[tuple[str, str], list[str]]:
    found = {}
    for interface in _INTERFACE.finditer(declarations):
        for doc in _DOC.finditer(interface[2]):
            listed = _VALUES.search(doc[1])
            values = re.findall(r'"([^"]*)"', re.sub(r"\n\s*\* ?", " ", listed[1])) if listed else []
            if values:
                found[interface[1], doc[2]] = values
    return found


def _type(kind: str, storage: str) -> Any:
    base = re.sub(r"(List|Map)$", "", storage)
    base = {"boolean": "bool"}.get(base, base)
    if base not in {"string", "number", "bool"}:
        return "dynamic"
    return base if kind == "simple" else [kind, base]


def _as_object(block: Block) -> dict[str, Any]:
    """A block as the type of an attribute."""
    types = {name: facts["type"] for name, facts in block.get("attributes", {}).items()}
    for name, nested in block.get("block_types", {}).items():
        whole = ["object", _as_object(nested["block"])]
        types[name] = whole if nested["nesting_mode"] == "single" else [nested["nesting_mode"], whole]
    return types
