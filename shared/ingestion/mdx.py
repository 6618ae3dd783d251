"""Takes out of Markdown what only the MDX compiler understands, and keeps what the reader would see.

Listings and inline code are left alone. Content between tags stays (tabs, details, columns); the label of a
tab, the kind and title of an admonition and the summary of details become paragraphs of their own that begin
with :data:`LABEL`. Line breaks are kept where a removed
thing stood alone, so that the Markdown around it keeps its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LABEL = "\ue000"
"""Begins a paragraph that says what the next block is; private to Lectern, taken out of what is read."""

_FENCE = re.compile(r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)*(`{3,}|~{3,})(.*)$")
_ESM = re.compile(
    r"""^(?:import\s*(?:['"{]|[\w$*][\w$*{},\s]*\sfrom\s*['"])"""
    r"""|export\s+(?:default\b|const\b|let\b|var\b|function\b|async\s+function\b|class\b|\{|\*))"""
)
_ADMONITION = re.compile(
    r"^(?P<indent>[ \t>]*):::+(?P<kind>[A-Za-z][\w-]*)?(?:\[(?P<label>.*)\]|[ \t]+(?P<title>[^{]*?))?"
    r"[ \t]*(?:\{[^}]*\})?[ \t]*$"
)
_HEADING_ID = re.compile(r"^(\s*#{1,6}\s.*?)\{/\*\s*#([\w-]+)\s*\*/\}(?=\s*$)")
_TAB_LABEL = re.compile(r"""\blabel\s*=\s*(?:"([^"]*)"|'([^']*)'|\{\s*["'`]([^"'`]*)["'`]\s*\})""")
_LITERAL = re.compile(r"""\{\s*(?:'([^'\n]*)'|"([^"\n]*)"|`([^`$\n]*)`)\s*\}""")
_OPENING = re.compile(r"</?([A-Za-z][\w.:-]*)?(?=[\s/>])")
_FRAGMENT = re.compile(r"</?>")
_MARK = re.compile(r"[<{`\\]")
_IN_TAG = re.compile(r"[>\"'{]")
_TICKS = re.compile(r"`+")
_BRACE = re.compile(r"[{}]")
_ELEMENTS = (
    "a abbr address article aside audio b bdi bdo blockquote br button caption center cite code col colgroup "
    "dd del details dfn div dl dt em figcaption figure font footer form h1 h2 h3 h4 h5 h6 header hr i iframe "
    "img input ins kbd label li main mark nav ol option p picture pre q rp rt ruby s samp script section "
    "select small source span strike strong style sub summary sup svg table tbody td template textarea tfoot "
    "th thead time tr track u ul var video path wbr g circle rect object embed canvas"
)
_HTML = frozenset(_ELEMENTS.split())
_LONGEST_TAG = 5_000
_LONGEST_INDENT = 200
_LONGEST_MODULE = 400


def strip_mdx(source: str) -> str:
    """The Markdown of an MDX text."""
    pieces: list[str] = []
    for is_code, part in _split_listings(_without_comments(source.replace(LABEL, ""))):
        pieces.append(part if is_code else _strip_tags(_strip_lines(part)))
    return "".join(pieces)


def _without_comments(source: str) -> str:
    """Comments go first, because they may hold fences; those inside of listings stay."""
    pieces: list[str] = []
    for is_code, part in _split_listings(source):
        text = part
        if not is_code:
            text = "".join(_HEADING_ID.sub(r"\1{#\2}", line) for line in text.splitlines(keepends=True))
            text = _cut(_cut(text, "<!--", "-->"), "{/*", "*/}")
        pieces.append(text)
    return "".join(pieces)


def _cut(text: str, opening: str, closing: str) -> str:
    """Remove what stands between the two, both included; an opening that is never closed stays."""
    pieces: list[str] = []
    at = 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        pieces.append(text[at:start])
        at = end + len(closing)
    return "".join([*pieces, text[at:]])


def _split_listings(source: str) -> Iterator[tuple[bool, str]]:
    """Parts of the text in order, each with whether it is a fenced listing."""
    part: list[str] = []
    fence = ""
    for line in source.splitlines(keepends=True):
        mark = _FENCE.match(line.rstrip("\r\n"))
        if fence:
            part.append(line)
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                yield True, "".join(part)
                part, fence = [], ""
        elif mark and not (mark[1][0] == "`" and "`" in mark[2]):
            yield False, "".join(part)
            part, fence = [line], mark[1]
        else:
            part.append(line)
    yield bool(fence), "".join(part)


def _strip_lines(text: str) -> str:
    """Without import and export statements; admonition marks turned into their titles."""
    kept: list[str] = []
    lines = text.splitlines(keepends=True)
    at = unclosed = 0
    while at < len(lines):
        if _ESM.match(lines[at]):
            # Behind a statement that never ends no end is looked for again: that would take for ever.
            end = _end_of_module(lines, at) if at >= unclosed else at + 1
            unclosed = unclosed if end else at + _LONGEST_MODULE
            at = end or at + 1
            kept.append("\n")
            continue
        mark = _ADMONITION.match(lines[at].rstrip("\r\n"))
        kept.append(_admonition(mark) if mark else lines[at])
        at += 1
    return "".join(kept)


def _end_of_module(lines: list[str], start: int) -> int:
    """Index after the statement: the first line that leaves no bracket open; 0 when there is none."""
    depth = 0
    for at in range(start, min(len(lines), start + _LONGEST_MODULE)):
        line = lines[at]
        depth += sum(line.count(char) for char in "{([") - sum(line.count(char) for char in "})]")
        ends_open = line.rstrip().endswith(("=", "=>", ",", "from"))
        if depth <= 0 and not ends_open:
            return at + 1
    return 0


def _admonition(mark: re.Match[str]) -> str:
    indent = mark["indent"]
    if not mark["kind"]:
        return f"{indent.rstrip()}\n"
    title = (mark["label"] or mark["title"] or "").strip()
    kind = mark["kind"].capitalize()
    named = f"{kind}: {title}" if title and title.lower() != kind.lower() else kind
    return f"\n{indent}{LABEL}**{named}**\n\n"


def _strip_tags(text: str) -> str:
    """Without tags of HTML elements and components, and without expressions that stand as a block."""
    return _Stripper(text).stripped() if "<" in text or "{" in text else text


class _Stripper:
    """One walk over a text, from mark to mark. Braces are paired beforehand, in one pass: looking for the
    partner of each would take the square of the time on a page full of them.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._pairs = _brace_pairs(text)

    def stripped(self) -> str:
        pieces: list[str] = []
        at = 0
        while mark := _MARK.search(self._text, at):
            pieces.append(self._text[at : mark.start()])
            kept, at = self._replace(mark.start())
            pieces.append(kept)
        return "".join([*pieces, self._text[at:]])

    def _replace(self, at: int) -> tuple[str, int]:
        """What stands for the mark at ``at``, and where to go on."""
        char = self._text[at]
        if char == "\\":
            return self._text[at : at + 2], at + 2
        if char == "`":
            return _code_span(self._text, at)
        return self._expression(at) if char == "{" else self._tag(at)

    def _expression(self, at: int) -> tuple[str, int]:
        """A quoted text is shown; a block of its own is the compiler's; all else is left to the writer."""
        literal = _LITERAL.match(self._text, at)
        if literal:
            return next(group for group in literal.groups() if group is not None), literal.end()
        end = self._pairs.get(at, 0)
        if end and not _line_before(self._text, at).strip() and not _line_after(self._text, end).strip():
            return "", end
        return "{", at + 1

    def _tag(self, at: int) -> tuple[str, int]:
        """A tag goes; one that is no element, no component, or never ends is text."""
        opening = _OPENING.match(self._text, at)
        if not opening:
            fragment = _FRAGMENT.match(self._text, at)
            return ("", fragment.end()) if fragment else ("<", at + 1)
        end = self._end_of_tag(opening.end())
        if not end or not _is_element(opening[1] or "", self._text[at - 1 : at]):
            return "<", at + 1
        return _visible(self._text, at, end), end

    def _end_of_tag(self, at: int) -> int:
        """Index after the ``>`` that ends the tag, past quoted and braced attribute values; 0 if none."""
        limit = at + _LONGEST_TAG
        while mark := _IN_TAG.search(self._text, at, limit):
            if mark[0] == ">":
                return mark.end()
            if mark[0] == "{":
                at = self._pairs.get(mark.start(), 0)
            else:
                at = self._text.find(mark[0], mark.end(), limit) + 1
            if not at:
                return 0
        return 0


def _brace_pairs(text: str) -> dict[int, int]:
    """For each opening brace that is closed, the index after its partner."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            pairs[opened.pop()] = brace.end()
    return pairs


def _code_span(text: str, at: int) -> tuple[str, int]:
    """The span with its ticks, or the ticks alone when the paragraph has no others to match."""
    ticks = _TICKS.match(text, at)
    assert ticks
    paragraph = text.find("\n\n", ticks.end(), ticks.end() + _LONGEST_TAG)
    limit = paragraph if paragraph >= 0 else ticks.end() + _LONGEST_TAG
    runs = _TICKS.finditer(text, ticks.end(), limit)
    stop = next((run.end() for run in runs if run[0] == ticks[0]), ticks.end())
    return text[at:stop], stop


def _line_before(text: str, at: int) -> str:
    """What stands before ``at`` in its line, as far back as an indent reaches."""
    back = max(0, at - _LONGEST_INDENT)
    return text[max(back, text.rfind("\n", back, at) + 1) : at]


def _line_after(text: str, at: int) -> str:
    return text[at : at + _LONGEST_INDENT].split("\n", 1)[0]


def _is_element(name: str, before: str) -> bool:
    """``Map<String>`` is a type, ``<String>`` at the start of a word may be a component."""
    return name.lower() in _HTML or (name[:1].isupper() and not (before.isalnum() or before == "_"))


def _visible(text: str, at: int, end: int) -> str:
    """The label of a tab and a summary as paragraphs of their own; a space for a break; else nothing."""
    before = _line_before(text, at)
    lead = before[: len(before) - len(before.lstrip(" \t>"))]
    label = _TAB_LABEL.search(text, at, end)
    if label and text.startswith("<TabItem", at):
        words = next(group for group in label.groups() if group is not None)
        return f"\n\n{lead}{LABEL}{words}\n\n{lead}"
    if text.startswith("<summary", at):
        return f"\n\n{lead}{LABEL}"
    if text.startswith("</summary", at):
        return f"\n\n{lead}"
    return " " if text[at : at + 3].lower() in ("<br", "<td", "<th") else ""
