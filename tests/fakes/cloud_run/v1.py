"""Knative's API (``serving.knative.dev/v1``) over the same store, as gcloud speaks it.

After https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services: a PUT replaces the whole
service, ``resourceVersion`` is the optimistic lock, and ``Ready`` is ``Unknown`` until the change has been
carried out.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.state import BY_NAME, LATEST, Json, RevisionState, ServiceState, Store
from tests.fakes.cloud_run.v2 import stamp

_PATH = re.compile(
    r"(?:/regions/(?P<region>[^/]+))?/apis/serving\.knative\.dev/v1/namespaces/(?P<project>[^/]+)/(?P<kind>services|revisions|configurations|routes)"
    r"(?:/(?P<name>[^/:]+))?$"
)
_SELECTOR = re.compile(r"serving\.knative\.dev/service\s*(?:=|in)\s*\(?([^),\s]+)")
_LOCATION = "cloud.googleapis.com/location"
_SYSTEM = re.compile(r"(run\.googleapis\.com|serving\.knative\.dev|client\.knative\.dev)/")


class V1:
    def __init__(self, store: Store) -> None:
        self._store = store

    def owns(self, path: str) -> bool:
        found = _PATH.match(path)
        return bool(found) and found["region"] in {None, self._store.region}

    def answer(self, method: str, path: str, query: dict[str, str], body: Json) -> Json:
        found = _PATH.match(path)
        assert found
        if found["kind"] == "revisions":
            return self._revisions(found["name"], query)
        if found["kind"] != "services":
            raise RunError(404, f"{path} is not part of this fake")
        if found["name"] is None:
            return {
                "kind": "ServiceList",
                "items": [self._service(one) for one in self._store.services.values()],
            }
        if method == "PUT":
            return self._put(found["name"], body)
        return self._service(self._store.service(found["name"]))

    def _revisions(self, name: str | None, query: dict[str, str]) -> Json:
        if name:
            return _revision(self._store.revision(name), self._store.region)
        wanted = _SELECTOR.search(query.get("labelSelector", ""))
        found = [one for one in self._store.revisions.values() if not wanted or one.service == wanted[1]]
        return {
            "kind": "RevisionList",
            "apiVersion": "serving.knative.dev/v1",
            "items": [_revision(one, self._store.region) for one in found],
        }

    def _put(self, name: str, body: Json) -> Json:
        with self._store.lock:
            service = self._store.service(name)
            given = body["metadata"].get("resourceVersion")
            if given != str(service.version):
                now = f"version '{given}' was specified but current version is '{service.version}'"
                message = f"Conflict for resource '{name}': {now}."
                raise RunError(409, message)
            self._store.change(name, lambda draft: _edit(draft, body))
            return self._service(service)

    def _service(self, service: ServiceState) -> Json:
        url = service.fronts[""].url
        annotations = {**service.annotations, **service.extra.get("annotations", {})}
        annotations |= {"run.googleapis.com/ingress": "all", "run.googleapis.com/urls": json.dumps([url])}
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {
                "name": service.name,
                "namespace": "123",
                "uid": service.uid,
                "resourceVersion": str(service.version),
                "generation": service.generation,
                "creationTimestamp": stamp(service.created),
                "labels": {_LOCATION: self._store.region, **service.labels},
                "annotations": annotations,
            },
            "spec": {
                "template": template_of(service.template),
                "traffic": [_traffic(one) for one in service.traffic],
            },
            "status": {
                "observedGeneration": service.observed,
                "conditions": _conditions(service),
                "latestReadyRevisionName": service.newest_ready,
                "latestCreatedRevisionName": service.newest,
                "traffic": [self._routed(service, one) for one in service.routed],
                "url": url,
                "address": {"url": url},
            },
        }

    def _routed(self, service: ServiceState, one: Json) -> Json:
        told = {**_traffic(one), "revisionName": one["revision"]}
        if one.get("tag") in service.fronts:
            told["url"] = service.fronts[one["tag"]].url
        return told


def _edit(draft: ServiceState, body: Json) -> None:
    annotations = dict(body["metadata"].get("annotations", {}))
    draft.annotations = {key: text for key, text in annotations.items() if not _SYSTEM.match(key)}
    draft.extra = {"annotations": {key: text for key, text in annotations.items() if _SYSTEM.match(key)}}
    draft.client = (annotations.get("run.googleapis.com/client-name", ""), "")
    labels = body["metadata"].get("labels", {})
    draft.labels = {key: text for key, text in labels.items() if key != _LOCATION}
    draft.traffic = [_target(one) for one in body["spec"].get("traffic", [])] or [
        {"type": LATEST, "percent": 100}
    ]
    sent = body["spec"]["template"]
    if _comparable(sent) != _comparable(template_of(draft.template)):
        draft.template = _template(sent, draft.template)


def _comparable(template: Json) -> Json:
    """Without what gcloud adds to say which program asked."""
    metadata = dict(template.get("metadata", {}))
    metadata["annotations"] = {
        key: text
        for key, text in metadata.get("annotations", {}).items()
        if not key.startswith(("run.googleapis.com/client-", "client.knative.dev/"))
    }
    metadata["labels"] = {
        key: text
        for key, text in metadata.get("labels", {}).items()
        if not key.startswith("client.knative.dev/")
    }
    bare = {key: value for key, value in metadata.items() if value}
    return {**template, "metadata": bare}


def _target(one: Json) -> Json:
    target: Json = {
        "type": LATEST if one.get("latestRevision") else BY_NAME,
        "percent": int(one.get("percent") or 0),
    }
    if one.get("revisionName") and not one.get("latestRevision"):
        target["revision"] = one["revisionName"]
    return {**target, **({"tag": one["tag"]} if one.get("tag") else {})}


def _traffic(one: Json) -> Json:
    told: Json = {"percent": one.get("percent", 0)} if one.get("percent") else {}
    if one.get("type") == LATEST:
        told["latestRevision"] = True
    elif one.get("revision"):
        told["revisionName"] = one["revision"]
    return {**told, **({"tag": one["tag"]} if one.get("tag") else {})}


def template_of(template: Json) -> Json:
    """A v2 template in Knative's form."""
    container = template.get("containers", [{}])[0]
    spec: Json = {"containers": [_container(container)]}
    for ours, theirs in (
        ("maxInstanceRequestConcurrency", "containerConcurrency"),
        ("serviceAccount", "serviceAccountName"),
    ):
        if template.get(ours):
            spec[theirs] = template[ours]
    if template.get("timeout"):
        spec["timeoutSeconds"] = int(str(template["timeout"]).rstrip("s"))
    metadata: Json = {"name": template["revision"]} if template.get("revision") else {}
    return {"metadata": metadata, "spec": spec}


