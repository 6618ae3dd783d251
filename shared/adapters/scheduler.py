"""Cloud Scheduler through google-cloud-scheduler, over REST: gRPC would cost a start its time."""

from __future__ import annotations

import builtins
from contextlib import AbstractContextManager
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud.scheduler_v1 import CloudSchedulerClient, Job
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerRestTransport

from shared.adapters.google_errors import google_errors
from shared.errors import AccessDenied, DependencyError, Missing, Rejected, Throttled, Unreachable
from shared.ports.schedules import Schedule, ScheduleState
from shared.resilience.deadline import Deadline

SERVICE = "scheduler"
OURS = "lectern-"
"""How the names of Lectern's schedules begin; Terraform names them."""

_MOST_SECONDS = 30.0
_PAGE = 100
_STATES: dict[int, ScheduleState] = {Job.State.ENABLED: "enabled", Job.State.PAUSED: "paused"}
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Give the account roles/cloudscheduler.admin, or pause the schedules by hand.",
    Missing: "Check project and region, and whether the Cloud Scheduler API is on.",
    Throttled: "Try again in a minute.",
    Unreachable: "Check the network.",
}


class CloudSchedules:
    """:class:`~shared.ports.schedules.Schedules` of one project and region.

    ``endpoint`` is for another address than Google's, anonymous and over plain HTTP. The client's retries are
    off. Pausing what is paused is an error of the service's (FAILED_PRECONDITION): its state is asked then.
    """

    def __init__(self, project: str, region: str, *, endpoint: str = "", credentials: Any = None) -> None:
        self._parent = f"projects/{project}/locations/{region}"
        with _errors("open", self._parent):
            self._client = CloudSchedulerClient(transport=_transport(endpoint, credentials))

    def close(self) -> None:
        """Close its connections."""
        self._client.transport.close()

    def list(self, deadline: Deadline) -> builtins.list[Schedule]:
        with _errors("list the schedules", self._parent):
            request = {"parent": self._parent, "page_size": _PAGE}
            pages = self._client.list_jobs(request=request, retry=None, timeout=_left("list", deadline))
            found = [_schedule(job) for job in pages]
        return sorted((one for one in found if one.name.startswith(OURS)), key=lambda one: one.name)

    def pause(self, name: str, deadline: Deadline) -> None:
        self._set(name, "pause", "paused", deadline)

    def resume(self, name: str, deadline: Deadline) -> None:
        self._set(name, "resume", "enabled", deadline)

    def _set(self, name: str, verb: str, wanted: ScheduleState, deadline: Deadline) -> None:
        full = f"{self._parent}/jobs/{name}"
        call = self._client.pause_job if verb == "pause" else self._client.resume_job
        try:
            with _errors(verb, name):
                call(name=full, retry=None, timeout=_left(verb, deadline))
        except Rejected:
            if self._state(full, name, deadline) != wanted:
                raise

    def _state(self, full: str, name: str, deadline: Deadline) -> ScheduleState:
        with _errors("read", name):
            return _schedule(
                self._client.get_job(name=full, retry=None, timeout=_left("read", deadline))
            ).state


def _transport(endpoint: str, credentials: Any) -> CloudSchedulerRestTransport:
    if not endpoint:
        return CloudSchedulerRestTransport(credentials=credentials)
    scheme, _, host = endpoint.partition("://")
    return CloudSchedulerRestTransport(
        host=host,
        url_scheme=scheme,
        credentials=credentials or AnonymousCredentials(),
    )


def _schedule(job: Job) -> Schedule:
    return Schedule(job.name.rpartition("/")[2], job.schedule, _STATES.get(job.state, "disabled"))


def _left(verb: str, deadline: Deadline) -> float:
    return deadline.timeout(_MOST_SECONDS, attempted=f"{SERVICE}: {verb}")


def _errors(operation: str, what: str) -> AbstractContextManager[None]:
    return google_errors(SERVICE, operation, what, _HINTS)
