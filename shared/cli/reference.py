"""The handbook's configuration reference, made from the declarations of the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shared.settings import declarations

_INTRODUCTION = """\
---
title: Configuration
description: Every setting of Lectern with its environment variable, key in the file, default and meaning.
sidebar_position: 3
---

# Configuration

This page is made from `shared/settings.py`. After a change there, refresh it:

```bash
lectern config --reference > docs/reference/configuration.md
```

## Where a value comes from

The first of these that names a setting wins:

1. An option of the command line, where a command has one.
2. The environment variable.
3. The file `config/<environment>.yaml`, where the environment is `development`, `staging` or `production`.
   `LECTERN_ENV` chooses it; the default is `development`.
4. The default in the tables below.

An environment variable that is empty counts as not set. A key with a dot stands for a nested key of the YAML
file: `alert_thresholds.error_rate` is the key `error_rate` under `alert_thresholds`.

## How values are written

- True or false: `true`, `false`, `yes`, `no`, `1` or `0`.
- A list: in a variable separated by commas, in the file as a YAML list.
- A choice: one of the words that the table names.

## How are secrets set

Settings marked **secret** come from the environment alone. In a configuration file they are refused. On
Google Cloud, set the variable as a reference to a version in Secret Manager. `lectern config` shows whether a
secret is set, never its value.

## What happens when a setting is wrong

Before anything starts, all mistakes are reported together: the name, the value and what is expected. An
unknown key of the file, or an unknown variable that begins with `LECTERN_`, is a mistake as well.
Commands end with exit code 2.
"""

_HEAD = (
    "| Setting | Environment variable | Key in the file | Default | Meaning |",
    "|---|---|---|---|---|",
)


def reference() -> str:
    """The page as Docusaurus Markdown: a fixed introduction, then a table for each section of settings.

    Sections stand in the order in which the settings first name them.
    """
    sections = dict.fromkeys(item.section for item in declarations())
    return "\n".join([_INTRODUCTION, *(_section(title) for title in sections)])


def _section(title: str) -> str:
    rows = [
        _row(
            f"`{item.name}`",
            f"`{item.env}`",
            f"`{item.key}`" if item.key else "none",
            _default(item.default),
            _meaning(item.help, item.choices, _bounds(item.kind, item.check), secret=item.secret),
        )
        for item in declarations()
        if item.section == title
    ]
    return "\n".join([f"## {title}", "", *_HEAD, *rows, ""])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in ("", ()) else "empty"


def _bounds(kind: type, check: Callable[[Any], str] | None) -> str:
    """What a number must be between; checks of other kinds are explained by the setting's own words."""
    return check(float("nan")) if check is not None and kind in (int, float) else ""


def _meaning(words: str, choices: Sequence[str], bounds: str, *, secret: bool) -> str:
    parts = [words]
    if choices:
        parts.append(f"One of {', '.join(f'`{choice}`' if choice else 'empty' for choice in choices)}.")
    if bounds:
        parts.append(f"Expected: {bounds}.")
    if secret:
        parts.append("**Secret.**")
    return " ".join(parts)
