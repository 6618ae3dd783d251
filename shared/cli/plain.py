"""What commands print with where ``rich`` is not installed: the same words, without colours and bars.

The image does not ship it, because httpx loads it where it finds it, and every cold start would pay for that.
Jobs run the command line in that image, and their output goes to a log.
"""

from __future__ import annotations

import re
import sys
from typing import Any

_STYLE = re.compile(r"(?<!\\)\[/?[a-z ]*\]")


def escape(text: str) -> str:
    """``text`` so that its brackets are no styles."""
    return text.replace("[", r"\[")


class Table:
    """Columns under their names, as wide as their widest cell."""

    def __init__(self, **_looks: Any) -> None:
        self._rows: list[list[str]] = [[]]

    def add_column(self, name: str, **_looks: Any) -> None:
        self._rows[0].append(name)

    def add_row(self, *cells: str) -> None:
        self._rows.append(list(cells))

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in self._rows)
        return "\n".join(lines)


class Console:
    """Prints lines. Never a terminal: no bars, a line at each tenth instead."""

    is_terminal = False

    def __init__(self, *, stderr: bool = False, **_looks: Any) -> None:
        self._to_errors = stderr

    def print(self, what: Any = "", *, markup: bool = True, **_looks: Any) -> None:
        text = str(what)
        if markup and not isinstance(what, Table):
            text = _STYLE.sub("", text).replace(r"\[", "[")
        stream = sys.stderr if self._to_errors else sys.stdout
        stream.write(text + "\n")
        stream.flush()
