"""Heading ids as Docusaurus makes them.

The rule is github-slugger's: lower case; letters, marks, decimal and letter-like digits, connectors,
hyphens and spaces stay; spaces become hyphens; a repeated id gets ``-1``, ``-2``, ...
"""

from __future__ import annotations

import unicodedata

_KEPT = frozenset({"Nd", "Nl", "Pc"})


def slug(text: str) -> str:
    """The id of a heading, not yet told from its namesakes."""
    kept = (char for char in text.lower() if char in " -" or _stays(unicodedata.category(char)))
    return "".join(kept).replace(" ", "-")


class Slugger:
    """Ids of the headings of one page, in order."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def slug(self, text: str) -> str:
        """The id of the next heading; unique in the page."""
        base = unique = slug(text)
        while unique in self._seen:
            self._seen[base] += 1
            unique = f"{base}-{self._seen[base]}"
        self._seen[unique] = 0
        return unique


def _stays(category: str) -> bool:
    return category[0] in "LM" or category in _KEPT
