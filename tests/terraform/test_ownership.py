"""Who owns what: Terraform leaves alone what releases and rollbacks change, and puts back what is its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from shared.delivery.platform import service_name
from shared.delivery.platform_file import load_platform
from shared.settings import ROOT
from tests.terraform.stub.provider import Cloud
from tests.terraform.stub.server import serving
from tests.terraform.workspace import ENVIRONMENTS, Workspace, lay_out

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
NO_CHANGE, CHANGES = 0, 2
VARIABLES = ENVIRONMENTS["staging"]
CONFIG = ROOT / "config"


class Applied:
    """An environment that was applied, and the cloud in which it is."""

    def __init__(self, workspace: Workspace, cloud: Cloud) -> None:
        self.workspace = workspace
        self.cloud = cloud

    def plan(self, *more: str) -> int:
        ran = self.workspace.run(
            "plan", "-detailed-exitcode", "-input=false", "-lock=false", "-no-color", *VARIABLES, *more
        )
        assert ran.code in {NO_CHANGE, CHANGES}, ran.err
        return ran.code


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    folder, cloud = tmp_path_factory.mktemp("owned"), Cloud()
    with serving(folder, cloud) as environ:
        workspace = lay_out(folder, environ)
        workspace.must("init", "-input=false")
        workspace.must("apply", "-auto-approve", "-input=false", *VARIABLES)
        yield Applied(workspace, cloud)


@pytest.fixture
def chat(applied: Applied) -> Iterator[dict[str, Any]]:
    """Chat's service in the cloud, to be changed by a test and put back afterwards."""
    state = applied.cloud.find("google_cloud_run_v2_service", "lectern-chat")
    before = copy.deepcopy(state)
    yield state
    state.clear()
    state.update(before)


def release(service: dict[str, Any], revision: str, digest: str) -> None:
    """What deploying does to a service: another image, other values, labels of the client, a tag."""
    [template] = service["template"]
    [container] = template["containers"]
    template |= {"revision": revision, "labels": {"client.knative.dev/nonce": "a"}, "timeout": "90s"}
    container["image"] = f"europe-west1-docker.pkg.dev/p/lectern/lectern@sha256:{digest * 64}"
    container["resources"] = [{**container["resources"][0], "limits": {"cpu": "2", "memory": "2Gi"}}]
    container["env"] = [
        *container["env"][:3],
        {"name": "LECTERN_RELEASE", "value": revision, "value_source": []},
    ]
    service |= {"client": "gcloud", "client_version": "528.0.0", "latest_ready_revision": revision}


def split(service: dict[str, Any], **shares: int) -> None:
    service["traffic"] = [
        {
            "type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION",
            "revision": revision,
            "percent": percent,
            "tag": f"c-{revision}",
        }
        for revision, percent in shares.items()
    ]


def test_a_fresh_apply_leaves_nothing_to_do(applied: Applied) -> None:
    """Every plan would show changes that are none."""
    assert applied.plan() == NO_CHANGE


def test_each_schedule_calls_its_function(applied: Applied) -> None:
    """The full drill would be asked of a function that is not there, once a quarter."""
    wanted = load_platform("staging", CONFIG).platform.schedules
    assert {"drill", "drill_full"} <= set(wanted)
    for key, schedule in wanted.items():
        made = applied.cloud.find("google_cloud_scheduler_job", service_name(key))
        called = applied.cloud.find("google_cloud_run_v2_service", service_name(schedule.function or key))
        assert made["http_target"][0]["uri"] == f"{called['uri']}{schedule.path}"


def test_the_first_image_counts_once(applied: Applied) -> None:
    """Whoever applies later without naming the image would take every reader to a page that says hello."""
    assert applied.plan("-var", "image=") == NO_CHANGE


def test_no_change_before_during_and_after_a_release_and_after_a_rollback(
    applied: Applied, chat: dict[str, Any]
) -> None:
    """An apply in the middle of a canary would move every reader, and one after a rollback would undo it."""
    assert applied.plan() == NO_CHANGE
    release(chat, "r2", "a")
    split(chat, r1=90, r2=10)
    assert applied.plan() == NO_CHANGE, "while a canary runs"
    split(chat, r1=0, r2=100)
    assert applied.plan() == NO_CHANGE, "after the release"
    split(chat, r1=100, r2=0)
    assert applied.plan() == NO_CHANGE, "after the rollback"


def test_no_change_when_a_job_was_deployed_and_schedules_are_paused(applied: Applied) -> None:
    """An apply during a restore would set the schedules going again."""
    job = applied.cloud.find("google_cloud_run_v2_job", "lectern-ingest-job")
    job["template"][0]["template"][0]["containers"][0]["image"] = "another"
    schedule = applied.cloud.find("google_cloud_scheduler_job", "lectern-ingest")
    schedule["paused"] = True
    assert applied.plan() == NO_CHANGE
    schedule["paused"] = False


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("invoker_iam_disabled", False),
        ("ingress", "INGRESS_TRAFFIC_INTERNAL_ONLY"),
        ("max_instance_count", 50),
    ],
)
def test_what_is_terraforms_is_put_back(
    applied: Applied, chat: dict[str, Any], attribute: str, value: object
) -> None:
    """A change in the console would stay unseen; the tests above could pass because nothing is read."""
    (chat["scaling"][0] if attribute in chat["scaling"][0] else chat)[attribute] = value
    assert applied.plan() == CHANGES


def test_without_the_rule_a_release_would_be_undone(applied: Applied, chat: dict[str, Any]) -> None:
    """The tests above must fail when `ignore_changes` goes."""
    file = applied.workspace.root / "modules/function/main.tf"
    text = file.read_text()
    release(chat, "r2", "a")
    split(chat, r1=90, r2=10)
    try:
        file.write_text(text.replace("[template, traffic, build_config, client, client_version]", "[client]"))
        assert applied.plan() == CHANGES
    finally:
        file.write_text(text)


def test_the_state_holds_no_value_of_a_secret(applied: Applied) -> None:
    """Whoever may plan could read passwords."""
    state = (applied.workspace.root / "terraform.tfstate").read_text()
    assert "secret_data" not in state
    assert "postgres" not in state
    assert "google_secret_manager_secret_version" not in state
