"""Cloud Scheduler's v1 REST API for jobs, as far as schedules are listed, paused and resumed.

After https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs: names, states,
paging, and the 400 FAILED_PRECONDITION for pausing what is paused. :class:`SchedulerState` answers requests
for any server that holds it; :class:`FakeScheduler` is such a server.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.served import Asked, FakeApi, Refusal

Json = dict[str, Any]
_PATH = re.compile(
    r"/v1/(?P<parent>projects/[^/]+/locations/[^/]+)/jobs(?:/(?P<name>[^/:]+)(?::(?P<verb>\w+))?)?$"
)
_NEEDS = {"pause": "ENABLED", "resume": "PAUSED"}
_BECOMES = {"pause": "PAUSED", "resume": "ENABLED"}


@dataclass
class SchedulerState:
    """Jobs by their full name. ``calls`` are the (verb, short name) that were answered well."""

    jobs: dict[str, Json] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, *, parent: str = "projects/p/locations/r", schedule: str = "0 3 * * *") -> None:
        """A job that runs; ``name`` is the short one."""
        full = f"{parent}/jobs/{name}"
        self.jobs[full] = {"name": full, "schedule": schedule, "timeZone": "UTC", "state": "ENABLED"}

    def state(self, name: str) -> str:
        """The state of the job with this short name."""
        return next(job["state"] for full, job in self.jobs.items() if full.endswith(f"/jobs/{name}"))

    def owns(self, path: str) -> bool:
        """Whether a path is one of this API's."""
        return bool(_PATH.match(path))

    def answer(self, method: str, path: str, query: Json, _body: Json) -> Json:
        """The resource that a request asks for. Raises :class:`Refusal`."""
        found = _PATH.match(path)
        if not found:
            raise Refusal(404, "NOT_FOUND", f"there is nothing at {path}")
        with self.lock:
            if not found["name"]:
                return self._page(found["parent"], query)
            return self._one(method, f"{found['parent']}/jobs/{found['name']}", found["verb"])

    def _page(self, parent: str, query: Json) -> Json:
        names = sorted(name for name in self.jobs if name.startswith(f"{parent}/jobs/"))
        start = int(query.get("pageToken") or 0)
        size = min(int(query.get("pageSize") or 500), 500)
        page: Json = {"jobs": [self.jobs[name] for name in names[start : start + size]]}
        if start + size < len(names):
            page["nextPageToken"] = str(start + size)
        self.calls.append(("list", parent))
        return page

    def _one(self, method: str, full: str, verb: str | None) -> Json:
        if full not in self.jobs:
            raise Refusal(404, "NOT_FOUND", f"Job {full} not found.")
        job = self.jobs[full]
        if verb is None and method == "GET":
            return job
        if verb not in _NEEDS or method != "POST":
            raise Refusal(400, "INVALID_ARGUMENT", f"{method} {verb} is not part of this fake")
        if job["state"] != _NEEDS[verb]:
            message = f"Job must be in state {_NEEDS[verb]}, not {job['state']}."
            raise Refusal(400, "FAILED_PRECONDITION", message)
        job["state"] = _BECOMES[verb]
        self.calls.append((verb, full.rpartition("/")[2]))
        return job


class FakeScheduler(FakeApi):
    """The API on 127.0.0.1. ``page_size`` bounds a page, whatever is asked."""

    def __init__(self, *, page_size: int = 500) -> None:
        super().__init__()
        self.state = SchedulerState()
        self.page_size = page_size

    def answer(self, asked: Asked) -> tuple[int, Json]:
        size = min(int(asked.query.get("pageSize") or 500), self.page_size)
        query = {**asked.query, "pageSize": size}
        return 200, self.state.answer(asked.method, asked.path, query, asked.body())
