"""Cloud Run jobs through google-cloud-run, over REST: gRPC would cost a start its time.

After https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs/run: a run answers with a
long-running operation whose metadata is the execution; arguments and the number of tasks are overrides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from google.cloud import run_v2
from google.cloud.run_v2.services.executions.transports import ExecutionsRestTransport
from google.cloud.run_v2.services.jobs.transports import JobsRestTransport

from shared.adapters.google_errors import google_errors, within
from shared.adapters.google_rest import transport_options
from shared.errors import AccessDenied, DependencyError, Garbled, Missing, Throttled, Unreachable
from shared.ports.jobs import JOBS, Execution, ExecutionState
from shared.resilience.deadline import Deadline

SERVICE = "cloud-run"

_MOST_SECONDS = 30.0
_EXECUTION = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Give the account roles/run.jobsExecutorWithOverrides and roles/run.viewer on the job.",
    Missing: "Check project and region, and whether `terraform apply` has made the job.",
    Throttled: "Try again in a minute.",
    Unreachable: "Check the network.",
}


class CloudRunJobs:
    """:class:`~shared.ports.jobs.Jobs` of one project and region.

    ``endpoint`` is for another address than Google's, anonymous and over its own scheme. The client's
    retries are off.
    """

    def __init__(self, project: str, region: str, *, endpoint: str = "", credentials: Any = None) -> None:
        self._parent = f"projects/{project}/locations/{region}"
        options = transport_options(endpoint, credentials)
        with google_errors(SERVICE, "open", self._parent, _HINTS):
            self._jobs = run_v2.JobsClient(transport=JobsRestTransport(**options))
            self._executions = run_v2.ExecutionsClient(transport=ExecutionsRestTransport(**options))

    def close(self) -> None:
        """Close its connections."""
        self._jobs.transport.close()
        self._executions.transport.close()

    def start(self, job: str, args: Sequence[str], deadline: Deadline, *, tasks: int = 1) -> str:
        name = self._job(job)
        override = run_v2.RunJobRequest.Overrides.ContainerOverride(args=list(args))
        overrides = run_v2.RunJobRequest.Overrides(container_overrides=[override], task_count=tasks)
        request = run_v2.RunJobRequest(name=name, overrides=overrides)

        def run(seconds: float) -> str:
            with google_errors(SERVICE, "start", name, _HINTS):
                operation = self._jobs.run_job(request=request, retry=None, timeout=seconds)
                return _short(name, operation.metadata)

        return within(deadline, _MOST_SECONDS, SERVICE, f"start {job}", run)

    def execution(self, name: str, deadline: Deadline) -> Execution:
        full = f"{self._job_of(name)}/executions/{name}"

        def read(seconds: float) -> Execution:
            with google_errors(SERVICE, "read the execution", full, _HINTS):
                return _execution(self._executions.get_execution(name=full, retry=None, timeout=seconds))

        return within(deadline, _MOST_SECONDS, SERVICE, f"read {name}", read)

    def _job(self, job: str) -> str:
        if job not in JOBS:
            raise Missing(SERVICE, "start", f"there is no job {job!r}", hint=f"Known: {', '.join(JOBS)}.")
        return f"{self._parent}/jobs/lectern-{job}-job"

    def _job_of(self, name: str) -> str:
        """The job of an execution: its name begins with the job's."""
        job = next((job for job in JOBS if name.startswith(f"lectern-{job}-job-")), "")
        if not job or not _EXECUTION.fullmatch(name):
            raise Missing(SERVICE, "read the execution", f"{name!r} is no execution of Lectern's")
        return self._job(job)


def _short(job: str, made: run_v2.Execution | None) -> str:
    """The name of what a run has made, without the job's."""
    prefix = f"{job}/executions/"
    if made is None or not made.name.startswith(prefix):
        raise Garbled(SERVICE, "start", f"{job}: the answer names no execution of it")
    return str(made.name.removeprefix(prefix))


def _execution(found: run_v2.Execution) -> Execution:
    completed = next((one for one in found.conditions if one.type_ == "Completed"), None)
    return Execution(
        name=found.name.rpartition("/")[2],
        state=_state(found, completed),
        tasks=found.task_count,
        failed_tasks=found.failed_count + found.cancelled_count,
        started_at=found.start_time.timestamp() if found.start_time else None,
        finished_at=found.completion_time.timestamp() if found.completion_time else None,
        message=completed.message if completed else "",
    )


def _state(found: run_v2.Execution, completed: run_v2.Condition | None) -> ExecutionState:
    """An execution that is over is good only when the service says so."""
    state = completed.state if completed else run_v2.Condition.State.STATE_UNSPECIFIED
    if state == run_v2.Condition.State.CONDITION_SUCCEEDED:
        return "succeeded"
    is_over = state == run_v2.Condition.State.CONDITION_FAILED or bool(found.completion_time)
    return "failed" if is_over else "running"
