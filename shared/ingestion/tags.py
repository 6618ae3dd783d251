"""The tags of an HTML text as a parser sees them: none in comments, quoted attributes, scripts and titles.

After the tokenizer of the HTML standard (https://html.spec.whatwg.org/multipage/parsing.html#tokenization).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal, NamedTuple

Reading = Literal["html", "foreign", "unclear"]
"""How a parser reads now: HTML, SVG or MathML, or what cannot be told."""


class Tag(NamedTuple):
    """A start or end tag. ``closed`` is that it ends in ``/>``, which means something in SVG and MathML."""

    name: str
    is_end: bool
    closed: bool


class Unclear(Exception):
    """What follows is read in two ways, depending on what a parser has done so far."""


_SPACE = r"\t\n\f\r "
_VALUE = rf"\"[^\"]*+\"|'[^']*+'|[^{_SPACE}>\"'][^{_SPACE}>]*+"
_ATTRIBUTE = rf"[^{_SPACE}/>][^{_SPACE}/>=]*+(?:[{_SPACE}]*+=[{_SPACE}]*+(?:{_VALUE})?+)?+"
_MARK = re.compile(
    rf"<(?P<end>/?)(?P<name>[a-zA-Z][^{_SPACE}/>]*+)(?:[{_SPACE}]++|/(?!>)|{_ATTRIBUTE})*+(?:(?P<closed>/?)>|\Z)"
    r"|<!--(?:-?>|[\s\S]*?(?:--!?>|\Z))"
    r"|<!\[CDATA\[(?P<data>)"
    r"|<[!?][^>]*+"
    r"|</(?:>|[^a-zA-Z>][^>]*+)"
)
_RAW = frozenset(
    ["title", "textarea", "style", "xmp", "iframe", "noembed", "noframes", "script", "plaintext"]
)
"""Elements whose content is text, in HTML; that of the last one never ends."""
_SCRIPT = re.compile("<script", re.IGNORECASE | re.ASCII)


def tags_of(html: str, reading: Callable[[], Reading]) -> Iterator[Tag]:
    """The tags in their order. ``reading`` is asked after each of them. Raises :class:`Unclear`."""
    at = 0
    while found := _MARK.search(html, at):
        at = found.end()
        if found["data"] is not None:
            at = _after_data(html, at, reading())
        elif found["name"] and found["closed"] is None:
            return  # cut within the tag: a parser leaves it out
        elif found["name"]:
            name = found["name"]
            # As the standard: other letters than those of ASCII stay, so that no other name comes of them.
            tag = Tag(name.lower() if name.isascii() else name, bool(found["end"]), bool(found["closed"]))
            how = reading()
            yield tag
            if tag.name in _RAW and not tag.is_end and how != "foreign":
                at = _after_text(html, at, tag, how)


def _after_data(html: str, at: int, how: Reading) -> int:
    """Where CDATA ends that begins at ``at``: in HTML it is a comment of an odd form."""
    comment = html.find(">", at)
    if how == "unclear" and not html.startswith("]]>", comment - 2):
        raise Unclear
    if how == "foreign":
        comment = html.find("]]>", at) + 2
    return comment + 1 if comment >= at else len(html)


def _after_text(html: str, at: int, tag: Tag, how: Reading) -> int:
    """Where the end tag of an element stands whose content is text."""
    found = _end_of(tag.name).search(html, at)
    end = found.start() if found and tag.name != "plaintext" else len(html)
    if how == "unclear" and (tag.closed or "<" in html[at:end]):
        raise Unclear
    comment = html.find("<!--", at, end) if tag.name == "script" else -1
    if comment >= 0 and _SCRIPT.search(html, comment, end):
        raise Unclear  # a script in a comment in a script: it ends elsewhere
    return end


@cache
def _end_of(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE | re.ASCII)
