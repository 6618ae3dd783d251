"""Joins the function ``health``: a probe for every dependency that the settings name."""

from __future__ import annotations

from functools import cache

from shared.http.app import App
from shared.http.requests import Request
from shared.http.routes import Reply, Route
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.health import UNHEALTHY, Health, Probe, examine
from shared.wiring import process
from shared.wiring.parts import Parts, embedder_kind

PROBE_SECONDS = 3.0
REQUIRED = ("database_url", "qdrant_url", "storage_bucket")


def prepare() -> None:
    """Check the settings before the first request."""
    process.current(REQUIRED)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    probes = probes_of(Parts(process.current(REQUIRED)))

    def health(_request: Request) -> Reply:
        found = examine(probes, Deadline.after(PROBE_SECONDS))
        return Reply(found, status=503 if found.overall_status == UNHEALTHY else 200)

    return App([Route("GET", "/health", health)], name="health", logger=process.logger("health"))


def examined(settings: Settings) -> Health:
    """The health of everything that the settings name, for the command line."""
    with Parts(settings) as parts:
        return examine(probes_of(parts), Deadline.after(PROBE_SECONDS))


def probes_of(parts: Parts) -> list[Probe]:
    """Postgres, Qdrant, the bucket and the model that makes vectors."""

    def database(deadline: Deadline) -> str:
        parts.answer_log.ping(deadline)
        return "answers queries"

    def qdrant(deadline: Deadline) -> str:
        collection = parts.vector_search.aliases(deadline).get(parts.settings.qdrant_alias)
        return f"live generation {collection}" if collection else "nothing is indexed yet"

    def storage(deadline: Deadline) -> str:
        next(iter(parts.object_store.list("health/", deadline)), None)
        return "can be listed"

    def embedding(_deadline: Deadline) -> str:
        made = parts.embedder
        kind = embedder_kind(parts.settings)
        return f"{kind}: {made.model}" if made else "none: answers are found by words alone"

    return [
        Probe("database", database),
        Probe("qdrant", qdrant),
        Probe("storage", storage),
        Probe("embedding", embedding),
    ]
