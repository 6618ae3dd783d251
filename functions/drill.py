"""Cloud Function ``drill``: restores the newest recovery point in a sealed room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import drill as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def drill(request: Request) -> Response:
    """``POST /drill``, ``/drill/full``, ``GET /live``, ``/ready``."""
    return wiring.application()(request)
