"""Rules that every environment's plan keeps to, and proof that each rule notices a plan that does not."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.delivery.platform import Probe, job_name, members, service_name
from shared.delivery.platform_file import load_platform
from shared.ports.services import located
from tests.terraform import policies
from tests.terraform.policies import POLICIES, Resource, of, resources
from tests.terraform.workspace import ENVIRONMENTS, ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
Plans = dict[str, dict[str, Any]]
FOLDERS = {
    "staging": ROOT / "config",
    "production": ROOT / "config",
    "everything": ROOT / "tests/terraform/everything",
}


def named(environment: str) -> str:
    return "production" if environment == "everything" else environment


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_plan_keeps_to_the_rules(
    plans: Plans, environment: str, policy: Callable[[list[Resource]], Any]
) -> None:
    """Somebody could read, change or delete what is not theirs."""
    assert list(policy(resources(plans[environment]))) == []


def change(values: Any, path: str, new: Any) -> None:
    *way, last = path.split(".")
    for step in way:
        values = values[int(step)] if step.isdigit() else values[step]
    values[int(last) if last.isdigit() else last] = new


SPOILED = [
    (
        'module.function["health"].google_cloud_run_v2_service.this["europe-west1"]',
        "invoker_iam_disabled",
        True,
    ),
    (
        'module.function["chat"].google_cloud_run_v2_service.this["europe-west1"]',
        "invoker_iam_disabled",
        False,
    ),
    (
        'module.function["ingest"].google_cloud_run_v2_service_iam_member.invoker["europe-west1/schedules"]',
        "member",
        "allUsers",
    ),
    (
        'module.function["ingest"].google_cloud_run_v2_service_iam_member.deployer["europe-west1"]',
        "role",
        "roles/run.admin",
    ),
    ('module.cicd.google_project_iam_member.release["logs"]', "role", "roles/editor"),
    ('module.cicd.google_project_iam_member.release["logs"]', "role", "roles/secretmanager.secretAccessor"),
    ("module.cicd.google_project_iam_custom_role.release", "permissions", ["run.services.update"]),
    ('module.function["drill"].google_service_account.this', "account_id", "lectern-shared"),
    (
        'module.job["drill"].google_cloud_run_v2_job.this',
        "template.0.template.0.service_account",
        "1-compute@developer.gserviceaccount.com",
    ),
    (
        'module.function["chat"].google_cloud_run_v2_service.this["europe-west1"]',
        "template.0.containers.0.env",
        [{"name": "DATABASE_URL", "value": "postgresql://u:p@h/d"}],
    ),
    (
        'module.function["chat"].google_cloud_run_v2_service.this["europe-west1"]',
        "template.0.containers.0.env",
        [{"name": "A", "value_source": [{"secret_key_ref": [{"version": "latest"}]}]}],
    ),
    ('module.backup_bucket["first"].google_storage_bucket.this', "public_access_prevention", "inherited"),
    ('module.backup_bucket["first"].google_storage_bucket.this', "versioning.0.enabled", False),
    ('module.backup_bucket["first"].google_storage_bucket.this', "retention_policy", []),
    ('module.backup_bucket["first"].google_storage_bucket.this', "soft_delete_policy", []),
    ('module.backup_bucket["first"].google_storage_bucket.this', "uniform_bucket_level_access", False),
    ('module.backup_bucket["first"].google_storage_bucket.this', "lifecycle_rule", []),
    (
        'module.backup_bucket["first"].google_storage_bucket.this',
        "lifecycle_rule.1",
        {"action": [{"type": "Delete"}], "condition": [{"age": 400}]},
    ),
    ('module.backup_bucket["first"].google_storage_bucket.this', "force_destroy", True),
    ('google_storage_bucket_iam_member.function["data/chat/use/roles/storage.objectUser"]', "condition", []),
    (
        'google_storage_bucket_iam_member.function["data/chat/use/roles/storage.objectUser"]',
        "role",
        "roles/storage.admin",
    ),
    ('module.schedule["drill"].google_cloud_scheduler_job.this', "http_target.0.oidc_token", []),
    (
        "module.cicd.google_artifact_registry_repository.images",
        "docker_config",
        [{"immutable_tags": True}],
    ),
    ("module.cicd.google_artifact_registry_repository.images", "cleanup_policy_dry_run", True),
    ('module.monitoring.google_monitoring_uptime_check_config.live["chat"]', "http_check.0.path", "/health"),
]


@pytest.mark.parametrize(("address", "path", "new"), SPOILED)
def test_a_rule_notices(plans: Plans, address: str, path: str, new: Any) -> None:
    """A rule that never fails protects nobody."""
    planned = copy.deepcopy(plans["production"])
    [found] = [one for one in planned["resource_changes"] if one["address"] == address]
    change(found["change"]["after"], path, new)
    assert [line for policy in POLICIES for line in policy(resources(planned))]


AWAY = 'module.function["chat"].google_cloud_run_v2_service.this["us-central1"]'


@pytest.mark.parametrize(
    ("path", "new"),
    [
        ("ingress", "INGRESS_TRAFFIC_INTERNAL_ONLY"),
        ("invoker_iam_disabled", False),
        ("template.0.containers.0.resources.0.limits.memory", "256Mi"),
        ("template.0.vpc_access", []),
        ("scaling.0.max_instance_count", 1),
    ],
)
def test_a_second_region_that_differs_is_noticed(plans: Plans, path: str, new: Any) -> None:
    """Half of the readers would be refused, or served by another chat than the release has judged."""
    planned = copy.deepcopy(plans["everything"])
    [found] = [one for one in planned["resource_changes"] if one["address"] == AWAY]
    change(found["change"]["after"], path, new)
    assert list(policies.regions_are_alike(resources(planned)))


def test_a_second_region_that_releases_may_not_change_is_noticed(plans: Plans) -> None:
    """The first release after an apply would end with an error of access."""
    left = [
        one
        for one in resources(plans["everything"])
        if not ("deployer" in one.address and one.values.get("location") == "us-central1")
    ]
    assert any("may not deploy to lectern-chat" in line for line in policies.regions_are_alike(left))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_release_knows_the_services_that_terraform_makes(plans: Plans, environment: str) -> None:
    """Terraform's second region would stay on Google's sample, since no release goes there."""
    read = load_platform(named(environment), FOLDERS[environment])
    planned = {
        (one.values["name"], one.values["location"])
        for one in of(resources(plans[environment]), "google_cloud_run_v2_service")
    }
    known = members(read.platform)
    assert planned == {(located(key)[0], member.region) for key, member in known.items()}
    assert len(known) == len(planned)
    checks = of(resources(plans[environment]), "google_monitoring_uptime_check_config")
    assert len(list(checks)) == 1 + sum(member.function == "chat" for member in known.values())


def test_a_version_of_a_secret_is_noticed(plans: Plans) -> None:
    """The value of a secret would lie in the state for everybody who plans."""
    planned = resources(plans["production"])
    version = replace(planned[0], type="google_secret_manager_secret_version", values={"secret_data": "x"})
    assert list(policies.secrets_by_pinned_reference([version]))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_terraform_and_a_release_read_the_same_from_the_file(plans: Plans, environment: str) -> None:
    """The first revision would have other memory, limits or secrets than the next: two sets of defaults."""
    read = load_platform(named(environment), FOLDERS[environment])
    planned = resources(plans[environment])
    for one in of(planned, "google_cloud_run_v2_service"):
        [(key, spec)] = [
            item for item in read.platform.functions.items() if service_name(item[0]) == one.values["name"]
        ]
        template = one.values["template"][0]
        [container] = template["containers"]
        assert template["timeout"] == f"{spec.timeout_seconds}s", key
        assert template["max_instance_request_concurrency"] == spec.concurrency
        assert template["session_affinity"] == spec.session_affinity
        assert container["resources"][0]["limits"] == {"cpu": f"{spec.cpu:g}", "memory": spec.memory}
        assert container["resources"][0]["startup_cpu_boost"] == spec.cpu_boost
        [scaling] = one.values["scaling"]
        assert (scaling["min_instance_count"], scaling["max_instance_count"]) == (
            spec.min_instances,
            spec.max_instances,
        )
        assert container["startup_probe"][0]["http_get"][0]["path"] == spec.startup.path
        assert probe(container["startup_probe"][0]) == spec.startup
        assert probe(container["liveness_probe"][0]) == spec.liveness
        assert pinned(container) == {
            name: (reference.secret, reference.version)
            for name, reference in read.secrets_of(spec.secrets).items()
        }


def probe(values: dict[str, Any]) -> Probe:
    return Probe(
        path=values["http_get"][0]["path"],
        period_seconds=values["period_seconds"],
        timeout_seconds=values["timeout_seconds"],
        failures=values["failure_threshold"],
    )


def pinned(container: dict[str, Any]) -> dict[str, tuple[str, str]]:
    references = {
        env["name"]: env["value_source"][0]["secret_key_ref"][0]
        for env in container["env"]
        if env.get("value_source")
    }
    return {name: (one["secret"], one["version"]) for name, one in references.items()}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_jobs_schedules_and_options_are_those_of_the_file(plans: Plans, environment: str) -> None:
    """A misspelt key would silently leave an option at its default: Terraform tries, and falls back."""
    read = load_platform(named(environment), FOLDERS[environment]).platform
    settings = load_platform(named(environment), FOLDERS[environment]).settings
    planned = resources(plans[environment])
    for one in of(planned, "google_cloud_run_v2_job"):
        [spec] = [spec for key, spec in read.jobs.items() if job_name(key) == one.values["name"]]
        template = one.values["template"][0]["template"][0]
        limits = template["containers"][0]["resources"][0]["limits"]
        assert limits == {"cpu": f"{spec.cpu:g}", "memory": spec.memory}
        assert (template["timeout"], template["max_retries"]) == (f"{spec.timeout_seconds}s", spec.retries)
        assert one.values["template"][0]["parallelism"] == spec.parallelism
        assert pinned(template["containers"][0]).keys() == set(spec.secrets)
    schedules = {one.values["name"]: one.values for one in of(planned, "google_cloud_scheduler_job")}
    for key, schedule in read.schedules.items():
        found = schedules.pop(service_name(key))
        assert (found["schedule"], found["time_zone"]) == (schedule.cron, schedule.time_zone)
        assert found["attempt_deadline"] == f"{schedule.deadline_seconds}s"
        assert found["http_target"][0]["http_method"] == schedule.method
        assert found["http_target"][0]["oidc_token"][0]["audience"] == settings["caller_audience"]
    assert not schedules
    backup = {one.values["name"]: one.values for one in of(planned, "google_storage_bucket")}
    names = [settings[key] for key in ("backup_bucket", "backup_copy_bucket") if settings.get(key)]
    for name in names:
        values = backup[name.removeprefix("gs://")]
        bucket = read.buckets.backup
        assert int(values["retention_policy"][0]["retention_period"]) == bucket.retention_days * 86_400
        assert values["retention_policy"][0]["is_locked"] == bucket.retention_locked
        assert (
            values["soft_delete_policy"][0]["retention_duration_seconds"] == bucket.soft_delete_days * 86_400
        )
    data = backup[settings["storage_bucket"].removeprefix("gs://")]
    assert (
        data["soft_delete_policy"][0]["retention_duration_seconds"]
        == read.buckets.data.soft_delete_days * 86_400
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_backups_may_list_deletions_where_the_code_does(plans: Plans, environment: str) -> None:
    """The list of what readers deleted would not be completed, nor be where the points are after a loss."""
    planned = {one.address: one for one in resources(plans[environment])}
    for key in ("backup_neon", "backup_qdrant"):
        for name in (
            f"data/{key}/add/roles/storage.objectCreator",
            f"data/{key}/add/roles/storage.objectViewer",
            f"first/{key}/use/roles/storage.objectUser",
        ):
            grant = planned[f'google_storage_bucket_iam_member.function["{name}"]']
            assert "/objects/deletions/" in grant.values["condition"][0]["expression"]


def test_every_option_changes_the_plan(plans: Plans) -> None:
    """An option could be written into the file and do nothing."""
    text = json.dumps(plans["everything"]["resource_changes"])
    for expected in (
        "oncall@example.com",
        "012345-6789AB-CDEF01",
        "docs.example.com",
        "us-central1",
        "acme",
        "10.20.0.64/26",
        "europe-west4",
        "lectern-next",
        str(30 * 3600),
        str(9 * 86_400),
    ):
        assert expected in text
    kinds = {one.type for one in resources(plans["everything"])}
    declared = {
        kind
        for path in (ROOT / "terraform").rglob("*.tf")
        for kind in re.findall(r'^resource "(google_\w+)"', path.read_text(), re.MULTILINE)
    }
    assert declared == kinds, "a resource is never planned, with every option on"
