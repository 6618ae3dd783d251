"""The port of services: google-cloud-run against a Cloud Run with real processes, and services in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.adapters.cloud_run_services import CloudRunServices
from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.ports import Change, HttpProbe, Service, Services, Target, Template
from shared.resilience.deadline import Deadline
from tests.fakes.cloud_run.errors import RunError
from tests.fakes.cloud_run.local import LocalCloudRun
from tests.fakes.cloud_run.memory import MemoryServices

CHAT = "lectern-chat"
AWAY = "lectern-chat@us-central1"
_HANDLER = """def chat(request):
    return "{word}", 200
"""


@dataclass
class Shop:
    """An implementation with one service in two regions, ``lectern-chat``, on its first revision; ``images``
    by word, of which ``broken`` does not come up.
    """

    services: Services
    images: dict[str, str]
    fresh: Callable[[], str]
    cloud: LocalCloudRun | None = None

    def get(self, key: str = CHAT) -> Service:
        return self.services.get(key, Deadline.after(30))

    def change(self, service: Service, **what: object) -> Service:
        return self.services.change(service, Change(**what), Deadline.after(60))  # type: ignore[arg-type]

    def template(self, revision: str, word: str = "good", **more: object) -> Template:
        own = {
            "revision": revision,
            "image": self.images[word],
            "environment": {"FUNCTION_SOURCE": "functions/chat.py", "FUNCTION_TARGET": "chat", "A": "b"},
            "secrets": {"KEY": ("lectern-key", "1")},
            "account": "lectern-chat@p.iam.gserviceaccount.com",
            "cpu": 1,
            "memory": "512Mi",
            "timeout_seconds": 30,
            "concurrency": 4,
            "startup": HttpProbe("/", 2, 2, 30),
        }
        return Template(**{**own, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalCloudRun, dict[str, str]]]:
    """A Cloud Run and three small images."""
    folder = tmp_path_factory.mktemp("images")
    own = {("lectern-key", "1"): "k"}
    with LocalCloudRun(secrets=own, traffic_seconds=0.05, second_region="us-central1") as made:
        images = {word: made.images.push(tree(folder / word, word)) for word in ("first", "good", "broken")}
        yield made, images


def tree(folder: Path, word: str) -> Path:
    (folder / "functions").mkdir(parents=True)
    text = "raise RuntimeError\n" if word == "broken" else _HANDLER.format(word=word)
    (folder / "functions" / "chat.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(params=["cloud_run", "memory"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """Each implementation."""
    names = iter(range(1, 100))
    if request.param == "memory":
        memory = MemoryServices(broken={"broken"})
        memory.add(CHAT)
        memory.add(AWAY)
        words = {word: word for word in ("first", "good", "broken")}
        yield Shop(memory, words, lambda: f"{CHAT}-r{next(names)}")
        return
    made, images = request.getfixturevalue("cloud")
    env = [
        {"name": name, "value": value}
        for name, value in (("FUNCTION_SOURCE", "functions/chat.py"), ("FUNCTION_TARGET", "chat"))
    ]
    probe = {"httpGet": {"path": "/"}}
    first = {"containers": [{"image": images["first"], "env": env, "startupProbe": probe}]}
    wanted = (made.region, "us-central1") if "region" in request.node.name else (made.region,)
    for region in wanted:
        made.stores[region].services.pop(CHAT, None)
        made.stores[region].create(CHAT, first, public=True)
    client = CloudRunServices(made.project, made.region, endpoint=made.endpoint)
    kind = request.node.name.partition("[")[0][5:25].replace("_", "").lower()
    yield Shop(client, images, lambda: f"{CHAT}-{kind}{next(names)}", made)
    client.close()


def test_a_service_that_follows_the_newest_revision_says_so(shop: Shop) -> None:
    """A deployment would not know that it has to hold readers back first."""
    found = shop.get()
    assert [(one.revision, one.percent) for one in found.traffic] == [("", 100)]
    assert found.newest == found.newest_ready
    assert found.settled


def test_one_change_deploys_and_holds_readers(shop: Shop) -> None:
    """Readers would meet a candidate between two calls."""
    before, revision = shop.get(), shop.fresh()
    made = shop.change(before, traffic=(Target(before.newest_ready, 100),), template=shop.template(revision))
    assert [(one.revision, one.percent) for one in made.traffic] == [(before.newest_ready, 100)]
    assert (made.newest, made.newest_ready) == (revision, revision)
    found = shop.services.revision(CHAT, revision, Deadline.after(30))
    assert (found.ready, found.image, found.environment["A"]) == (True, shop.images["good"], "b")
    assert "KEY" not in found.environment


def test_a_tag_has_an_address(shop: Shop) -> None:
    """A candidate could not be asked before readers are."""
    before, revision = shop.get(), shop.fresh()
    stable = before.newest_ready
    made = shop.change(before, traffic=(Target(stable, 100),), template=shop.template(revision))
    made = shop.change(made, traffic=(Target(stable, 90, "stable"), Target(revision, 10, "c-1")))
    urls = {one.tag: one.url for one in made.traffic}
    assert set(urls) == {"stable", "c-1"}
    assert all(urls.values())
    assert urls["stable"] != urls["c-1"]


def test_annotations_are_merged_and_removed(shop: Shop) -> None:
    """A release would lose what another part of it has written down."""
    made = shop.change(shop.get(), annotations={"lectern/a": "1", "lectern/b": "2"})
    made = shop.change(made, annotations={"lectern/a": "", "lectern/c": "3"})
    own = {key: text for key, text in made.annotations.items() if key.startswith("lectern/")}
    assert own == {"lectern/b": "2", "lectern/c": "3"}


def test_an_old_state_cannot_be_changed_from(shop: Shop) -> None:
    """Two that change the same service would undo each other's work."""
    old = shop.get()
    shop.change(old, annotations={"lectern/x": "1"})
    with pytest.raises(PreconditionFailed):
        shop.change(old, annotations={"lectern/x": "2"})
    assert shop.get().annotations["lectern/x"] == "1"


