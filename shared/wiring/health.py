"""Joins the function ``health``: a probe for every dependency that the settings name, and for recovery."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from shared.errors import LecternError
from shared.http.app import App
from shared.http.requests import Request
from shared.http.routes import Reply, Route
from shared.recovery.status import Limits, RecoveryHealth, judged, read_status
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.catalogue import DRILL_AGE, RECOVERY_POINT_AGE, SPEND_MONTH
from shared.telemetry.health import UNHEALTHY, DependencyHealth, Probe, Worrying, examine
from shared.telemetry.logs import Logger
from shared.wiring import process
from shared.wiring.parts import Parts, embedder_kind

PROBE_SECONDS = 3.0
REQUIRED = ("database_url", "qdrant_url", "storage_bucket")
_HOUR, _DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What ``GET /health`` says. ``recovery`` is None when the bucket could not be asked."""

    overall_status: str
    dependencies: Mapping[str, DependencyHealth]
    recovery: RecoveryHealth | None


def prepare() -> None:
    """Check the settings before the first request."""
    process.current(REQUIRED)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    parts = Parts(process.current(REQUIRED))
    logger = process.logger("health")

    def health(_request: Request) -> Reply:
        found = _examine(parts)
        _measure(parts, found.recovery, logger)
        return Reply(found, status=503 if found.overall_status == UNHEALTHY else 200)

    return App([Route("GET", "/health", health)], name="health", logger=logger)


def examined(settings: Settings) -> HealthAnswer:
    """The health of everything that the settings name, for the command line."""
    with Parts(settings) as parts:
        return _examine(parts)


def _examine(parts: Parts) -> HealthAnswer:
    seen: list[RecoveryHealth] = []
    found = examine([*probes_of(parts), _recovery_probe(parts, seen)], Deadline.after(PROBE_SECONDS))
    return HealthAnswer(found.overall_status, found.dependencies, seen[0] if seen else None)


def _recovery_probe(parts: Parts, seen: list[RecoveryHealth]) -> Probe:
    """One small object of the bucket says when the last backup and the last drill were."""

    def recovery(deadline: Deadline) -> str:
        status = read_status(parts.point_index, deadline)
        found = judged(status, limits(parts.settings), time.time())
        seen.append(found)
        if found.concerns:
            raise Worrying("; ".join(found.concerns))
        if found.newest_point is None:
            return "no recovery point yet; `lectern backup` makes one"
        return f"newest recovery point {found.newest_point}"

    return Probe("recovery", recovery)


def limits(settings: Settings) -> Limits:
    """What recovery is held against."""
    return Limits(settings.rpo_hours * _HOUR, settings.rto_hours * _HOUR, settings.drill_max_age_days * _DAY)


def _measure(parts: Parts, recovery: RecoveryHealth | None, logger: Logger) -> None:
    """The figures that alerts are made from. An age that is not known is not written: alerts look for that,
    too.
    """
    if recovery and recovery.point_age_seconds is not None:
        logger.measure(RECOVERY_POINT_AGE, round(recovery.point_age_seconds))
    if recovery and recovery.drill_age_seconds is not None:
        logger.measure(DRILL_AGE, round(recovery.drill_age_seconds))
    try:
        logger.measure(SPEND_MONTH, parts.answer_log.spent_this_month(Deadline.after(PROBE_SECONDS)))
    except LecternError as error:
        logger.log("WARNING", "the month's spend is not known", error_message=str(error))


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
