"""A Cloud Run on this machine.

Services have revisions that run as real processes, and addresses whose requests are split among them by
percent; a tag has an address of its own. The Admin API v2 (for google-cloud-run), Knative's API (for gcloud,
which comes as to a proxy), jobs, Cloud Monitoring's time series (late, as on Google Cloud) and Cloud
Scheduler's API are answered on one port.

What is not as on Google Cloud: one instance at most of a revision; an image is a source tree
(:mod:`tests.fakes.cloud_run.images`); addresses are ports of 127.0.0.1; a change of traffic reaches every
front at once, ``traffic_seconds`` after it was asked for.
"""

from __future__ import annotations

import os
import random
import re
import secrets as dice
import time
from collections.abc import Mapping
from typing import Any, Self

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.front import Served
from tests.fakes.cloud_run.images import Images
from tests.fakes.cloud_run.jobs import JobsState
from tests.fakes.cloud_run.monitoring import Monitoring
from tests.fakes.cloud_run.server import FakeCloudRun
from tests.fakes.cloud_run.state import Store
from tests.fakes.cloud_run.v1 import V1
from tests.fakes.cloud_run.v2 import V2
from tests.fakes.scheduler import SchedulerState

Json = dict[str, Any]
_JOB = re.compile(r"/v2/(projects/[^/]+/locations/[^/]+)/jobs/([^/:]+)$")


class LocalCloudRun:
    """Use it as a context manager. ``secrets`` are the versions in Secret Manager; ``seed`` that of the
    split. ``store`` holds the services of ``region``, ``stores`` those of each region that was asked for.
    """

    project, region = "lectern-staging", "europe-west1"

    def __init__(
        self,
        *,
        secrets: Mapping[tuple[str, str], str] | None = None,
        seed: int = 1,
        traffic_seconds: float = 0.5,
        start_seconds: float = 60.0,
        sample_seconds: float = 1.0,
        lag_seconds: float = 3.0,
        second_region: str = "",
    ) -> None:
        self.images = Images()
        self.monitoring = Monitoring(time.time, sample_seconds=sample_seconds, lag_seconds=lag_seconds)
        self.scheduler = SchedulerState()
        self.tokens = Tokens()
        self.stores = {
            region: Store(
                self.images,
                region=region,
                secrets=secrets or {},
                path=os.environ["PATH"],
                dice=random.Random(seed),
                note=self.monitoring.note,
                traffic_seconds=traffic_seconds,
                start_seconds=start_seconds,
                allowed=self.tokens.allowed,
            )
            for region in (self.region, second_region)
            if region
        }
        self.store = self.stores[self.region]
        self.jobs = DeployableJobs(list(self.stores.values()))
        regional = [api(store) for store in self.stores.values() for api in (V1, V2)]
        rest = (self.monitoring, self.scheduler, self.tokens)
        self.api = FakeCloudRun(*regional, *rest, jobs=self.jobs)

    @property
    def endpoint(self) -> str:
        return self.api.endpoint

    def __enter__(self) -> Self:
        self.api.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.api.__exit__()
        for store in self.stores.values():
            store.close()

    def url(self, service: str, tag: str = "") -> str:
        """The address of a service, or of one of its tags."""
        return self.store.service(service).fronts[tag].url

    def served(self, service: str) -> list[Served]:
        """Every request that came to a service so far."""
        return [one for one in self.monitoring.all() if one.service == service]


class DeployableJobs(JobsState):
    """Jobs whose templates can be replaced, as a release does; operations of services are not theirs."""

    def __init__(self, stores: list[Store]) -> None:
        super().__init__()
        self._stores = stores

    def owns(self, path: str) -> bool:
        last = path.rpartition("/")[2]
        return super().owns(path) and not any(last in store.operations for store in self._stores)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Json) -> Json:
        found = _JOB.match(path)
        if not found or method != "PATCH":
            return super().answer(method, path, query, body)
        with self.lock:
            job = self._job(found[1], found[2])
            if body.get("etag") and body["etag"] != job["etag"]:
                raise RunError(409, "The etag provided does not match the current etag of the resource.")
            job["template"] = body["template"]
            job["etag"] = f'"{next(self._numbers)}"'
            job["generation"] = str(int(job["generation"]) + 1)
            response = {"@type": "type.googleapis.com/google.cloud.run.v2.Job", **job}
            name = f"{found[1]}/operations/update-{next(self._numbers)}"
            return {"name": name, "metadata": response, "done": True, "response": response}


class Tokens:
    """IAM Credentials' generateIdToken: a token opens the services of its audience, the service's own
    address.
    """

    def __init__(self) -> None:
        self._audiences: dict[str, str] = {}

    def owns(self, path: str) -> bool:
        return path.endswith(":generateIdToken")

    def answer(self, _method: str, _path: str, _query: dict[str, str], body: Json) -> Json:
        token = dice.token_urlsafe(12)
        self._audiences[token] = body["audience"]
        return {"token": token}

    def allowed(self, audience: str, authorization: str) -> bool:
        return self._audiences.get(authorization.removeprefix("Bearer ")) == audience
