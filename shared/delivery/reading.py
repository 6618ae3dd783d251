"""Reads nested values of a YAML file into frozen dataclasses, all mistakes reported together.

A field says in its type and in :func:`value` what it takes. Supported types: ``str``, ``int``, ``float``,
``bool``, a tuple of one of these, another dataclass, and a mapping from names to a dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from shared.declarations import Check, did_you_mean

T = TypeVar("T")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def value(default: Any = MISSING, *, check: Check | None = None) -> Any:
    """A field with a check; without ``default`` the file must name it."""
    return field(default=default, metadata={"check": check})


def one_of(*choices: str) -> Check:
    return lambda given: "" if given in choices else "one of " + ", ".join(c or "(empty)" for c in choices)


def read(kind: type[T], content: Any, where: str, problems: list[str]) -> T | None:
    """A ``kind`` made from ``content``; ``None`` when something is wrong, told in ``problems`` under the
    dotted name ``where``.
    """
    if not isinstance(content, Mapping):
        problems.append(f"{where} must hold names and values, not {content!r}")
        return None
    before = len(problems)
    hints = get_type_hints(kind)
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    problems += [
        f"{where}.{name} is not known{did_you_mean(str(name), known)}"
        for name in content
        if name not in known
    ]
    given: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        place = f"{where}.{item.name}"
        if item.name in content:
            given[item.name] = _one(hints[item.name], content[item.name], place, problems)
            wrong = _wrong(item.metadata.get("check"), given[item.name])
            if wrong:
                problems.append(f"{place}: {content[item.name]!r} is wrong; expected {wrong}")
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(f"{place} is missing")
    return kind(**given) if len(problems) == before else None


def _one(kind: Any, content: Any, where: str, problems: list[str]) -> Any:
    """One value; ``None`` stands for what is wrong and was told."""
    if is_dataclass(kind):
        return read(kind, content, where, problems)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        return _several(get_args(kind)[0], content, where, problems)
    if get_args(kind):
        return _named(get_args(kind)[1], content, where, problems)
    # A whole number is a number; true is neither, though Python says so.
    fits = isinstance(content, (int, float) if kind is float else kind)
    if not fits or (isinstance(content, bool) and kind is not bool):
        problems.append(f"{where}: {content!r} is not {_WORDS[kind]}")
        return None
    return kind(content)


def _several(kind: Any, content: Any, where: str, problems: list[str]) -> tuple[Any, ...]:
    if not isinstance(content, list):
        problems.append(f"{where}: {content!r} is not a list")
        return ()
    return tuple(_one(kind, each, f"{where}[{place}]", problems) for place, each in enumerate(content))


def _named(kind: Any, content: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        problems.append(f"{where} must hold names and values, not {content!r}")
        return {}
    return {str(name): _one(kind, each, f"{where}.{name}", problems) for name, each in content.items()}


def _wrong(check: Check | None, given: Any) -> str:
    return "" if check is None or given is None else check(given)
