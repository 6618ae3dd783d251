"""The least that functions-framework can serve: what starting any function costs."""

from __future__ import annotations


def nothing(_request: object) -> str:
    """Answer without doing anything."""
    return "{}"
