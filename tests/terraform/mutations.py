"""Finds every attribute and block of ``terraform/`` that belongs to the provider, and renames it.

The files are formatted, so one attribute stands on one line. Counted are the arguments and blocks inside
``resource``, ``data`` and ``provider``; not counted are Terraform's own (``for_each``, ``lifecycle`` …) and
keys of maps, which no schema knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OWNERS = {"resource", "data", "provider"}
TERRAFORMS = {
    "for_each",
    "count",
    "depends_on",
    "provider",
    "lifecycle",
    "alias",
    "connection",
    "provisioner",
}
_BLOCK = re.compile(r'^\s*(\w+)((?: "[^"]*")*) \{$')
_ARGUMENT = re.compile(r"^\s*(\w+)\s+=\s")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|#.*$')


@dataclass(frozen=True, slots=True)
class Place:
    """A name of the provider's: file, line (from 1), and the name."""

    file: Path
    line: int
    name: str

    def renamed(self, text: str) -> str:
        """The file's text with this name misspelt."""
        lines = text.splitlines(keepends=True)
        old = lines[self.line - 1]
        lines[self.line - 1] = re.sub(rf"\b{self.name}\b", f"{self.name}x", old, count=1)
        assert lines[self.line - 1] != old
        return "".join(lines)


def places(folder: Path) -> list[Place]:
    return [
        place
        for file in sorted(folder.rglob("*.tf"))
        if ".terraform" not in file.parts
        for place in _in_file(file)
    ]


def _in_file(file: Path) -> Iterator[Place]:
    stack: list[str] = []  # kinds of the open blocks; "" for anything else that is open
    for number, line in enumerate(file.read_text().splitlines(), 1):
        block, argument = _BLOCK.match(line), _ARGUMENT.match(line)
        if block:
            yield from _block(file, number, block, stack)
            stack.append(_kind(block, stack))
            continue
        if argument and stack and stack[-1] in {"owner", "content"} and argument[1] not in TERRAFORMS:
            yield Place(file, number, argument[1])
        bare = _QUOTED.sub("", line)
        opened = sum(bare.count(sign) for sign in "{[(") - sum(bare.count(sign) for sign in "}])")
        stack += [""] * opened
        del stack[len(stack) + min(opened, 0) :]


def _kind(block: re.Match[str], stack: list[str]) -> str:
    name = block[1]
    if not stack:
        return "owner" if name in OWNERS else "other"
    if stack[-1] in {"owner", "content"}:
        return "dynamic" if name == "dynamic" else "other" if name in TERRAFORMS else "content"
    return "content" if stack[-1] == "dynamic" and name == "content" else "other"


def _block(file: Path, number: int, block: re.Match[str], stack: list[str]) -> Iterator[Place]:
    if not stack or stack[-1] not in {"owner", "content"} or block[1] in TERRAFORMS:
        return
    yield Place(file, number, block[2].strip().strip('"') if block[1] == "dynamic" else block[1])
