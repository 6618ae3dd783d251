"""Cloud Function ``backup_qdrant``: cuts the vector part of a recovery point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import backup_qdrant as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def backup_qdrant(request: Request) -> Response:
    """``POST /backup/qdrant``, ``GET /live``, ``/ready``."""
    return wiring.application()(request)
