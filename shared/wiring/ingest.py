"""Joins the function ``ingest``."""

from __future__ import annotations

from functools import cache

from shared.access.deploy_hook import NAME, DeployHook
from shared.errors import SettingsError
from shared.http.app import App
from shared.http.requests import Request
from shared.http.routes import Reply, Route
from shared.ingestion.launch import Progress
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import process
from shared.wiring.ingest_api import IngestBody, run_reply
from shared.wiring.ingest_requests import IngestRequests
from shared.wiring.ingestion import ingestion, live_generation, run
from shared.wiring.parts import Parts

__all__ = ["application", "ingestion", "live_generation", "prepare", "run"]

REQUIRED = ("database_url", "qdrant_url")
CALLER_SECONDS = 5.0
_OK, _ACCEPTED = 200, 202


def prepare() -> None:
    """Check the settings before the first request."""
    process.check(lambda settings: Parts(settings).caller_check, REQUIRED)
    process.check(_check_hook, REQUIRED)


def _check_hook(settings: Settings) -> None:
    """A hook without an identity token comes only where Cloud Run's check does not stand in front, and there
    a token must be verified here: else anybody could write one.
    """
    if settings.deploy_hook_key and settings.caller_mode == "platform":
        raise SettingsError(
            ["LECTERN_DEPLOY_HOOK_KEY is set and caller_mode is platform; expected caller_mode verify"]
        )


@cache
def application() -> App:
    """The function's application, made at the first request."""
    settings = process.current(REQUIRED)
    parts = Parts(settings)
    hook = DeployHook(settings.deploy_hook_key) if settings.deploy_hook_key else None

    @cache
    def requests() -> IngestRequests:
        return IngestRequests(parts)

    def admit(request: Request) -> None:
        if hook and hook.opens(request.headers):
            request.log.add(caller=NAME)
        elif parts.caller_check:
            deadline = Deadline.after(CALLER_SECONDS)
            request.log.add(caller=parts.caller_check.check(request.headers, deadline).email)

    def post(request: Request) -> Reply:
        admit(request)
        body = request.decode(IngestBody) if request.body else IngestBody()
        found = requests().post(body, request.headers)
        if not isinstance(found, Progress):
            return Reply(run_reply(requests().get(found.run), found))
        request.log.add(run=found.run.id)
        where = {"Location": f"/ingest/{found.run.id}"}
        return Reply(run_reply(found), _ACCEPTED if found.works else _OK, where)

    def get(request: Request) -> Reply:
        admit(request)
        return Reply(run_reply(requests().get(request.params["run"])))

    return App(
        [Route("POST", "/ingest", post), Route("GET", "/ingest/{run}", get)],
        name="ingest",
        logger=process.logger("ingest"),
        max_body_bytes=settings.max_content_length,
    )
