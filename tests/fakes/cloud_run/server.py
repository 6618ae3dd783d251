"""The fake's HTTP side: routes to its states."""

from __future__ import annotations

import re
from typing import Any, Protocol

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.jobs import JobsState
from tests.fakes.served import Asked, FakeApi

Json = dict[str, Any]
_REGIONAL = re.compile(r"([a-z]+-[a-z]+[0-9]+)-run\.")


class State(Protocol):
    """One part of the API."""

    def owns(self, path: str) -> bool: ...

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> Json: ...


class FakeCloudRun(FakeApi):
    """The API. ``parts`` are further states, asked in turn."""

    def __init__(self, *parts: State, jobs: JobsState | None = None) -> None:
        super().__init__()
        self.jobs = jobs or JobsState()
        self.parts: tuple[State, ...] = (self.jobs, *parts)

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.jobs.stop()
        super().__exit__()

    def answer(self, asked: Asked) -> tuple[int, Json]:
        path = _with_region(asked.host, asked.path)
        for part in self.parts:
            if part.owns(path):
                return 200, part.answer(asked.method, path, asked.query, asked.body())
        raise RunError(404, f"The requested URL {asked.path} was not found on this server.")


def _with_region(host: str, path: str) -> str:
    """The path with the region, which gcloud names in the host alone: ``europe-west1-run.googleapis.com``."""
    found = _REGIONAL.match(host)
    return f"/regions/{found[1]}{path}" if found else path
