"""The YAML head of a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from shared.errors import SourceError

_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:^|\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def split_front_matter(text: str, source: str) -> tuple[Mapping[str, Any], str]:
    """The head's values, every scalar as text, and the rest of the page.

    Raises :class:`~shared.errors.SourceError`, naming ``source`` and the line, for a head that is not
    YAML or not a mapping. A page without a head has an empty mapping.
    """
    head = _HEAD.match(text)
    if not head:
        return {}, text.removeprefix("\ufeff")
    try:
        # The base loader makes no dates or numbers of scalars: a title `1.10` stays what was written. The one
        # in C is faster and ends the process on a head that nests a hundred thousand deep.
        values = yaml.load(head[1], Loader=yaml.BaseLoader)  # noqa: S506 - makes text, lists, mappings only
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 2}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise _wrong(source + where, str(problem)) from error
    if values in (None, ""):
        values = {}
    if not isinstance(values, dict):
        raise _wrong(source, "it is not a list of `key: value` lines")
    return {str(key): value for key, value in values.items()}, text[head.end() :]


def text_of(head: Mapping[str, Any], key: str) -> str:
    """The value as text; empty when it is missing or no scalar."""
    value = head.get(key, "")
    return value.strip() if isinstance(value, str) else ""


def is_true(head: Mapping[str, Any], key: str) -> bool:
    return text_of(head, key).lower() == "true"


def _wrong(source: str, problem: str) -> SourceError:
    return SourceError(
        f"The front matter of {source} cannot be read: {problem}.",
        hint="Check it between the two `---` lines; quote values that hold a colon.",
    )
