"""Cloud Function ``ingest``: brings the index to what the site says now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.wiring import ingest as wiring

if TYPE_CHECKING:
    from flask import Request
    from werkzeug.wrappers import Response

wiring.prepare()


def ingest(request: Request) -> Response:
    """``POST /ingest``, ``GET /ingest/{run}``, ``/live``, ``/ready``."""
    return wiring.application()(request)
