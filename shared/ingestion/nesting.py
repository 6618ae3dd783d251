"""How deep the elements of an HTML text nest, told without parsing it.

An HTML parser looks through the open elements at each tag, so that time grows with the square of the depth: a
page of a million tags that are never closed would hold it for hours, and no deadline ends what runs in C.
Marks for bold type that are never ended are made again in each later paragraph: 20 kB become a gigabyte.

What is told is a bound: an element counts as open until a parser has surely closed it, by an end tag of its
own while it is the innermost, or by a tag before or after which its end may be left out.
"""

from __future__ import annotations

import re
from collections import Counter

from shared.ingestion.tags import Reading, Tag, Unclear, tags_of

DEEPEST = 1_000
"""Browsers stop at 512."""
MOST_REOPENED = 1_000_000
"""Elements that a parser may make beside those that are written."""
_FEW_TAGS = 5_000
"""So many tags are parsed in no time, however they nest."""
_LONGEST_WALK = 64


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOID = _set("area base basefont bgsound br col embed frame hr img input link meta param source track wbr")
_ALWAYS_VOID = _set("br embed hr img meta")
_ROOTS = _set("html head body")
_FORMATTING = _set("b big code em font i nobr s small strike strong tt u")
_INLINE = _FORMATTING | {"a", "span"}
_HEADINGS = _set("h1 h2 h3 h4 h5 h6")
# What ends an open paragraph, and what ends with all that need no end of their own.
_BLOCKS = _set(
    "address article aside blockquote center details div dl fieldset figcaption figure footer header main "
    "menu nav ol pre section summary ul"
)
_ITEMS = _set("li dd dt")
_ENDLESS = _set("p li dd dt option optgroup rp rt")
_CELLS = _set("td th")
_ROWS_OF = _set("tbody thead tfoot")
_ASIDE = _set("caption colgroup")
_PARTS = _CELLS | _ROWS_OF | _ASIDE | {"tr"}
_FOREIGN = _set("svg math")
_POINTS = _set("foreignobject desc title annotation-xml mi mo mn ms mtext")
"""Where HTML is written inside of SVG and MathML."""
_BREAKING = (
    _HEADINGS
    | _ALWAYS_VOID
    | _set(
        "b big blockquote body center code dd div dl dt em font head i li listing menu nobr ol p pre ruby s "
        "small span strong strike sub sup table tt u ul var"
    )
)
"""What ends SVG and MathML."""
_STRANGE = _set("select frameset template")
"""Where most tags may mean nothing."""
_IMPLIED = {"table": 3, "template": 3}
"""A parser opens the body of a table and its rows by itself."""

_CLOSED_BEFORE: dict[str, frozenset[str]] = {
    **dict.fromkeys(_CELLS, _ENDLESS | _CELLS | _ASIDE),
    "tr": _ENDLESS | _CELLS | _ASIDE | {"tr"},
    **dict.fromkeys(_ROWS_OF | _ASIDE, _ENDLESS | _PARTS),
}
"""What the start of a part of a table closes."""
_CLOSED_WITHIN: dict[str, frozenset[str]] = {
    **dict.fromkeys(_BLOCKS | _ITEMS | _CELLS | {"caption"}, _ENDLESS),
    "ruby": _set("rp rt"),
    "tr": _ENDLESS | _CELLS,
    **dict.fromkeys(_ROWS_OF, _ENDLESS | _CELLS | {"tr"}),
    "table": _ENDLESS | _PARTS,
}
"""What the end of an element closes inside of it."""

_LIKE = {
    "li": ("li",),
    "option": ("option",),
    "dd": ("dd", "dt"),
    "dt": ("dd", "dt"),
}
"""What the start of an element of a list ends."""
_STOPPING = (_BLOCKS - {"div", "address"}) | _HEADINGS | _ITEMS | _PARTS | {"table", "button"}
"""What an item of a list does not end an earlier item outside of."""

_STANDARD = re.compile(r"\s*<!doctype html>", re.IGNORECASE | re.ASCII)
_REOPENING = re.compile(rf"<(?:{'|'.join(sorted(_FORMATTING))})[\s/>]", re.IGNORECASE)


def is_too_deep(html: str) -> bool:
    """Whether more than :data:`DEEPEST` elements may be open at a time, or more than :data:`MOST_REOPENED` be
    opened again. A page of few tags may nest as it likes.
    """
    marks = html.count("<")
    if marks < _FEW_TAGS and marks * len(_REOPENING.findall(html)) < MOST_REOPENED:
        return False
    limit = DEEPEST if marks >= _FEW_TAGS else _FEW_TAGS * max(_IMPLIED.values())
    depth = depth_of(html, limit)
    return depth is None or depth > limit


def depth_of(html: str, most: int) -> int | None:
    """How many elements are open at a time at most, but for ``html`` and ``body``; when there are more than
    ``most``, some number above it. None where it cannot be told.
    """
    opened = _Open(is_standard=_STANDARD.match(html) is not None)
    deepest = 0
    try:
        for tag in tags_of(html, opened.reading):
            opened.take(tag)
            deepest = max(deepest, opened.depth)
            if deepest > most:
                break
    except Unclear:
        return None
    return deepest if opened.reopened <= MOST_REOPENED else None


