"""The Admin API v2 (https://cloud.google.com/run/docs/reference/rest/v2) over the store, for
google-cloud-run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.state import (
    BY_NAME,
    LATEST,
    Json,
    Operation,
    RevisionState,
    ServiceState,
    Store,
)

_PATH = re.compile(
    r"/v2/(?P<parent>projects/[^/]+/locations/[^/]+)/(?P<kind>services|operations)"
    r"(?:/(?P<name>[^/:]+))?(?:/(?P<sub>revisions)(?:/(?P<revision>[^/:]+))?)?$"
)
_TYPE = "type.googleapis.com/google.cloud.run.v2.Service"
_INTEGERS = {1: LATEST, 2: BY_NAME}


class V2:
    def __init__(self, store: Store) -> None:
        self._store = store

    def owns(self, path: str) -> bool:
        found = _PATH.match(path)
        return bool(found) and found["parent"].endswith(f"/{self._store.region}")

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        found = _PATH.match(path)
        assert found
        parent, name = found["parent"], found["name"]
        if found["kind"] == "operations":
            return self._operation(parent, self._find(name))
        if found["sub"]:
            return self._revisions(parent, name, found["revision"])
        if name is None:
            services = list(self._store.services.values())
            return {"services": [service_json(self._store, parent, one) for one in services]}
        if method == "PATCH":
            return self._patch(parent, name, query, body)
        return service_json(self._store, parent, self._store.service(name))

    def _find(self, name: str) -> Operation:
        if name not in self._store.operations:
            raise RunError(404, f"operation {name} not found")
        return self._store.operations[name]

    def _patch(self, parent: str, name: str, query: dict[str, str], body: Json) -> Json:
        paths = [one for one in query.get("updateMask", "").split(",") if one]
        with self._store.lock:
            service = self._store.service(name)
            etag = body.get("etag")
            if etag and etag != service.etag:
                now = f"version '{etag}' was specified but current version is '{service.etag}'"
                raise RunError(409, f"Conflict for resource '{name}': {now}.")
            operation = self._store.change(name, _edit(paths, body))
        return self._operation(parent, operation)

    def _revisions(self, parent: str, service: str, name: str | None) -> Json:
        self._store.service(service)
        if name:
            return revision_json(parent, self._store.revision(name))
        return {"revisions": [revision_json(parent, one) for one in self._store.of_service(service)]}

    def _operation(self, parent: str, operation: Operation) -> Json:
        service = service_json(self._store, parent, self._store.service(operation.service))
        told: Json = {
            "name": f"{parent}/operations/{operation.id}",
            "metadata": {"@type": _TYPE, **service},
            "done": operation.done.is_set(),
        }
        if operation.done.is_set():
            if operation.error:
                told["error"] = {"code": 9, "message": operation.error}
            else:
                told["response"] = {"@type": _TYPE, **service}
        return told


def _edit(paths: list[str], body: Json) -> Callable[[ServiceState], None]:
    def edit(draft: ServiceState) -> None:
        if "traffic" in paths or not paths:
            draft.traffic = [_target(one) for one in body.get("traffic", [])] or [
                {"type": LATEST, "percent": 100}
            ]
        if "annotations" in paths or not paths:
            draft.annotations = dict(body.get("annotations", {}))
        if "template" in paths or not paths:
            draft.template = _template(body.get("template", {}))
        unknown = set(paths) - {"traffic", "annotations", "template", "labels"}
        if unknown:
            raise RunError(400, f"update_mask contains {sorted(unknown)}")

    return edit


def _target(one: Json) -> Json:
    """A target with its enum by name and without empty values: the Python client sends integers."""
    kind = one.get("type", BY_NAME)
    target: Json = {"type": _INTEGERS.get(kind, kind), "percent": int(one.get("percent", 0))}
    target |= {key: one[key] for key in ("revision", "tag") if one.get(key)}
    return target


def _template(body: Json) -> Json:
    return _without_empty(body)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each not in (None, "", [], {})}
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


def service_json(store: Store, parent: str, service: ServiceState) -> Json:
    """The service as the API shows it."""
    full = f"{parent}/services/{service.name}"
    front = service.fronts[""].url
    state = (
        "CONDITION_SUCCEEDED"
        if service.settled and not service.message
        else "CONDITION_RECONCILING"
        if not service.settled
        else "CONDITION_FAILED"
    )
    return {
        "name": full,
        "uid": service.uid,
        "generation": str(service.generation),
        "observedGeneration": str(service.observed),
        "reconciling": not service.settled,
        "labels": service.labels,
        "annotations": service.annotations,
        "createTime": stamp(service.created),
        "template": service.template,
        "traffic": service.traffic,
        "trafficStatuses": [
            {**one, **({"uri": service.fronts[one["tag"]].url} if one.get("tag") in service.fronts else {})}
            for one in service.routed
        ],
        "terminalCondition": {"type": "Ready", "state": state, "message": service.message},
        "latestReadyRevision": f"{full}/revisions/{service.newest_ready}" if service.newest_ready else "",
        "latestCreatedRevision": f"{full}/revisions/{service.newest}",
        "invokerIamDisabled": service.public,
        "uri": front,
        "urls": [front],
        "etag": service.etag,
    }


def revision_json(parent: str, revision: RevisionState) -> Json:
    state = {True: "CONDITION_SUCCEEDED", False: "CONDITION_FAILED", None: "CONDITION_RECONCILING"}[
        revision.ready
    ]
    template = {key: value for key, value in revision.template.items() if key != "revision"}
    return {
        **template,
        "name": f"{parent}/services/{revision.service}/revisions/{revision.name}",
        "createTime": stamp(revision.created),
        "service": revision.service,
        "conditions": [{"type": "Ready", "state": state, "message": revision.message}],
    }


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