def _container(container: Json) -> Json:
    told: Json = {"image": container.get("image", "")}
    told["env"] = [_variable(one) for one in container.get("env", [])]
    if container.get("resources", {}).get("limits"):
        told["resources"] = {"limits": container["resources"]["limits"]}
    return told


def _variable(one: Json) -> Json:
    reference = one.get("valueSource", {}).get("secretKeyRef")
    if reference:
        source = {"key": reference["version"], "name": reference["secret"].rpartition("/")[2]}
        return {"name": one["name"], "valueFrom": {"secretKeyRef": source}}
    return {"name": one["name"], "value": one.get("value", "")}


def _template(sent: Json, known: Json) -> Json:
    """Knative's template in v2's form; what Knative's form does not show stays as it was."""
    container = sent["spec"]["containers"][0]
    before = known.get("containers", [{}])[0]
    template = {
        **known,
        "containers": [
            {**before, "image": container["image"], "env": [_v2(one) for one in container.get("env", [])]}
        ],
    }
    name = sent.get("metadata", {}).get("name", "")
    template.pop("revision", None)
    return {**template, **({"revision": name} if name else {})}


def _v2(one: Json) -> Json:
    reference: Any = one.get("valueFrom", {}).get("secretKeyRef")
    if reference:
        return {
            "name": one["name"],
            "valueSource": {"secretKeyRef": {"secret": reference["name"], "version": reference["key"]}},
        }
    return {"name": one["name"], "value": one.get("value", "")}


def _conditions(service: ServiceState) -> list[Json]:
    good = {
        "Ready": not service.message,
        "ConfigurationsReady": not (service.message and service.routes_ready),
        "RoutesReady": service.routes_ready,
    }
    told = []
    for kind, is_good in good.items():
        status = str(is_good) if service.settled else "Unknown"
        extra = {"message": service.message, "reason": "RevisionFailed"} if status == "False" else {}
        told.append({"type": kind, "status": status, "lastTransitionTime": stamp(service.created), **extra})
    return told


def _revision(revision: RevisionState, region: str) -> Json:
    status = {True: "True", False: "False", None: "Unknown"}[revision.ready]
    shown = template_of(revision.template)
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "name": revision.name,
            "namespace": "123",
            "creationTimestamp": stamp(revision.created),
            "generation": 1,
            "labels": {"serving.knative.dev/service": revision.service, _LOCATION: region},
            "annotations": {
                "run.googleapis.com/client-name": "lectern",
                "serving.knative.dev/creator": "release",
            },
        },
        "spec": shown["spec"],
        "status": {
            "observedGeneration": 1,
            "conditions": [
                {"type": kind, "status": status, "message": revision.message}
                for kind in ("Ready", "Active", "ContainerHealthy", "ResourcesAvailable")
            ],
            "imageDigest": revision.template["containers"][0]["image"],
        },
    }
