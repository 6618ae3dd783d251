"""Joins the function ``drill``."""

from __future__ import annotations

from functools import cache, partial

from shared.errors import Missing, RequestError, StackError
from shared.http.app import App
from shared.http.requests import Body, Request
from shared.http.routes import Reply, Route
from shared.recovery.point import Manifest
from shared.recovery.room import needs_of
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.telemetry.catalogue import DRILL_AGE
from shared.wiring import process
from shared.wiring.backups import with_bucket
from shared.wiring.buckets import point_bucket
from shared.wiring.parts import Parts
from shared.wiring.rehearsal import (
    TARGETS,
    UNREADABLE,
    Rehearsal,
    drill,
    require_room,
    require_targets,
    targets_missing,
)
from shared.wiring.verify import chosen

CALLER_SECONDS = 5.0
START_SECONDS = 30.0
MOST_SECONDS = 1500.0
"""What is expected to take longer is a job: Cloud Scheduler waits 30 minutes for an answer."""
JOB = "drill"


class DrillBody(Body, frozen=True):
    """The body of ``POST /drill`` and ``/drill/full``. ``point`` empty: the newest; ``full``: into the
    configured targets.
    """

    point: str = ""
    full: bool = False


def prepare() -> None:
    """Check the settings before the first request."""
    process.check(lambda settings: Parts(settings).caller_check)


@cache
def application() -> App:
    """The function's application, made at the first request."""
    settings = process.current()
    callers = Parts(settings).caller_check
    logger = process.logger("drill")

    def rehearse(request: Request, *, full: bool = False) -> Reply:
        if callers:
            request.log.add(caller=callers.check(request.headers, Deadline.after(CALLER_SECONDS)).email)
        body = request.decode(DrillBody) if request.body else DrillBody()
        if full or body.full:
            body = DrillBody(body.point, full=True)
            if skipped := _why_skipped(settings):
                logger.log("INFO", "the full drill was skipped", reason=skipped)
                return Reply({"status": "skipped", "reason": skipped})
        _require_a_point(settings, body)
        execution = _as_job(settings, body)
        if execution:
            return Reply({"status": "started", "job": execution}, status=202)
        report = drill(
            settings, Rehearsal(body.point or None, body.full), say=lambda line: logger.log("INFO", line)
        )
        request.log.add(point=report.point, passed=report.passed, phases=report.phases)
        if report.passed:
            logger.measure(DRILL_AGE, 0)
        else:
            logger.log("ERROR", "the drill failed", point=report.point, problems=report.problems)
        return Reply(report)

    return App(
        [
            Route("POST", "/drill", rehearse),
            Route("POST", "/drill/full", partial(rehearse, full=True)),
        ],
        name="drill",
        logger=logger,
        max_body_bytes=settings.max_content_length,
    )


def _why_skipped(settings: Settings) -> str:
    """Why there is no full drill; empty when there is one. It is scheduled everywhere, so one without targets
    is no failure. One of the two alone is a mistake: that raises :class:`~shared.errors.StackError`.
    """
    missing = targets_missing(settings)
    if len(missing) == len(TARGETS):
        return f"no targets are configured: set {' and '.join(missing)}"
    require_targets(settings)
    return ""


def _require_a_point(settings: Settings, body: DrillBody) -> None:
    with Parts(with_bucket(settings)) as parts:
        try:
            chosen(parts, body.point or None)
        except Missing as error:
            raise RequestError(404, "no_recovery_point", error.message, hint=error.hint) from error
        except UNREADABLE:
            pass  # the drill's report says so


def _as_job(settings: Settings, body: DrillBody) -> str:
    """The name of the job that was started for a drill that does not fit into a request; empty when it does,
    and on one machine, where there is no larger place to go to.
    """
    if not settings.project or not point_bucket(settings):
        return ""
    with Parts(settings) as parts:
        try:
            manifest = chosen(parts, body.point or None)
        except UNREADABLE:
            return ""  # its report takes no time
        if not _is_long(settings, manifest, full=body.full):
            return ""
        words = ["drill", manifest.id, "--json", *(["--full"] if body.full else [])]
        return parts.jobs.start(JOB, words, Deadline.after(START_SECONDS))


def _is_long(settings: Settings, manifest: Manifest, *, full: bool) -> bool:
    if needs_of(manifest).seconds > MOST_SECONDS:
        return True
    if full:  # what it restores into is elsewhere
        return False
    try:
        require_room(settings, manifest)
    except StackError:
        return True
    return False
