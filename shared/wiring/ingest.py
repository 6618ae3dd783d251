"""Joins ingestion: for the function ``ingest`` and for the command line."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from shared.errors import RequestError
from shared.http.app import App
from shared.http.requests import Body, Request
from shared.http.routes import Reply, Route
from shared.ingestion.failover import Failover
from shared.ingestion.report import Report
from shared.ingestion.run import Ingestion, Progress
from shared.ingestion.sources import read_folder
from shared.ports import Generation
from shared.resilience.deadline import Deadline
from shared.retrieval.lifeboat_store import LifeboatStore
from shared.settings import Settings
from shared.wiring import process, upkeep
from shared.wiring.parts import Parts

REQUIRED = ("database_url", "qdrant_url")
CALLER_SECONDS = 5.0
FORGET_SECONDS = 30.0
UPKEEP_SECONDS = 120.0


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
        return Reply(run(settings, Path(settings.site_folder), settings.site_base_url))

    return App(
        [Route("POST", "/ingest", ingest)],
        name="ingest",
        logger=process.logger("ingest"),
        max_body_bytes=settings.max_content_length,
    )


def run(
    settings: Settings,
    folder: Path,
    base_url: str,
    *,
    source: str = "",
    reading: Progress = lambda _done, _total: None,
    writing: Progress = lambda _done, _total: None,
    on_refused: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Ingest a folder of Markdown or of a built site. ``source`` names the site in the ledger; by default
    its address, or the folder when it has none.

    Errors: those of :class:`~shared.ingestion.run.Ingestion`; pages that cannot be read are told to
    ``on_refused`` and listed in the report.
    """
    site = read_folder(
        folder,
        base_url,
        lambda _what, done, total: reading(done, total),
        markdown_base_url=settings.site_base_url,
    )
    pages = list(site)
    refused = [f"{one.source}: {one.reason}" for one in site.refused]
    for line in refused:
        on_refused(line)
    with Parts(settings) as parts:
        report = ingestion(parts).run(
            pages, source=source or base_url or str(folder.resolve()), refused=refused, progress=writing
        )
        upkeep.tend(parts, Deadline.after(UPKEEP_SECONDS), on_refused)
    return report


def ingestion(parts: Parts) -> Ingestion:
    """Ingestion on the services that the settings name."""
    has_bucket = bool(parts.settings.storage_bucket)
    return Ingestion(
        parts.ledger,
        parts.vector_admin,
        parts.embedder,
        Failover(parts.passage_store, LifeboatStore(parts.object_store) if has_bucket else None),
        alias=parts.settings.qdrant_alias,
        clock=time.monotonic,
        on_stale=lambda urls: upkeep.forget_pages(parts, urls, Deadline.after(FORGET_SECONDS)) if urls else 0,
    )


def live_generation(settings: Settings) -> Generation | None:
    """The generation that readers see, as the ledger has it; None before the first ingestion."""
    with Parts(settings) as parts:
        known = parts.ledger.generations(Deadline.after(10.0))
    return next((one for one in known if one.status == "live"), None)
