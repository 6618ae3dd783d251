"""Cloud Function ``health``: says whether every part answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import health as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def health(request: Request) -> Response:
    """``GET /health``, ``/live``, ``/ready``."""
    return wiring.application()(request)
