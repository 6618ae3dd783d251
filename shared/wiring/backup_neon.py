"""Joins the function ``backup_neon``."""

from __future__ import annotations

from functools import cache

from shared.http.app import App
from shared.wiring import later, process


def prepare() -> None:
    """Check the settings before the first request."""
    process.current()


@cache
def application() -> App:
    """The function's application, made at the first request."""
    return later.application("backup_neon", "/backup/neon")
