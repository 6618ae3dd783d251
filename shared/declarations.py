"""How a setting is declared, converted and checked; what is read lies in :mod:`shared.settings`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Check = Callable[[Any], str]
"""Returns what is expected when the value is wrong, else an empty text."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """How one setting is written, checked and explained."""

    name: str
    kind: type
    default: Any
    help: str
    section: str
    env: str
    key: str
    secret: bool
    choices: tuple[str, ...]
    check: Check | None


def setting(
    default: Any,
    help: str,  # noqa: A002 - the word for it
    *,
    section: str,
    env: str = "",
    key: str = "",
    secret: bool = False,
    choices: Sequence[str] = (),
    check: Check | None = None,
) -> Any:
    details = {
        "help": help,
        "section": section,
        "env": env,
        "key": key,
        "secret": secret,
        "choices": tuple(choices),
        "check": check,
    }
    return field(default=default, metadata=details, repr=not secret)


def between(least: float, most: float) -> Check:
    return lambda value: "" if least <= value <= most else f"a number from {least:g} to {most:g}"


def url(*schemes: str) -> Check:
    def check(value: str) -> str:
        parts = urlsplit(value)
        if not value or (parts.scheme in schemes and (parts.netloc or parts.path.startswith("/"))):
            return ""
        return "an address that starts with " + " or ".join(f"{scheme}:" for scheme in schemes)

    return check


def origins(values: tuple[str, ...]) -> str:
    good = all(urlsplit(v).scheme in {"http", "https"} and not urlsplit(v).path for v in values)
    return "" if good else "origins such as https://docs.example.com, separated by commas, without a path"


def read_file(path: Path, problems: list[str]) -> dict[str, Any]:
    """Names (dotted) and values of a YAML file; mistakes go to ``problems``."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        content = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(f"{path} cannot be read: {error}")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path} must hold names and values, not a {type(content).__name__}")
        return {}
    return _flatten(content)


def _flatten(content: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def parse(item: Declaration, raw: Any, where: str, problems: list[str]) -> Any:
    shown = "the value given" if item.secret else repr(raw)
    try:
        value = _convert(item.kind, raw)
    except (TypeError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(item.kind, "text")
        problems.append(f"{where}: {shown} is not {kind}")
        return item.default
    expected = "one of " + ", ".join(c or "(empty)" for c in item.choices) if item.choices else ""
    wrong = bool(item.choices) and value not in item.choices
    if not wrong and item.check is not None:
        expected = item.check(value)
        wrong = bool(expected)
    if wrong:
        problems.append(f"{where}: {shown} is wrong; expected {expected}")
        return item.default
    return value


def _convert(kind: type, raw: Any) -> Any:
    if kind is bool:
        word = str(raw).strip().lower()
        if word not in {"true", "false", "1", "0", "yes", "no"}:
            raise ValueError(word)
        return word in {"true", "1", "yes"}
    if kind is tuple:
        parts = raw.split(",") if isinstance(raw, str) else list(raw or ())
        return tuple(str(part).strip() for part in parts if str(part).strip())
    if isinstance(raw, bool | list):
        raise TypeError(raw)
    if kind is float:
        number = float(raw)
        if number != number:  # noqa: PLR0124 - the test for NaN
            raise ValueError(raw)
        return number
    return kind(str(raw).strip())


def did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
