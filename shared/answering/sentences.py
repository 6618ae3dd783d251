"""Streamed words to whole sentences, each with the markers that stand at its end.

Pieces joined give the text back, and where the text is cut does not depend on how it arrived. A sentence
ends at a mark that white space, a marker or a closing quote follows, as in Unicode's sentence boundaries
(UAX #29), but for what documentation is full of: versions, file names, abbreviations, code and lists.
"""

# ruff: noqa: RUF001 - marks of other scripts are meant
from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 2000
"""Characters after which a piece is cut wherever it is: memory stays bounded whatever a model writes."""

MARKER = re.compile(r"[\[【]\s*(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\s*[\]】]")
"""``[2]``, ``[1, 3]``, ``【4】``: the numbers of the passages that a sentence comes from."""

_MARKER_BEGUN = re.compile(r"[\[【][\d\s,;–-]*\Z")
_STOP = re.compile(
    r"(?P<fence>(?:^|(?<=\n))[ \t]*(?:`{3,}|~{3,}))|(?P<code>`+)|(?P<end>[.!?…؟۔।。！？｡]+)|(?P<line>\n)"
)
_CLOSERS = re.compile(r"[\"'”’»)\*_」』）】]*(?<!【)")
_IDEOGRAPHIC = "。！？｡"
_BULLET = re.compile(r"\s*(?:[-*+•>]|#{1,6}|\d{1,3}[.)])(?=\s)\s*")
_LINE_OPENS = re.compile(r"[ \t]*(?:\n|[-*+•](?=\s)|\d{1,3}[.)](?=\s)|#{1,6}(?=\s)|`{3}|~{3}|[>|])")
_HEADING = re.compile(r"\s*#{1,6}\s")
_LINE_LOOK = 8
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“])(?:e\.g|i\.e|vs|cf|ca|approx|incl|resp|fig|no|nr|mr|mrs|ms|dr|prof|st|sec|ch|ex|z\.b|d\.h|p|pp|[A-Z])\.\Z",
    re.IGNORECASE,
)
_ABBREVIATION_OR_END = re.compile(r"(?:^|[\s(])(?:etc|inc|ltd|co|corp|usw|al)\.\Z", re.IGNORECASE)