def test_a_container_that_does_not_come_up_is_rejected_and_gets_nobody(shop: Shop) -> None:
    """A release would wait for ever, or readers would be sent to it."""
    before, revision = shop.get(), shop.fresh()
    with pytest.raises(Rejected, match="not ready"):
        shop.change(
            before, traffic=(Target(before.newest_ready, 100),), template=shop.template(revision, "broken")
        )
    assert not shop.services.revision(CHAT, revision, Deadline.after(30)).ready
    found = shop.get()
    assert found.newest_ready == before.newest_ready
    assert not found.settled
    # Traffic can be moved all the same.
    moved = shop.change(found, traffic=(Target(before.newest_ready, 100, "stable"),))
    assert [one.tag for one in moved.traffic] == ["stable"]


@pytest.mark.parametrize(
    "traffic", [(Target(f"{CHAT}-nothing", 100),), (Target("", 60),)], ids=["no such revision", "60 percent"]
)
def test_traffic_that_leads_nowhere_is_rejected(shop: Shop, traffic: tuple[Target, ...]) -> None:
    """Readers would get errors from Cloud Run itself."""
    before = shop.get()
    with pytest.raises(Rejected):
        shop.change(before, traffic=traffic)
    assert shop.get().traffic == before.traffic


def test_a_service_of_another_region_is_another_service(shop: Shop) -> None:
    """A release would change one region twice and leave the other as it was."""
    here, there, revision = shop.get(), shop.get(AWAY), shop.fresh()
    assert (here.name, there.name) == (CHAT, AWAY)
    assert here.url != there.url
    template = shop.template(revision)
    made = shop.change(there, traffic=(Target(there.newest_ready, 100, "stable"),), template=template)
    assert (made.name, made.newest_ready) == (AWAY, revision)
    with pytest.raises(Missing):
        shop.services.revision(CHAT, revision, Deadline.after(30))
    assert shop.get() == here
    # The same name in both regions, as each release has it.
    shop.change(here, traffic=(Target(here.newest_ready, 100),), template=template)
    made = shop.change(made, traffic=(Target(revision, 100, "stable"),), annotations={"lectern/a": "1"})
    assert [(one.revision, one.percent) for one in made.traffic] == [(revision, 100)]
    assert [(one.revision, one.percent) for one in shop.get().traffic] == [(here.newest_ready, 100)]
    assert "lectern/a" not in shop.get().annotations
    assert shop.services.revision(AWAY, revision, Deadline.after(30)).ready


