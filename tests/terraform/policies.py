"""What a plan must keep to. A policy is a pure function from a plan's resources to what is wrong in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DAY = 86_400
PUBLIC = ("allUsers", "allAuthenticatedUsers")
STATIC_FILES = "module.edge[0].google_storage_bucket_iam_member.static_readers"
"""The published site behind the load balancer: the one grant to everybody."""
WHOLE_BUCKETS = {STATIC_FILES, "module.edge[0].google_storage_bucket_iam_member.publisher"}
"""Grants on a bucket that holds the published site and nothing else."""
PROJECT_ROLES = {"roles/logging.logWriter", "roles/monitoring.viewer"}
"""The predefined roles that may be granted on the project; beside them only a custom one."""
BROAD = re.compile(
    r"roles/(owner|editor|viewer|browser)|.*[aA]dmin|roles/secretmanager\.secretAccessor\.project|.*\.securityReviewer"
)
_PLACE = re.compile(r'(?<=")[a-z]+-[a-z]+[0-9]+')
SECRET_VALUES = ("secret_data", "secret_data_wo", "password", "private_key")


@dataclass(frozen=True, slots=True)
class Resource:
    """One planned resource: its address, type, attributes, and those that are known only after apply."""

    address: str
    type: str
    values: Mapping[str, Any]
    unknown: Mapping[str, Any]


def resources(plan: Mapping[str, Any]) -> list[Resource]:
    return [
        Resource(
            one["address"],
            one["type"],
            one["change"]["after"] or {},
            one["change"].get("after_unknown") or {},
        )
        for one in plan["resource_changes"]
        if one["mode"] == "managed"
    ]


def of(planned: list[Resource], *types: str) -> Iterator[Resource]:
    return (one for one in planned if one.type in types)


def only_chat_is_public(planned: list[Resource]) -> Iterator[str]:
    for one in of(planned, "google_cloud_run_v2_service"):
        if bool(one.values.get("invoker_iam_disabled")) != (one.values["name"] == "lectern-chat"):
            yield f"{one.address}: who may call it is wrong"
    for one in planned:
        members = [one.values.get("member"), *(one.values.get("members") or [])]
        if any(member in PUBLIC for member in members) and one.address != STATIC_FILES:
            yield f"{one.address} is a grant to everybody"


def no_broad_roles(planned: list[Resource]) -> Iterator[str]:
    for one in planned:
        role = str(one.values.get("role") or "")
        if BROAD.fullmatch(role):
            yield f"{one.address}: {role} is broad"
        if one.type.endswith(("_iam_policy", "_iam_binding")):
            yield f"{one.address} takes away grants that others made; use _iam_member"
        on_project = one.type == "google_project_iam_member"
        if on_project and role and role not in PROJECT_ROLES:
            yield f"{one.address}: {role} on the whole project"
    for one in of(planned, "google_project_iam_custom_role"):
        for permission in one.values["permissions"]:
            if permission.rsplit(".", 1)[-1] not in {"get", "list"}:
                yield f"{one.address}: {permission} changes something in the whole project"


def one_account_a_function(planned: list[Resource]) -> Iterator[str]:
    accounts = [one.values["account_id"] for one in of(planned, "google_service_account")]
    services = {one.values["name"] for one in of(planned, "google_cloud_run_v2_service")}
    for name in sorted(services - set(accounts)):
        yield f"{name} has no account of its own"
    for one in of(planned, "google_cloud_run_v2_service", "google_cloud_run_v2_job"):
        given = _first(one, "template")
        inner = given if "service_account" in given else _first_in(given, "template")
        # Unknown before apply is right: it is the account of this plan. A name would be somebody else's.
        if inner.get("service_account"):
            yield f"{one.address} runs as {inner['service_account']}"


def secrets_by_pinned_reference(planned: list[Resource]) -> Iterator[str]:
    for one in of(planned, "google_secret_manager_secret_version"):
        yield f"{one.address} would put a value into the state"
    for one in planned:
        for path, value in _leaves(one.values):
            if path[-1] in SECRET_VALUES and value:
                yield f"{one.address}: {'.'.join(map(str, path))} is in the state"
            if "secret_key_ref" in path and path[-1] == "version" and not str(value).isdigit():
                yield f"{one.address}: the secret's version {value!r} is not pinned"
    for one in of(planned, "google_cloud_run_v2_service"):
        for path, value in _leaves(one.values):
            if (
                "env" in path
                and path[-1] == "value"
                and re.search(r"postgres(ql)?://|rediss?://", str(value))
            ):
                yield f"{one.address}: a variable holds an address with a password"


def secrets_are_read_by_name(planned: list[Resource]) -> Iterator[str]:
    for one in planned:
        if (
            "secretAccessor" in str(one.values.get("role"))
            and one.type != "google_secret_manager_secret_iam_member"
        ):
            yield f"{one.address} reads every secret of the project"


def buckets_are_kept(planned: list[Resource]) -> Iterator[str]:
    buckets = list(of(planned, "google_storage_bucket"))
    if not any(_is_backup(one) for one in buckets):
        yield "there is no bucket of recovery points"
    for one in buckets:
        public = one.address.startswith("module.edge")
        if not one.values.get("uniform_bucket_level_access"):
            yield f"{one.address} has access lists of single objects"
        if not public and one.values.get("public_access_prevention") != "enforced":
            yield f"{one.address} can be opened to everybody"
        if not _first(one, "versioning").get("enabled"):
            yield f"{one.address} keeps no versions"
        if one.values.get("force_destroy"):
            yield f"{one.address} goes with everything in it"
        if _is_backup(one):
            yield from _kept(one)


def _is_backup(one: Resource) -> bool:
    return one.address.startswith("module.backup_bucket")


def _kept(one: Resource) -> Iterator[str]:
    retention = int(_first(one, "retention_policy").get("retention_period") or 0)
    soft = int(_first(one, "soft_delete_policy").get("retention_duration_seconds") or 0)
    expiries = [
        _first_in(rule, "condition")
        for rule in one.values.get("lifecycle_rule", [])
        if _first_in(rule, "action").get("type") == "Delete"
    ]
    if retention < DAY:
        yield f"{one.address} has no retention"
    if soft < 7 * DAY:
        yield f"{one.address} keeps what was deleted for less than a week"
    if not any(each.get("days_since_noncurrent_time") for each in expiries):
        yield f"{one.address} never lets go of old versions"
    if not all(each.get("days_since_noncurrent_time") for each in expiries):
        yield f"{one.address} deletes by age what is on hold, and the only point that was verified"
    if not one.values.get("encryption") and not one.unknown.get("encryption"):
        yield f"{one.address} is not encrypted with a key of its own"


def objects_by_prefix(planned: list[Resource]) -> Iterator[str]:
    for one in of(planned, "google_storage_bucket_iam_member"):
        if one.address not in WHOLE_BUCKETS and not one.values.get("condition"):
            yield f"{one.address} reaches the whole bucket"


def callers_have_tokens(planned: list[Resource]) -> Iterator[str]:
    for one in of(planned, "google_cloud_scheduler_job"):
        target = _first(one, "http_target")
        if not target.get("oidc_token"):
            yield f"{one.address} calls without a token"
    for one in of(planned, "google_monitoring_uptime_check_config"):
        if _first(one, "http_check").get("path") != "/live":
            yield f"{one.address} would keep Neon awake"


def images_go_when_they_are_old(planned: list[Resource]) -> Iterator[str]:
    for one in of(planned, "google_artifact_registry_repository"):
        rules = {rule["action"] for rule in one.values.get("cleanup_policies") or []}
        if rules != {"KEEP", "DELETE"} or one.values.get("cleanup_policy_dry_run"):
            yield f"{one.address} keeps every image"
        # The registry refuses to delete an image whose tag cannot be moved, and each one has a tag.
        if _first(one, "docker_config").get("immutable_tags"):
            yield f"{one.address} has tags that keep their images"


def regions_are_alike(planned: list[Resource]) -> Iterator[str]:
    """A service of two regions is the same in both, and whoever may change or call it there may here."""
    services: dict[str, list[Resource]] = {}
    for one in of(planned, "google_cloud_run_v2_service"):
        services.setdefault(one.values["name"], []).append(one)
    grants = list(of(planned, "google_cloud_run_v2_service_iam_member"))
    for name, there in services.items():
        first = there[0]
        for one in there:
            if _wherever(one) != _wherever(first):
                yield f"{one.address} differs from {first.address}"
            if _granted(grants, one) != _granted(grants, first):
                yield f"{one.address}: others may use it than {first.address}"
            if "roles/run.developer" not in {role for role, _ in _granted(grants, one)}:
                yield f"{one.address}: releases may not deploy to {name} in {one.values['location']}"


def _wherever(one: Resource) -> str:
    """Everything but the place."""
    values = {key: value for key, value in one.values.items() if key != "location"}
    return json.dumps(values, sort_keys=True)


def _granted(grants: list[Resource], service: Resource) -> set[tuple[str, str]]:
    """Roles on a service, and to whom, by the names of the grants: accounts are known only after apply."""
    there = (service.values["name"], service.values["location"])
    return {
        (str(grant.values["role"]), _PLACE.sub("", grant.address))
        for grant in grants
        if (grant.values.get("name"), grant.values.get("location")) == there
    }


POLICIES: tuple[Callable[[list[Resource]], Iterator[str]], ...] = (
    only_chat_is_public,
    no_broad_roles,
    one_account_a_function,
    secrets_by_pinned_reference,
    secrets_are_read_by_name,
    buckets_are_kept,
    objects_by_prefix,
    callers_have_tokens,
    images_go_when_they_are_old,
    regions_are_alike,
)


def _first(one: Resource, block: str) -> Mapping[str, Any]:
    return _first_in(one.values, block)


def _first_in(values: Mapping[str, Any], block: str) -> Mapping[str, Any]:
    found = values.get(block) or [{}]
    return found[0] or {} if isinstance(found, list) else found


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, place))
    elif path:
        yield path, value
