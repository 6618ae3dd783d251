"""Cloud Run's v2 REST API for jobs, executions and their operations, with tasks that are child processes.

After https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs and
https://cloud.google.com/run/docs/container-contract#jobs: ``:run`` answers with a long-running operation
whose metadata is the execution; arguments of an override take the place of the container's, its command
stays; a task that exits with another code than 0 is tried again, ``CLOUD_RUN_TASK_ATTEMPT`` counting up,
until ``maxRetries``; the execution fails when a task has used up its tries. Unknown fields are 400, a wrong
etag 409.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.delivery.template import LAUNCHER
from tests.fakes.cloud_run.errors import RunError

Json = dict[str, Any]

_PARENT = r"/v2/(?P<parent>projects/[^/]+/locations/[^/]+)"
_JOB = re.compile(_PARENT + r"/jobs/(?P<job>[^/:]+)(?::(?P<verb>\w+))?$")
_JOBS = re.compile(_PARENT + r"/jobs$")
_EXECUTIONS = re.compile(_PARENT + r"/jobs/(?P<job>[^/:]+)/executions$")
_EXECUTION = re.compile(_PARENT + r"/jobs/(?P<job>[^/:]+)/executions/(?P<name>[^/:]+)(?::(?P<verb>\w+))?$")
_OPERATION = re.compile(_PARENT + r"/operations/(?P<name>[^/:]+)$")
_TYPE = "type.googleapis.com/google.cloud.run.v2.Execution"
_RUN_FIELDS = {"validateOnly", "etag", "overrides"}
_OVERRIDE_FIELDS = {"containerOverrides", "taskCount", "timeout"}
_CONTAINER_FIELDS = {"name", "args", "env", "clearArgs"}
_MOST_TASKS = 10_000


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class JobsState:
    """Jobs and executions by full name, operations by theirs. ``environment`` is that of every container.

    ``denied`` permissions are refused (403), e.g. ``run.jobs.runWithOverrides``. ``runs`` are the bodies
    of the runs that were begun, with the job's short name under ``job``.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.environ.get("PATH", "")})
    folder: Path | None = None
    denied: set[str] = field(default_factory=set)
    jobs: dict[str, Json] = field(default_factory=dict)
    executions: dict[str, Json] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    runs: list[Json] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Any = field(default_factory=itertools.count)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def add(
        self,
        name: str,
        command: list[str],
        *,
        args: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        retries: int = 3,
        tasks: int = 1,
        parallelism: int = 0,
        parent: str = "projects/p/locations/r",
    ) -> None:
        """A job as Terraform makes it; ``name`` is the short one."""
        container = {"command": command, "args": args or []}
        container["env"] = [{"name": key, "value": value} for key, value in (env or {}).items()]  # type: ignore[assignment]
        full = f"{parent}/jobs/{name}"
        self.jobs[full] = {
            "name": full,
            "uid": f"uid-{name}",
            "generation": "1",
            "etag": f'"{next(self._numbers)}"',
            "launchStage": "GA",
            "createTime": now(),
            "template": {
                "taskCount": tasks,
                "parallelism": parallelism,
                "template": {"containers": [container], "maxRetries": retries, "timeout": "600s"},
            },
            "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
        }

    def owns(self, path: str) -> bool:
        """Whether a path is one of this API's."""
        return any(one.match(path) for one in (_JOB, _JOBS, _EXECUTIONS, _EXECUTION, _OPERATION))

    def answer(self, method: str, path: str, _query: Mapping[str, str], body: Json) -> Json:
        """The resource that a request asks for. Raises :class:`RunError`."""
        with self.lock:
            if (found := _JOB.match(path)) and method == "POST" and found["verb"] == "run":
                return self._run(found["parent"], found["job"], body)
            if (found := _JOB.match(path)) and method == "GET" and not found["verb"]:
                return self._job(found["parent"], found["job"])
            if (found := _JOBS.match(path)) and method == "GET":
                return {"jobs": [job for name, job in self.jobs.items() if name.startswith(found["parent"])]}
            if (found := _EXECUTIONS.match(path)) and method == "GET":
                prefix = f"{found['parent']}/jobs/{found['job']}/executions/"
                return {"executions": [one for key, one in self.executions.items() if key.startswith(prefix)]}
            if found := _EXECUTION.match(path):
                return self._execution(method, found)
            if (found := _OPERATION.match(path)) and method == "GET":
                return self._operation(f"{found['parent']}/operations/{found['name']}")
        raise RunError(404, f"Method {method} {path} is not part of this fake.")

    def stop(self) -> None:
        """Kill every task that still runs."""
        self._stopping.set()
        with self.lock:
            for process in self.processes:
                if process.poll() is None:
                    process.kill()

    # ------------------------------------------------------------ resources

    def _permit(self, permission: str, resource: str) -> None:
        if permission in self.denied:
            message = (
                f"Permission '{permission}' denied on resource '{resource}' (or resource may not exist)."
            )
            raise RunError(403, message)

    def _job(self, parent: str, name: str) -> Json:
        full = f"{parent}/jobs/{name}"
        self._permit("run.jobs.get", full)
        if full not in self.jobs:
            raise RunError(
                404, f"Resource '{name}' of kind 'JOB' in region '{full.split('/')[3]}' does not exist."
            )
        return self.jobs[full]

    def _execution(self, method: str, found: re.Match[str]) -> Json:
        full = f"{found['parent']}/jobs/{found['job']}/executions/{found['name']}"
        self._permit("run.executions.get", full)
        if full not in self.executions:
            raise RunError(404, f"Resource '{found['name']}' of kind 'EXECUTION' does not exist.")
        execution = self.executions[full]
        if method == "POST" and found["verb"] == "cancel":
            execution["_cancelled"] = True
            for process in execution["_processes"]:
                process.terminate()
            return self._wrapped(execution, "cancel")
        if method != "GET" or found["verb"]:
            raise RunError(404, f"{method} {found['verb']} is not part of this fake.")
        return _shown(execution)

    def _operation(self, name: str) -> Json:
        if name not in self.operations:
            raise RunError(404, f"Operation '{name}' not found.")
        execution = self.executions[self.operations[name]]
        return _operation(name, execution)

    # ------------------------------------------------------------ running

    def _run(self, parent: str, name: str, body: Json) -> Json:
        job = self._job(parent, name)
        _check(body, _RUN_FIELDS, "google.cloud.run.v2.RunJobRequest")
        overrides = body.get("overrides", {})
        self._permit("run.jobs.runWithOverrides" if overrides else "run.jobs.run", job["name"])
        if body.get("etag") and body["etag"] != job["etag"]:
            raise RunError(409, "The etag provided does not match the current etag of the resource.")
        template = _merged(job["template"], overrides)
        self.runs.append({"job": name, **body})
        full = f"{job['name']}/executions/{name}-{next(self._numbers):05x}"
        execution: Json = {
            "name": full,
            "uid": f"uid-{full[-5:]}",
            "job": job["name"],
            "createTime": now(),
            "startTime": now(),
            "taskCount": template["taskCount"],
            "parallelism": template["parallelism"] or template["taskCount"],
            "template": template["template"],
            "reconciling": True,
            "runningCount": 0,
            "conditions": [{"type": "Completed", "state": "CONDITION_RECONCILING"}],
            "_processes": [],
        }
        if not body.get("validateOnly"):
            self.executions[full] = execution
            threading.Thread(target=self._work, args=(execution,), daemon=True).start()
        return self._wrapped(execution, "run")

    def _wrapped(self, execution: Json, verb: str) -> Json:
        parent = execution["name"].partition("/jobs/")[0]
        name = f"{parent}/operations/{verb}-{next(self._numbers)}"
        self.operations[name] = execution["name"]
        return _operation(name, execution)

    def _work(self, execution: Json) -> None:
        places = threading.Semaphore(execution["parallelism"])
        outcomes: dict[int, bool] = {}

        def task(index: int) -> None:
            with places:
                outcomes[index] = self._task(execution, index)

        threads = [threading.Thread(target=task, args=(n,)) for n in range(execution["taskCount"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self.lock:
            _complete(execution, outcomes)

    def _task(self, execution: Json, index: int) -> bool:
        """Whether one task succeeded, at whichever try."""
        for attempt in range(execution["template"].get("maxRetries", 0) + 1):
            with self.lock:
                if self._stopping.is_set() or execution.get("_cancelled"):
                    return False
                process = self._start(execution, index, attempt)
                execution["_processes"].append(process)
                execution["runningCount"] += 1
                execution["retriedCount"] = execution.get("retriedCount", 0) + (attempt > 0)
            code = process.wait()
            with self.lock:
                execution["runningCount"] -= 1
            if code == 0:
                return True
        return False

    def _start(self, execution: Json, index: int, attempt: int) -> subprocess.Popen[bytes]:
        [container] = execution["template"]["containers"]
        _, _, job, _, name = execution["name"].rsplit("/", 4)
        own = {one["name"]: one["value"] for one in container.get("env", [])}
        numbers = {"INDEX": index, "COUNT": execution["taskCount"], "ATTEMPT": attempt}
        own |= {f"CLOUD_RUN_TASK_{key}": str(value) for key, value in numbers.items()}
        own |= {"CLOUD_RUN_JOB": job, "CLOUD_RUN_EXECUTION": name}
        # The image's launcher only puts its layers on the path; here they are this environment.
        command = [one for one in container["command"] if one != LAUNCHER] + container.get("args", [])
        process = subprocess.Popen(
            command, env={**self.environment, **own}, cwd=self.folder, stdin=subprocess.DEVNULL
        )
        self.processes.append(process)
        return process


def _check(body: Json, known: set[str], kind: str) -> None:
    for unknown in set(body) - known:
        raise RunError(
            400, f'Invalid JSON payload received. Unknown name "{unknown}": Cannot find field in {kind}.'
        )


def _merged(template: Json, overrides: Json) -> Json:
    """A job's template with a run's overrides in it."""
    _check(overrides, _OVERRIDE_FIELDS, "google.cloud.run.v2.RunJobRequest.Overrides")
    count = overrides.get("taskCount", 0) or template["taskCount"]
    if not 1 <= count <= _MOST_TASKS:
        raise RunError(400, f"task_count: must be between 1 and {_MOST_TASKS}.")
    [container] = template["template"]["containers"]
    for override in overrides.get("containerOverrides", []):
        _check(override, _CONTAINER_FIELDS, "google.cloud.run.v2.RunJobRequest.Overrides.ContainerOverride")
        container = dict(container)
        if override.get("args") or override.get("clearArgs"):
            container["args"] = override.get("args", [])
        container["env"] = [*container.get("env", []), *override.get("env", [])]
    return {**template, "taskCount": count, "template": {**template["template"], "containers": [container]}}


def _complete(execution: Json, outcomes: Mapping[int, bool]) -> None:
    """Write the end of an execution into it."""
    failed = [index for index, is_good in sorted(outcomes.items()) if not is_good]
    execution["reconciling"] = False
    execution["completionTime"] = now()
    execution["succeededCount"] = len(outcomes) - len(failed)
    cancelled = bool(execution.get("_cancelled"))
    execution["cancelledCount" if cancelled else "failedCount"] = len(failed)
    condition = {"type": "Completed", "state": "CONDITION_SUCCEEDED"}
    if failed:
        name = execution["name"].rpartition("/")[2]
        message = (
            "Execution was cancelled." if cancelled else f"Task {name}-task{failed[0]} failed with message: "
        )
        message += "" if cancelled else "The container exited with an error."
        condition = {"type": "Completed", "state": "CONDITION_FAILED", "message": message}
    condition["lastTransitionTime"] = now()
    execution["conditions"] = [condition]


def _shown(execution: Json) -> Json:
    return {key: value for key, value in execution.items() if not key.startswith("_")}


def _operation(name: str, execution: Json) -> Json:
    shown = {"@type": _TYPE, **_shown(execution)}
    answer: Json = {"name": name, "metadata": shown, "done": not execution["reconciling"]}
    if answer["done"] and execution["conditions"][0]["state"] == "CONDITION_SUCCEEDED":
        answer["response"] = shown
    elif answer["done"]:
        answer["error"] = {"code": 10, "message": execution["conditions"][0]["message"]}
    return answer
