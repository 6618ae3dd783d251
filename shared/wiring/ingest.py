"""Joins the function ``ingest``."""

from __future__ import annotations

from functools import cache

from shared.errors import RequestError
from shared.http.app import App
from shared.http.requests import Body, Request
from shared.http.routes import Reply, Route
from shared.resilience.deadline import Deadline
from shared.wiring import process
from shared.wiring.ingestion import ingestion, live_generation, run
from shared.wiring.parts import Parts

__all__ = ["application", "ingestion", "live_generation", "prepare", "run"]

REQUIRED = ("database_url", "qdrant_url")
CALLER_SECONDS = 5.0


class IngestBody(Body, frozen=True):
    """The body of ``POST /ingest``: nothing to say yet, the site is a setting."""


def prepare() -> None:
    """Check the settings before the first request."""
    process.check(lambda settings: Parts(settings).caller_check, REQUIRED)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    settings = process.current(REQUIRED)
    callers = Parts(settings).caller_check

    def ingest(request: Request) -> Reply:
        if callers:
            request.log.add(caller=callers.check(request.headers, Deadline.after(CALLER_SECONDS)).email)
        if request.body:
            request.decode(IngestBody)
        if not settings.site_folder:
            raise RequestError(
                409, "no_site", "No site is configured.", hint="Set LECTERN_SITE_FOLDER to a folder of pages."
            )
        return Reply(run(settings, settings.site_folder, settings.site_base_url))

    return App(
        [Route("POST", "/ingest", ingest)],
        name="ingest",
        logger=process.logger("ingest"),
        max_body_bytes=settings.max_content_length,
    )
