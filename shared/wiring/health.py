"""Joins the function ``health``: a probe for every dependency that the settings name."""

from __future__ import annotations

from functools import cache

from shared.http.app import App
from shared.http.requests import Request
from shared.http.routes import Reply, Route
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.health import UNHEALTHY, Health, Probe, examine
from shared.wiring import parts, process

PROBE_SECONDS = 3.0


def prepare() -> None:
    """Check the settings before the first request."""
    process.current()


@cache
def application() -> App:
    """The function's application, made at the first request."""
    probes = probes_of(process.current())

    def health(_request: Request) -> Reply:
        found = examine(probes, Deadline.after(PROBE_SECONDS))
        return Reply(found, status=503 if found.overall_status == UNHEALTHY else 200)

    return App([Route("GET", "/health", health)], name="health", logger=process.logger("health"))


def examined(settings: Settings) -> Health:
    """The health of everything that the settings name, for the command line."""
    return examine(probes_of(settings), Deadline.after(PROBE_SECONDS))


def probes_of(settings: Settings) -> list[Probe]:
    """Postgres, Qdrant, the bucket and the model that makes vectors."""
    pool = parts.database(settings)
    log, search = parts.answer_log(pool), parts.vector_search(settings)
    store = parts.object_store(settings)
    kind = parts.embedder_kind(settings)

    def database(deadline: Deadline) -> str:
        log.ping(deadline)
        return "answers queries"

    def qdrant(deadline: Deadline) -> str:
        collection = search.aliases(deadline).get(settings.qdrant_alias)
        return f"live generation {collection}" if collection else "nothing is indexed yet"

    def storage(deadline: Deadline) -> str:
        next(iter(store.list("health/", deadline)), None)
        return "can be listed"

    def embedding(_deadline: Deadline) -> str:
        made = parts.embedder(settings)
        return f"{kind}: {made.model}" if made else "none: answers are found by words alone"

    return [
        Probe("database", database),
        Probe("qdrant", qdrant),
        Probe("storage", storage),
        Probe("embedding", embedding),
    ]
