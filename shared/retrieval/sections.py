"""The parts of a site, by the paths of its pages: what suggestions are made for, and found by."""

from __future__ import annotations

from urllib.parse import urlsplit

MOST_LEVELS = 8


def sections_of(url: str) -> tuple[str, ...]:
    """The parts that a page belongs to, smallest first: of ``https://docs.example/a/b/c#d`` they are
    ``/a/b``, ``/a`` and the empty one, which is the whole site.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return ("",)
    parts = [part for part in path.split("/") if part][:-1][:MOST_LEVELS]
    return tuple("".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1))
