"""Cloud Function ``chat``: answers readers' questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import chat as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def chat(request: Request) -> Response:
    """``POST /chat``, ``GET /live``, ``/ready``."""
    return wiring.application()(request)