class Sentences:
    """Takes pieces of any size, gives whole sentences."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> Iterator[str]:
        """The sentences that ``text`` completes; white space behind a sentence belongs to it."""
        self._held += text
        while (end := cut(self._held, whole=False)) is not None:
            yield self._held[:end]
            self._held = self._held[end:]

    def rest(self) -> Iterator[str]:
        """What is left when the text is at its end."""
        while self._held:
            end = cut(self._held, whole=True) or len(self._held)
            yield self._held[:end]
            self._held = self._held[end:]


def split(text: str) -> list[str]:
    """The sentences of a whole text; joined they are the text."""
    sentences = Sentences()
    return [*sentences.feed(text), *sentences.rest()]


def cut(text: str, *, whole: bool) -> int | None:
    """Where the first sentence of ``text`` ends; None when more must be read to know.

    Text that follows never changes an answer that is not None. ``whole``: nothing follows.
    """
    seen = text[:LONGEST]
    end = _Scan(seen, whole=whole and len(text) <= LONGEST).end()
    return LONGEST if end is None and len(text) >= LONGEST else end


class _Unread(Exception):
    """The text ends before it is clear what it says."""


class _Scan:
    def __init__(self, text: str, *, whole: bool) -> None:
        self._text = text
        self._whole = whole

    def end(self) -> int | None:
        try:
            return self._first_end()
        except _Unread:
            return len(self._text) if self._whole and self._text else None

    def _first_end(self) -> int:
        at = self._opening()
        while True:
            stop = _STOP.search(self._text, at)
            if stop is None:
                raise _Unread
            if stop["fence"]:
                return self._after_listing(stop)
            if stop["code"]:
                at = self._after_code(stop)
                continue
            end = self._after_line(stop) if stop["line"] else self._after_mark(stop)
            if end is not None:
                return end
            at = stop.end()

    def _opening(self) -> int:
        """Behind the number or dot of a list item, which is no sentence of its own."""
        if len(self._text) < _LINE_LOOK and not self._whole:
            raise _Unread
        bullet = _BULLET.match(self._text)
        begun = bullet.end() if bullet else len(self._text) - len(self._text.lstrip())
        # A fence is looked for from its line's start.
        return begun if bullet else self._text.rfind("\n", 0, begun) + 1

    def _after_listing(self, fence: re.Match[str]) -> int:
        """Behind a listing's last line and its markers. What stands before a listing is a sentence."""
        if self._text[: fence.start()].strip():
            return fence.start()
        mark = fence.group().strip()
        close = re.compile(rf"\n[ \t]*{re.escape(mark[0])}{{{len(mark)},}}[ \t]*(?:\n|\Z)")
        # The fence itself may be longer than what has been read of it.
        found = close.search(self._text, fence.end())
        if found is None or (found.end() == len(self._text) and not self._whole):
            raise _Unread
        return self._behind(found.end(), at_line_end=True)

    def _after_code(self, opening: re.Match[str]) -> int:
        """Behind a code span; a backtick that is never closed in its paragraph is an ordinary character."""
        if opening.end() == len(self._text):
            raise _Unread
        run = opening.group()
        close = re.compile(rf"(?<!`){run}(?!`)|\n[ \t]*\n").search(self._text, opening.end())
        if close is None or (close.end() == len(self._text) and not self._whole):
            if self._whole and close is None:
                return opening.end()
            raise _Unread
        return opening.end() if close.group().startswith("\n") else close.end()

    def _after_line(self, stop: re.Match[str]) -> int | None:
        """Behind a line's end, when the next line begins something new."""
        rest = self._text[stop.end() :]
        line = rest.split("\n", 1)[0]
        if not self._whole and "\n" not in rest and len(line.lstrip()) < _LINE_LOOK:
            raise _Unread
        if not rest.strip():
            raise _Unread
        ends = _LINE_OPENS.match(rest) or _HEADING.match(self._text)
        return self._behind(stop.end(), at_line_end=True) if ends else None

    def _after_mark(self, stop: re.Match[str]) -> int | None:
        """Behind a full stop, question or exclamation mark, when it ends a sentence."""
        closed = self._skip(_CLOSERS, stop.end())
        if closed == len(self._text):
            raise _Unread
        ideographic = stop.group()[-1] in _IDEOGRAPHIC
        marked = self._behind(closed, at_line_end=False)
        has_marker = bool(MARKER.search(self._text[closed:marked]))
        if not (ideographic or has_marker or self._text[closed].isspace()):
            return None
        if has_marker or ideographic or self._markers_before(stop.start()):
            return marked
        return None if self._goes_on(stop, self._text[marked]) else marked

    def _goes_on(self, stop: re.Match[str], following: str) -> bool:
        if stop.group() == "." and _ABBREVIATION.search(self._text, 0, stop.end()):
            return True
        if stop.group() == "." and _ABBREVIATION_OR_END.search(self._text, 0, stop.end()):
            return not following.isupper()
        return following.islower()

    def _markers_before(self, at: int) -> bool:
        return self._text[:at].rstrip().endswith(("]", "】")) and any(
            found.end() == len(self._text[:at].rstrip()) for found in MARKER.finditer(self._text, 0, at)
        )

    def _behind(self, at: int, *, at_line_end: bool) -> int:
        """Behind white space and markers. Indentation of the next line belongs to that line."""
        start = at
        while True:
            at = self._skip(re.compile(r"\s*"), at)
            if at == len(self._text):
                raise _Unread
            marker = MARKER.match(self._text, at)
            if marker is None:
                break
            at = marker.end()
        if _MARKER_BEGUN.match(self._text, at):
            raise _Unread
        line = self._text.rfind("\n", start, at)
        indented = line >= 0 or at_line_end
        return max(start, line + 1) if indented and not self._text[max(start, line + 1) : at].strip() else at

    def _skip(self, pattern: re.Pattern[str], at: int) -> int:
        found = pattern.match(self._text, at)
        return found.end() if found else at
