"""How deep the elements of an HTML text nest, told without parsing it.

An HTML parser looks through the open elements at each tag, so that time grows with the square of the depth: a
page of a million tags that are never closed would hold it for hours, and no deadline ends what runs in C.
"""

from __future__ import annotations

import re
from collections import Counter

DEEPEST = 1_000
"""Browsers stop at 512."""
_FEW_TAGS = 5_000
"""So many tags are parsed in no time, however they nest."""

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)")
_VOID = "area base br col embed hr img input link meta source track wbr path circle rect line polygon use"
# Minified pages leave out the ends of these; what they nest in is counted.
_OPTIONAL = "p li td th tr dt dd thead tbody tfoot option optgroup colgroup rp rt html head body"
_IGNORED = frozenset((*_VOID.split(), *_OPTIONAL.split()))


def is_too_deep(html: str) -> bool:
    """Whether more than :data:`DEEPEST` elements are open at a time, as far as their names tell."""
    if html.count("<") < _FEW_TAGS:
        return False
    opened: Counter[str] = Counter()
    depth = 0
    for end, tag in _TAG.findall(html):
        name = tag.lower()
        if name in _IGNORED:
            continue
        if not end:
            opened[name] += 1
            depth += 1
            if depth > DEEPEST:
                return True
        elif opened[name]:
            opened[name] -= 1
            depth -= 1
    return False
