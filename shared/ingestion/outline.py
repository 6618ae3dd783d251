"""Turns the run of headings and blocks of a page into sections."""

from __future__ import annotations

import re

from shared.retrieval.chunks import Block, Section

_SPACES = re.compile(r"[ \t\r\f\v\u00a0]+")
_INVISIBLE = str.maketrans(dict.fromkeys("\u200b\u200c\u200d\ufeff\u2060\ue000"))


class Outline:
    """Collects what a reader meets, top to bottom.

    The first heading of level 1 is the page's title and opens no section.
    """

    def __init__(self) -> None:
        self.title = ""
        self._path: list[tuple[int, str]] = []
        self._anchor = ""
        self._blocks: list[Block] = []
        self._sections: list[Section] = []

    def heading(self, level: int, text: str, anchor: str) -> None:
        """Close the section above and open the one below this heading."""
        if level == 1 and not self.title:
            self.title = text
            return
        self._close()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        if text:
            self._path.append((level, text))
        self._anchor = anchor

    def block(self, block: Block) -> None:
        """Add a block to the open section; one without words is left out."""
        if block.text.strip():
            self._blocks.append(block)

    def sections(self) -> tuple[Section, ...]:
        """All sections. One without blocks stays: its heading is still something to find."""
        self._close()
        return tuple(self._sections)

    def _close(self) -> None:
        headings = tuple(text for _, text in self._path)
        if self._blocks or headings:
            self._sections.append(Section(headings, self._anchor, tuple(self._blocks)))
        self._blocks = []
        self._anchor = ""


def tidy(text: str) -> str:
    """One line of reader's text: spaces run together, invisible characters gone."""
    return _SPACES.sub(" ", text.translate(_INVISIBLE)).strip()


def tidy_lines(text: str) -> str:
    """The same for text with line breaks that mean something; empty lines go."""
    lines = (tidy(line) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
