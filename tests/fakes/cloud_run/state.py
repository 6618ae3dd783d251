"""Services and revisions: what a request asks for (spec), and what is so (status).

The specification is kept in the form of the Admin API v2; :mod:`tests.fakes.cloud_run.v1` reads and writes it
in Knative's form. A change is checked and taken at once; what follows (a container that comes up, traffic
that moves) happens in the background, as an operation.
"""

from __future__ import annotations

import copy
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.front import Front, Route, Served, weighted
from tests.fakes.cloud_run.images import Images
from tests.fakes.cloud_run.instances import Instance, NotStarted

Json = dict[str, Any]
LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_RESERVED = re.compile(
    r"(run\.googleapis\.com|cloud\.googleapis\.com|serving\.knative\.dev|autoscaling\.knative\.dev)/"
)
_TAG = re.compile(r"[a-z]([a-z0-9-]{0,44}[a-z0-9])?$")
_REVISION = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")


@dataclass
class Operation:
    """A long-running operation; ``error`` is empty when it went well."""

    id: str
    service: str
    done: threading.Event = field(default_factory=threading.Event)
    error: str = ""
    routed: bool = True


@dataclass
class RevisionState:
    """A revision, its container, and whether it came up (None: not known yet)."""

    name: str
    service: str
    template: Json
    created: float
    instance: Instance | None = None
    route: Route | None = None
    ready: bool | None = None
    message: str = ""


@dataclass
class ServiceState:
    """A service. ``routed`` is the traffic that is in force, ``traffic`` what was asked for."""

    name: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: float = field(default_factory=time.time)
    generation: int = 0
    version: int = 0
    observed: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    template: Json = field(default_factory=dict)
    traffic: list[Json] = field(default_factory=lambda: [{"type": LATEST, "percent": 100}])
    extra: Json = field(default_factory=dict)
    routed: list[Json] = field(default_factory=list)
    newest: str = ""
    newest_ready: str = ""
    message: str = ""
    routes_ready: bool = True
    public: bool = False
    client: tuple[str, str] = ("", "")
    fronts: dict[str, Front] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        return self.observed == self.generation

    @property
    def etag(self) -> str:
        return f'"{self.uid[:8]}/{self.version}"'


