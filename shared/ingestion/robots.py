"""What a page says to search engines about being listed: robots metas, and `X-Robots-Tag` headers."""

from __future__ import annotations

import re

OURS = frozenset(("robots", "lectern", "*"))
"""Who is spoken to: all robots, or this one. Rules for another one by name say nothing to us."""
_HIDING = frozenset(("noindex", "none"))
# Their values are no rules: `max-image-preview: none` hides pictures, not the page.
_VALUED = re.compile(r"\b(?:max-snippet|max-image-preview|max-video-preview|unavailable_after)\s*:\s*[^\s,]*")
_NAMED = re.compile(r"\s*([a-z*][^\s:]*)\s*:(.*)", re.DOTALL)


def is_hidden(rules: str) -> bool:
    """Whether ``rules`` ask robots to leave the page out.

    Each line is the content of a meta or the value of a header: rules with commas between them. A name and
    a colon before a rule, ``otherbot: noindex``, address it and what follows in its line to that robot.
    """
    return any(_hides(line) for line in rules.lower().splitlines())


def _hides(line: str) -> bool:
    ours = True
    for rule in _VALUED.sub("", line).split(","):
        words, named = rule, _NAMED.fullmatch(rule)
        if named and named[1] not in _HIDING:
            ours, words = named[1] in OURS, named[2]
        if ours and not _HIDING.isdisjoint(re.split(r"[\s:]+", words)):
            return True
    return False
