"""Joins the function ``backup_qdrant``."""

from __future__ import annotations

from functools import cache

from shared.http.app import App
from shared.wiring import backup_api


def prepare() -> None:
    """Check the settings before the first request."""
    backup_api.prepare()


@cache
def application() -> App:
    """The function's application, made at the first request."""
    return backup_api.application("qdrant")