class _Open:
    """The elements that a parser may have open: those that it has, in their order, are among them.

    Those from ``_sure`` on it surely has. Of an element that it may have closed, the end closes nothing else.
    """

    def __init__(self, *, is_standard: bool) -> None:
        self.depth = 0
        self.reopened = 0
        self._names: list[str] = []
        self._many: Counter[str] = Counter()
        self._sure = 0
        self._before_p = _BLOCKS | _HEADINGS | _ITEMS | {"p"} | ({"table"} if is_standard else frozenset())
        self._formatting = 0
        self._dangling = 0  # of those, how many may be made again
        self._strange = 0
        self._foreign = -1  # where the outermost SVG or MathML is
        self._points = 0
        self._is_broken = False  # something may have ended it that did not say so

    def reading(self) -> Reading:
        """How a parser reads now."""
        if self._foreign < 0 and not self._strange:
            return "html"
        return "unclear" if self._strange or self._points or self._is_broken else "foreign"

    def take(self, tag: Tag) -> None:
        """Take the next tag."""
        if tag.is_end:
            self._end(tag.name)
            return
        if self._many["p"] and tag.name not in _INLINE:
            self._dangling = self._formatting  # a paragraph may end here, and they outlive it
        self.reopened += min(self._dangling, self._formatting)
        how = self.reading()
        if how == "html":
            self._start(tag)
        elif how != "foreign" or not tag.closed or tag.name in _BREAKING:
            self._start_within(tag.name, how)

    # ------------------------------------------------------------ starts

    def _start(self, tag: Tag) -> None:
        name = tag.name
        if name == "col" and self._top not in ("table", "colgroup"):
            self._doubt()
        if name in _VOID or name in _ROOTS or (tag.closed and name in _FOREIGN):
            return
        if self._top == "p" and name in self._before_p:
            self._pop()
        if name in _PARTS:
            self._close_parts(name)
        elif self._ends_one_like_it(name):
            self._pop()
        elif self._may_end_more(name):
            self._doubt()
        self._push(name)

    def _start_within(self, name: str, how: Reading) -> None:
        """In SVG or MathML, or where it cannot be told whether a tag means anything."""
        if self._foreign >= 0 and not self._points and name in _BREAKING:
            self._is_broken = True
        if name not in _ALWAYS_VOID:
            self._push(name)
        if how == "unclear" or self._is_broken:
            self._doubt()

    def _close_parts(self, name: str) -> None:
        if not self._has_table():
            self._doubt()
            return
        while self._top in _CLOSED_BEFORE[name]:
            self._pop()

    def _ends_one_like_it(self, name: str) -> bool:
        top = self._top
        if name in ("rp", "rt"):
            is_in_ruby = self._names[-2:-1] == ["ruby"] and len(self._names) - 2 >= self._sure
            return is_in_ruby and top in ("rp", "rt")
        return top in _LIKE.get(name, ())

    def _may_end_more(self, name: str) -> bool:
        """Whether this start may end elements that are not the innermost."""
        if name in _ITEMS:
            return self._nearest(_STOPPING, name) in _LIKE[name]
        if name in _HEADINGS:
            return self._top in _HEADINGS
        if name == "table":
            return self._nearest(_CELLS | {"table", "caption"}, name) == name
        if name in ("rp", "rt"):
            return self._top != "ruby" and self._many["ruby"] > 0
        return name == "button" and self._many[name] > 0

    # ------------------------------------------------------------ ends

    def _end(self, name: str) -> None:
        # A parser that met the end of a form in an odd place forgets the form: the next end is no end.
        if self._top == name and (name != "form" or self._sure < len(self._names)):
            self._pop()
            if name == "form" and self._many[name]:
                self._doubt()
            return
        at = self._surely_ended(name)
        while at is not None and len(self._names) > at:
            self._pop()
        if at is None:
            self._is_broken = self._foreign >= 0
            if self._many[name] or name in _HEADINGS:
                self._doubt()

    def _surely_ended(self, name: str) -> int | None:
        """Where the element is that this end closes, with those inside of it that need no end."""
        within = _CLOSED_WITHIN.get(name)
        if within is None or self.reading() != "html" or (name in _PARTS and not self._has_table()):
            return None
        at = self._find(name, within - {name})
        return at if at is not None and at >= self._sure else None

    def _has_table(self) -> bool:
        """Whether a parser surely is in a table, with nothing open in it that needs an end."""
        at = self._find("table", _ENDLESS | _PARTS)
        return at is not None and at >= self._sure

    # ------------------------------------------------------------ the elements

    def _doubt(self) -> None:
        """A parser may have closed any of the elements now."""
        self._sure = len(self._names)
        self._dangling = self._formatting

    @property
    def _top(self) -> str:
        return self._names[-1] if self._names else ""

    def _nearest(self, names: frozenset[str], else_: str) -> str:
        """The innermost element of these names; ``else_`` when it is far out."""
        near = (one for one in self._names[: -_LONGEST_WALK - 1 : -1] if one in names)
        return next(near, "" if len(self._names) <= _LONGEST_WALK else else_)

    def _find(self, name: str, among: frozenset[str]) -> int | None:
        """Where the innermost element of this name is, when only those ``among`` are inside of it."""
        for at in range(len(self._names) - 1, max(len(self._names) - _LONGEST_WALK, 0) - 1, -1):
            if self._names[at] == name:
                return at
            if self._names[at] not in among:
                return None
        return None

    def _push(self, name: str) -> None:
        if self._foreign >= 0:
            self._points += name in _POINTS
        elif name in _FOREIGN:
            self._foreign = len(self._names)
        self._names.append(name)
        self._many[name] += 1
        self.depth += _IMPLIED.get(name, 1)
        self._formatting += name in _FORMATTING
        self._strange += name in _STRANGE

    def _pop(self) -> None:
        name = self._names.pop()
        self._many[name] -= 1
        self._sure = min(self._sure, len(self._names))
        self.depth -= _IMPLIED.get(name, 1)
        self._formatting -= name in _FORMATTING
        self._strange -= name in _STRANGE
        if self._foreign == len(self._names):
            self._foreign, self._points, self._is_broken = -1, 0, False
        elif self._foreign >= 0:
            self._points -= name in _POINTS