class Store:
    """Everything of one project and region.

    ``secrets`` are versions by (secret, version). ``traffic_seconds`` is how long a change of traffic takes
    to reach every front. ``allowed`` decides about calls to services that are not public.
    """

    def __init__(
        self,
        images: Images,
        *,
        region: str,
        secrets: Mapping[tuple[str, str], str],
        path: str,
        dice: random.Random,
        note: Callable[[Served], None],
        traffic_seconds: float,
        start_seconds: float,
        allowed: Callable[[str, str], bool],
    ) -> None:
        self.images = images
        self.region = region
        self.secrets = secrets
        self._path = path
        self._dice = dice
        self._note = note
        self._traffic_seconds = traffic_seconds
        self._start_seconds = start_seconds
        self._allowed = allowed
        self.lock = threading.RLock()
        self.services: dict[str, ServiceState] = {}
        self.revisions: dict[str, RevisionState] = {}
        self.operations: dict[str, Operation] = {}
        self.log: list[tuple[str, str, list[Json]]] = []
        self._queue: dict[str, threading.Lock] = {}
        self._closed = False

    def close(self) -> None:
        self._closed = True
        with self.lock:
            fronts = [front for service in self.services.values() for front in service.fronts.values()]
            instances = [one.instance for one in self.revisions.values() if one.instance]
        for front in fronts:
            front.close()
        for instance in instances:
            instance.close()

    # ------------------------------------------------------------ reading

    def service(self, name: str) -> ServiceState:
        if name not in self.services:
            raise RunError(404, f"Resource '{name}' of kind 'SERVICE' in region does not exist.")
        return self.services[name]

    def revision(self, name: str) -> RevisionState:
        if name not in self.revisions:
            raise RunError(404, f"Resource '{name}' of kind 'REVISION' does not exist.")
        return self.revisions[name]

    def of_service(self, name: str) -> list[RevisionState]:
        return [one for one in self.revisions.values() if one.service == name]

    # ------------------------------------------------------------ changing

    def create(self, name: str, template: Json, *, public: bool = False, wait: bool = True) -> Operation:
        """A service with its first revision, as Terraform makes it."""
        with self.lock:
            service = self.services[name] = ServiceState(name, public=public)
            service.fronts[""] = self._front(service, "")
        operation = self.change(name, lambda state: setattr(state, "template", template))
        if wait:
            operation.done.wait()
        return operation

    def change(self, name: str, edit: Callable[[ServiceState], None]) -> Operation:
        """Edit a copy of the specification, check it, and take it; the operation goes on by itself."""
        with self.lock:
            service = self.service(name)
            before = copy.deepcopy(service.template)
            draft = copy.copy(service)
            draft.template, draft.traffic = copy.deepcopy(service.template), copy.deepcopy(service.traffic)
            draft.annotations, draft.labels = dict(service.annotations), dict(service.labels)
            edit(draft)
            fresh = self._checked(draft, before)
            for each in ("template", "traffic", "annotations", "labels", "extra", "client"):
                setattr(service, each, getattr(draft, each))
            service.generation += 1
            service.version += 1
            operation = Operation(uuid.uuid4().hex, name)
            self.operations[operation.id] = operation
            revision = self._new_revision(service) if fresh else None
            self.log.append((name, "revision" if fresh else "change", copy.deepcopy(service.traffic)))
        threading.Thread(
            target=self._carry_out, args=(service, service.generation, revision, operation), daemon=True
        ).start()
        return operation

    def _checked(self, draft: ServiceState, before: Json) -> bool:
        """Raise for a specification that the API refuses; whether it makes a new revision."""
        for key in draft.annotations:
            if _RESERVED.match(key) and key not in self.service(draft.name).annotations:
                raise RunError(400, f"annotation {key} is reserved")
        named = draft.template.get("revision", "")
        fresh = not draft.newest or _bare(draft.template) != _bare(before)
        if named and named != draft.newest and named != before.get("revision"):
            fresh = True
        if fresh and named in self.revisions:
            if _bare(self.revisions[named].template) != _bare(draft.template):
                raise RunError(
                    409,
                    f"Revision named '{named}' with different configuration already exists.",
                )
            fresh = False
        if named and not (named.startswith(f"{draft.name}-") and _REVISION.match(named)):
            raise RunError(400, f"spec.template.metadata.name: {named} is not valid")
        self._check_traffic(draft, named if fresh else "")
        if fresh:
            self._check_template(draft.template)
        return fresh

    def _check_traffic(self, draft: ServiceState, coming: str) -> None:
        total = sum(int(one.get("percent", 0)) for one in draft.traffic)
        if total != 100:
            raise RunError(400, f"Traffic targets must sum to 100, but are {total}.")
        tags = [one["tag"] for one in draft.traffic if one.get("tag")]
        if len(tags) != len(set(tags)) or not all(_TAG.match(tag) for tag in tags):
            raise RunError(400, f"Tags must be unique and valid: {tags}")
        for one in draft.traffic:
            name = one.get("revision", "")
            if (
                name
                and name != coming
                and (name not in self.revisions or self.revisions[name].service != draft.name)
            ):
                raise RunError(400, f"Revision {name} of service {draft.name} does not exist.")

    def _check_template(self, template: Json) -> None:
        container = template["containers"][0]
        if self.images.tree(container["image"]) is None:
            raise RunError(400, f"Image '{container['image']}' not found.")
        for one in container.get("env", []):
            reference = one.get("valueSource", {}).get("secretKeyRef")
            if (
                reference
                and (reference["secret"].rpartition("/")[2], reference["version"]) not in self.secrets
            ):
                raise RunError(
                    400,
                    f"Secret {reference['secret']}/versions/{reference['version']} was not found",
                )

    def _new_revision(self, service: ServiceState) -> RevisionState:
        name = (
            service.template.get("revision")
            or f"{service.name}-{service.generation:05d}-{uuid.uuid4().hex[:3]}"
        )
        revision = RevisionState(name, service.name, copy.deepcopy(service.template), time.time())
        container = revision.template["containers"][0]
        tree = self.images.tree(container["image"])
        assert tree is not None
        revision.instance = Instance(
            tree,
            self._environment(service, revision, tree),
            memory=container.get("resources", {}).get("limits", {}).get("memory", "512Mi"),
            probe=container.get("startupProbe", {}).get("httpGet", {}).get("path", "/live"),
            patience=self._start_seconds,
        )
        timeout = float(str(revision.template.get("timeout", "300s")).rstrip("s"))
        slots = threading.Semaphore(int(revision.template.get("maxInstanceRequestConcurrency") or 80))
        revision.route = Route(name, revision.instance, timeout, slots)
        self.revisions[name] = revision
        service.newest = name
        return revision

    def _environment(self, service: ServiceState, revision: RevisionState, tree: Path) -> dict[str, str]:
        found = {"PATH": self._path, "HOME": "/nonexistent", "K_SERVICE": service.name}
        found |= {"K_REVISION": revision.name, "K_CONFIGURATION": service.name}
        for one in revision.template["containers"][0].get("env", []):
            reference = one.get("valueSource", {}).get("secretKeyRef")
            key = (reference["secret"].rpartition("/")[2], reference["version"]) if reference else None
            value = self.secrets[key] if key else one.get("value", "")
            # The folder that the buildpack puts the application into.
            found[one["name"]] = (
                value.replace("/workspace", str(tree)) if one["name"] == "PYTHONPATH" else value
            )
        return found

    # ------------------------------------------------------------ what follows

    def _carry_out(
        self, service: ServiceState, generation: int, revision: RevisionState | None, operation: Operation
    ) -> None:
        # One change of a service after the other, as its controller does.
        with self.lock:
            turn = self._queue.setdefault(service.name, threading.Lock())
        with turn:
            try:
                if revision is not None:
                    self._come_up(service, revision)
                self._move(service, operation)
                operation.routed = not operation.error
                # A service whose newest revision does not come up is not Ready, though its traffic moves.
                newest = self.revisions[service.newest]
                operation.error = operation.error or (newest.message if newest.ready is False else "")
            finally:
                with self.lock:
                    service.observed = max(service.observed, generation)
                    service.message = operation.error
                    service.routes_ready = operation.routed
                    service.version += 1
                operation.done.set()

    def _come_up(self, service: ServiceState, revision: RevisionState) -> None:
        assert revision.instance
        try:
            revision.instance.ensure()
        except NotStarted as error:
            revision.ready = False
            revision.message = f"Revision '{revision.name}' is not ready and cannot serve traffic. {error}"
            return
        with self.lock:
            revision.ready = True
            service.newest_ready = revision.name

    def _move(self, service: ServiceState, operation: Operation) -> None:
        with self.lock:
            wanted = [dict(one) for one in service.traffic]
            for one in wanted:
                one["revision"] = one.get("revision") or service.newest_ready
            unready = [
                self.revisions[one["revision"]]
                for one in wanted
                if one["revision"] and not self.revisions[one["revision"]].ready
            ]
            newest = self.revisions.get(service.newest)
        if (
            newest is not None
            and newest.ready is False
            and newest not in unready
            and _follows_newest(service)
        ):
            unready.append(newest)
        if unready:
            operation.error = unready[0].message or f"Revision '{unready[0].name}' is not ready."
            return
        if wanted == service.routed:
            return
        time.sleep(self._traffic_seconds)
        with self.lock:
            service.routed = wanted
            self._renew_fronts(service)
        self._scale_to_zero(service)

    def _renew_fronts(self, service: ServiceState) -> None:
        tags = {one["tag"] for one in service.routed if one.get("tag")}
        for tag in set(service.fronts) - tags - {""}:
            service.fronts.pop(tag).close()
        for tag in tags - set(service.fronts):
            service.fronts[tag] = self._front(service, tag)

    def _scale_to_zero(self, service: ServiceState) -> None:
        """End instances that nothing leads to, once their last request is over."""
        named = {one["revision"] for one in service.routed}
        for revision in self.of_service(service.name):
            if revision.name not in named and revision.instance and revision.instance.alive:
                threading.Timer(3.0, revision.instance.stop).start()

    # ------------------------------------------------------------ routing

    def _front(self, service: ServiceState, tag: str) -> Front:
        def choose() -> Route | None:
            with self.lock:
                if tag:
                    chosen = [(one["revision"], 100) for one in service.routed if one.get("tag") == tag]
                else:
                    chosen = [(one["revision"], int(one.get("percent", 0))) for one in service.routed]
                routes = [(route, share) for name, share in chosen if (route := self.revisions[name].route)]
                return weighted(routes, self._dice)

        def allowed(authorization: str) -> bool:
            return service.public or self._allowed(service.fronts[""].url, authorization)

        def note(served: Served) -> None:
            self._note(replace(served, region=self.region))

        return Front(service.name, tag, choose, allowed, note)


def _bare(template: Json) -> Json:
    return {key: value for key, value in template.items() if key != "revision"}


def _follows_newest(service: ServiceState) -> bool:
    return any(one.get("type") == LATEST for one in service.traffic)
