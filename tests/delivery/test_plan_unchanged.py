"""A release and a rollback on Cloud Run, and the real `terraform plan` before, during and after."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.delivery.platform import FUNCTIONS, service_name
from tests.delivery.place import Built, Place
from tests.terraform.mirror import mirror
from tests.terraform.stub.provider import Cloud
from tests.terraform.stub.server import serving
from tests.terraform.workspace import ENVIRONMENTS, Workspace, lay_out

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
VARIABLES = ENVIRONMENTS["staging"]
NO_CHANGE, CHANGES = 0, 2


class Watched:
    """Terraform beside the Cloud Run that releases work on."""

    def __init__(self, place: Place, workspace: Workspace, cloud: Cloud) -> None:
        self._place = place
        self._workspace = workspace
        self._cloud = cloud
        self._seen = self.services()

    def services(self) -> dict[str, Any]:
        run = self._place.run
        parent = f"{run.endpoint}/v2/projects/{run.project}/locations/{run.region}/services"
        names = [service_name(one) for one in FUNCTIONS]
        return {name: httpx.get(f"{parent}/{name}", trust_env=False).json() for name in names}

    def plan(self, now: dict[str, Any] | None = None) -> tuple[int, str]:
        """Bring over what changed on Cloud Run until now, or until what was seen, then plan: exit code, and
        what would be done.
        """
        now = now or self.services()
        for name, service in now.items():
            mirror(self._cloud, self._seen[name], service)
        self._seen = now
        ran = self._workspace.run(
            "plan", "-detailed-exitcode", "-input=false", "-lock=false", "-no-color", *VARIABLES
        )
        return ran.code, ran.out[-3000:] + ran.err


@pytest.fixture
def watched(somewhere: Place, base: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, cloud = tmp_path_factory.mktemp("terraform"), Cloud()
    with serving(folder, cloud) as environ:
        workspace = lay_out(folder, environ)
        workspace.must("init", "-input=false")
        workspace.must("apply", "-auto-approve", "-input=false", *VARIABLES)
        yield Watched(somewhere, workspace, cloud)


def test_terraform_sees_no_change_before_during_and_after_a_release_and_a_rollback(
    somewhere: Place, base: Built, watched: Watched
) -> None:
    """An apply in the middle of a canary, or after a rollback, would move every reader by itself."""
    assert watched.plan()[0] == NO_CHANGE, "before"
    somewhere.canary |= {"steps": [10, 100], "step_seconds": 3, "questions": 10}
    built = somewhere.build()
    for words in (
        ("release", "deploy", "--commit", built.commit, "--image", built.image),
        ("release", "smoke", built.commit),
    ):
        done = somewhere.lectern(built, *words)
        assert done.code == 0, done.err
        code, words_of_plan = watched.plan()
        assert code == NO_CHANGE, words_of_plan
    shares = during_canary(somewhere, built, watched)
    assert any(len(split) == 2 for split in shares), "readers were never split"
    for seen in shares.values():
        code, words_of_plan = watched.plan(seen)
        assert code == NO_CHANGE, words_of_plan
    assert somewhere.lectern(built, "release", "finish", built.commit).code == 0
    assert watched.plan()[0] == NO_CHANGE, "after the release"
    assert somewhere.one_set() == built.commit[:7]

    back = somewhere.lectern(built, "rollback", "--reason", "a test")
    assert back.code == 0, back.err
    assert watched.plan()[0] == NO_CHANGE, "after the rollback"
    assert somewhere.one_set() == base.commit[:7]

    line = (
        f"gcloud run services update-traffic lectern-chat --to-revisions lectern-chat-{built.commit[:7]}=100"
    )
    assert somewhere.gcloud(line).code == 0
    assert watched.plan()[0] == NO_CHANGE, "after gcloud moved traffic"


def during_canary(place: Place, built: Built, watched: Watched) -> dict[tuple[str, ...], dict[str, Any]]:
    """The services as they were at each split of chat's readers. A plan takes longer than a share lasts."""
    canary = place.start(built, "release", "canary", built.commit)
    shares: dict[tuple[str, ...], dict[str, Any]] = {}
    while canary.poll() is None:
        split = tuple(sorted(place.serving()["lectern-chat"]))
        if split not in shares:
            shares[split] = watched.services()
        with contextlib.suppress(subprocess.TimeoutExpired):
            canary.wait(0.05)
    _, said = canary.communicate()
    assert canary.returncode == 0, said
    return shares


def test_a_change_of_what_is_terraforms_is_seen(watched: Watched) -> None:
    """The test above would pass if nothing were brought over."""
    service = watched.services()["lectern-chat"]
    mirror(watched._cloud, service, {**service, "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"})
    assert watched.plan()[0] == CHANGES
