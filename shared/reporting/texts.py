"""Readers' text made fit to be shown: on a terminal, in JSON, in a page."""

from __future__ import annotations

import unicodedata

LONGEST = 300

_JOINERS = frozenset("\u200c\u200d")  # what Persian and Hindi are written with


def plain(text: str) -> str:
    """One line of at most :data:`LONGEST` characters without anything invisible: no control characters, which
    a terminal obeys, and no marks that turn the direction of what follows.
    """
    visible = "".join(one if _is_visible(one) else " " for one in text)
    line = " ".join(visible.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def _is_visible(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character)[0] != "C"
