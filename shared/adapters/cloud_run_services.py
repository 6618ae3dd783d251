"""Cloud Run services and job templates through google-cloud-run, over REST: gRPC would cost a start its time.

After https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/patch: a change names
the fields it replaces and the etag it starts from, and answers with a long-running operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from google.cloud import run_v2
from google.cloud.run_v2.services.jobs.transports import JobsRestTransport
from google.cloud.run_v2.services.revisions.transports import RevisionsRestTransport
from google.cloud.run_v2.services.services.transports import ServicesRestTransport
from google.protobuf.field_mask_pb2 import FieldMask

from shared.adapters.cloud_run_templates import (
    execution_template,
    revision_of,
    revision_template,
    service_of,
    short,
    traffic_of,
)
from shared.adapters.google_errors import google_errors, within
from shared.adapters.google_rest import transport_options
from shared.errors import (
    AccessDenied,
    DependencyError,
    Missing,
    PreconditionFailed,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.ports import Change, Revision, Service, Template
from shared.ports.services import located
from shared.resilience.deadline import Deadline

T = TypeVar("T")
SERVICE = "cloud-run"

_MOST_SECONDS = 30.0
_POLL_SECONDS = 0.25
_LONGEST_POLL_SECONDS = 2.0
_ABORTED = 10  # google.rpc.Code
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Give the account roles/run.developer, and the right to act as the functions' accounts.",
    Missing: "Check project and region, and whether `terraform apply` has made the services.",
    PreconditionFailed: "Somebody else changed it at the same time; try again.",
    Rejected: "Look at the revision's log in Cloud Run.",
    Throttled: "Try again in a minute.",
    Unreachable: "Check the network.",
}


class CloudRunServices:
    """:class:`~shared.ports.Services` and :class:`~shared.ports.JobTemplates` of one project. ``region`` is
    the first one, where everything is whose key names no other.

    ``endpoint`` is for another address than Google's, anonymous and over its own scheme. The client's retries
    are off.
    """

    def __init__(self, project: str, region: str, *, endpoint: str = "", credentials: Any = None) -> None:
        self._project = project
        self._region = region
        options = transport_options(endpoint, credentials)
        with google_errors(SERVICE, "open", self._parent(region), _HINTS):
            self._services = run_v2.ServicesClient(transport=ServicesRestTransport(**options))
            self._revisions = run_v2.RevisionsClient(transport=RevisionsRestTransport(**options))
            self._jobs = run_v2.JobsClient(transport=JobsRestTransport(**options))

    def close(self) -> None:
        """Close its connections."""
        for client in (self._services, self._revisions, self._jobs):
            client.transport.close()

    # ------------------------------------------------------------ services

    def get(self, name: str, deadline: Deadline) -> Service:
        full = self._service(name)
        found = _call(
            f"read {name}",
            name,
            deadline,
            lambda seconds: self._services.get_service(name=full, retry=None, timeout=seconds),
        )
        return replace(service_of(found), name=name)

    def change(self, service: Service, change: Change, deadline: Deadline) -> Service:
        full = self._service(service.name)
        paths, wanted = _patch(service, change)
        request = run_v2.UpdateServiceRequest(
            service=run_v2.Service(name=full, etag=service.etag, **wanted), update_mask=FieldMask(paths=paths)
        )
        verb = f"change {service.name}"
        started = _call(
            verb,
            service.name,
            deadline,
            lambda seconds: self._services.update_service(request=request, retry=None, timeout=seconds),
        )
        try:
            self._wait(self._services, started.operation, verb, service.name, deadline)
        except Rejected:
            # A service whose newest revision does not come up stays "not ready", though its traffic moves.
            if change.template is not None or not self._is_routed(full, change, deadline):
                raise
        return self.get(service.name, deadline)

    def _is_routed(self, full: str, change: Change, deadline: Deadline) -> bool:
        """Whether requests are split as was asked for."""
        found = _call(
            "look at the traffic",
            short(full),
            deadline,
            lambda seconds: self._services.get_service(name=full, retry=None, timeout=seconds),
        )
        routed = {(short(one.revision), one.percent, one.tag) for one in found.traffic_statuses}
        wanted = {(one.revision, one.percent, one.tag) for one in change.traffic or ()}
        return wanted <= routed

    def revision(self, service: str, name: str, deadline: Deadline) -> Revision:
        full = f"{self._service(service)}/revisions/{name}"
        found = _call(
            f"read {name}",
            name,
            deadline,
            lambda seconds: self._revisions.get_revision(name=full, retry=None, timeout=seconds),
        )
        return revision_of(found)

    def _service(self, key: str) -> str:
        name, region = located(key)
        return f"{self._parent(region or self._region)}/services/{name}"

    def _parent(self, region: str) -> str:
        return f"projects/{self._project}/locations/{region}"

    # ------------------------------------------------------------ jobs

    def deploy(self, job: str, template: Template, deadline: Deadline) -> None:
        full = f"{self._parent(self._region)}/jobs/{job}"
        wanted = execution_template(template)
        found = _call(
            f"read {job}",
            job,
            deadline,
            lambda seconds: self._jobs.get_job(name=full, retry=None, timeout=seconds),
        )
        if found.template == wanted:
            return
        # Jobs take no field mask: the whole job is written back as it was read, but for its template.
        found.template = wanted
        request = run_v2.UpdateJobRequest(job=found)
        started = _call(
            f"change {job}",
            job,
            deadline,
            lambda seconds: self._jobs.update_job(request=request, retry=None, timeout=seconds),
        )
        self._wait(self._jobs, started.operation, f"change {job}", job, deadline)

    # ------------------------------------------------------------ operations

    def _wait(self, client: Any, operation: Any, verb: str, what: str, deadline: Deadline) -> None:
        pause = _POLL_SECONDS
        while not operation.done:
            if deadline.remaining() <= pause:
                raise TimedOut(
                    SERVICE, verb, f"{what} is not done in the time given", hint="Look again later."
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
            operation = _call(verb, what, deadline, _look(client, operation.name))
        if operation.HasField("error"):
            kind = PreconditionFailed if operation.error.code == _ABORTED else Rejected
            raise kind(SERVICE, verb, f"{what}: {operation.error.message}", hint=_HINTS[kind])


def _look(client: Any, name: str) -> Callable[[float], Any]:
    return lambda seconds: client.get_operation({"name": name}, retry=None, timeout=seconds)


def _patch(service: Service, change: Change) -> tuple[list[str], dict[str, Any]]:
    """The fields that change, and their new values; annotations are merged with what is there."""
    paths: list[str] = []
    wanted: dict[str, Any] = {}
    if change.traffic is not None:
        paths.append("traffic")
        wanted["traffic"] = traffic_of(change.traffic)
    if change.annotations is not None:
        paths.append("annotations")
        merged = {**service.annotations, **change.annotations}
        wanted["annotations"] = {key: text for key, text in merged.items() if text}
    if change.template is not None:
        paths.append("template")
        wanted["template"] = revision_template(change.template)
    return paths, wanted


def _call(verb: str, what: str, deadline: Deadline, call: Callable[[float], T]) -> T:
    def guarded(seconds: float) -> T:
        with google_errors(SERVICE, verb, what, _HINTS):
            return call(seconds)

    return within(deadline, _MOST_SECONDS, SERVICE, verb, guarded)
