"""Cloud Function ``backup_neon``: cuts the Postgres part of a recovery point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import backup_neon as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def backup_neon(request: Request) -> Response:
    """``POST /backup/neon``, ``GET /live``, ``/ready``."""
    return wiring.application()(request)