def test_what_is_not_there_is_missing(shop: Shop) -> None:
    """A wrong project or region would look like a broken service."""
    with pytest.raises(Missing):
        shop.services.get("lectern-nobody", Deadline.after(30))
    with pytest.raises(Missing):
        shop.services.revision(CHAT, f"{CHAT}-nobody", Deadline.after(30))
    with pytest.raises(Missing):
        shop.services.get(f"{CHAT}@europe-north1", Deadline.after(30))


# ------------------------------------------------------------ the adapter alone


@pytest.fixture
def wired(cloud: tuple[LocalCloudRun, dict[str, str]]) -> Iterator[tuple[CloudRunServices, LocalCloudRun]]:
    made, images = cloud
    if CHAT not in made.store.services:
        made.store.create(CHAT, {"containers": [{"image": images["first"]}]}, wait=False)
    client = CloudRunServices(made.project, made.region, endpoint=made.endpoint)
    yield client, made
    client.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RunError(403, "no"), AccessDenied),
        (RunError(401, "who"), AccessDenied),
        (RunError(429, "slow down", retry_after="7"), Throttled),
        (RunError(500, "oops"), Overloaded),
        (RunError(503, "busy"), Overloaded),
        (RunError(400, "what"), Rejected),
        ("cut", Unreachable),
        ("garbage", Garbled),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_faults_are_errors_of_ours_and_are_not_tried_again(
    wired: tuple[CloudRunServices, LocalCloudRun], fault: RunError | str, kind: type[DependencyError]
) -> None:
    """A rollback would end in a stack trace, or wait in a client's own retries."""
    client, made = wired
    before = len(made.api.requests)
    made.api.faults.append(fault)
    with pytest.raises(kind) as caught:
        client.get(CHAT, Deadline.after(5))
    assert len(made.api.requests) == before + 1
    assert caught.value.service == "cloud-run"
    if kind is Throttled:
        assert caught.value.retry_after == 7.0


def test_no_time_is_a_time_out(wired: tuple[CloudRunServices, LocalCloudRun]) -> None:
    """A rollback would hang instead of saying that it does."""
    client, made = wired
    with pytest.raises(TimedOut):
        client.get(CHAT, Deadline.after(0))
    made.api.faults.append("hang")
    with pytest.raises(TimedOut):
        client.get(CHAT, Deadline.after(0.3))


def test_a_job_is_deployed_once(wired: tuple[CloudRunServices, LocalCloudRun]) -> None:
    """A job would run another release than the functions, or get a new version from each release that changes
    nothing.
    """
    client, made = wired
    parent = f"projects/{made.project}/locations/{made.region}"
    made.jobs.add("lectern-drill-job", ["true"], parent=parent)
    template = Template(
        revision="",
        image="i@sha256:1",
        environment={"A": "b"},
        secrets={"KEY": ("lectern-key", "1")},
        account="lectern-drill@p.iam.gserviceaccount.com",
        cpu=2,
        memory="1Gi",
        timeout_seconds=600,
        command=("python", "-m", "shared.cli.main"),
        retries=1,
        parallelism=2,
    )
    client.deploy("lectern-drill-job", template, Deadline.after(20))
    job = made.jobs.jobs[f"{parent}/jobs/lectern-drill-job"]
    task = job["template"]["template"]
    assert task["containers"][0]["image"] == "i@sha256:1"
    assert (task["maxRetries"], task["timeout"], job["template"]["parallelism"]) == (1, "600s", 2)
    generation = job["generation"]
    client.deploy("lectern-drill-job", template, Deadline.after(20))
    assert job["generation"] == generation
    with pytest.raises(Missing):
        client.deploy("lectern-nobody-job", template, Deadline.after(20))
