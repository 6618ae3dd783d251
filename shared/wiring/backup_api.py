"""The functions ``backup_neon`` and ``backup_qdrant``: one part of a recovery point at a request."""

from __future__ import annotations

from dataclasses import dataclass

from shared.http.app import App
from shared.http.requests import Body, Request
from shared.http.routes import Reply, Route
from shared.recovery.point import PartName, read_point_id
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import backup, process
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import key_wrapper

REQUIRED = ("database_url", "qdrant_url", "storage_bucket")
CALLER_SECONDS = 5.0
START_SECONDS = 30.0
SCHEDULED = "x-cloudscheduler-scheduletime"
"""When Cloud Scheduler meant to call, the same for both functions, also in a retry:
https://cloud.google.com/scheduler/docs/reference/rpc/google.cloud.scheduler.v1#httptarget
"""


class BackupBody(Body, frozen=True):
    """The body of ``POST /backup/neon`` and ``/backup/qdrant``: the id of a point that nobody scheduled."""

    point: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The part is being cut by a job; ``seconds`` is an estimate."""

    point: str
    state: str
    job: str
    seconds: float


def prepare() -> None:
    """Check the settings before the first request."""
    process.check(lambda settings: Parts(settings).caller_check, REQUIRED)
    process.check(key_wrapper, REQUIRED)


def application(part: PartName) -> App:
    """The application of the function that cuts ``part``."""
    settings = process.current(REQUIRED)
    callers = Parts(settings).caller_check
    name = f"backup_{part}"
    logger = process.logger(name)

    def cut(request: Request) -> Reply:
        if callers:
            request.log.add(caller=callers.check(request.headers, Deadline.after(CALLER_SECONDS)).email)
        point = point_of(request)
        request.log.add(point=point)
        seconds = backup.estimate(settings, part)
        if seconds > settings.backup_request_seconds:
            job = start_job(settings, part, point)
            request.log.add(state="started", job=job)
            return Reply(Started(point, "started", job, round(seconds)), 202)
        made = backup.run(settings, point, (part,), say=lambda line: logger.log("INFO", line, point=point))
        request.log.add(state=made.state, reason=made.reason, bytes=made.bytes)
        if made.state == "differs" and made.needs and backup.may_be_cut_again(settings, point, made.needs):
            request.log.add(job=start_job(settings, made.needs, point))
        return Reply(made)

    return App([Route("POST", f"/backup/{part}", cut)], name=name, logger=logger)


def point_of(request: Request) -> str:
    """The id that the body names, or the scheduled time, or now. Raises RequestError."""
    body = request.decode(BackupBody) if request.body.strip() else BackupBody()
    text = body.point or request.header(SCHEDULED)
    return read_point_id(text) if text else backup.new_point()


def start_job(settings: Settings, part: PartName, point: str) -> str:
    """Let a job cut the part; the execution's name. Errors: those of :class:`~shared.ports.Jobs`."""
    arguments = ["backup", "--point", point, "--part", part, "--json"]
    with Parts(settings) as parts:
        return parts.jobs.start(f"backup-{part}", arguments, Deadline.after(START_SECONDS))
