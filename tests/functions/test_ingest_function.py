"""The function ``ingest`` under gunicorn, with real jobs: what a schedule and a site's deploy hook see."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared import settings
from shared.answering.suggestions import OBJECT as SUGGESTIONS
from shared.errors import AccessDenied, RemovalNotAllowed, RequestError, TasksFailed, Unreachable
from shared.ingestion.launch import Progress, task_count
from shared.ingestion.parts import Hooks
from shared.ingestion.plan import Plan
from shared.ingestion.run import OVERTAKEN
from shared.ports import Run, RunShare
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import ingestion, suggested
from shared.wiring.ingest_api import IngestBody, Tasks, run_reply
from shared.wiring.ingest_requests import IngestRequests
from shared.wiring.jobs import COMMAND
from shared.wiring.openapi import INGEST
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from shared.wiring.tasks import run_tasks
from tests.fakes.cloud_run import FakeCloudRun
from tests.local_stack import Served, function, write_site
from tests.waiting import wait_for

KEY = "a-deploy-key-of-some-length"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack of this module's own. Its site is searched by words, so that a run takes a second; it may lose
    any number of pages.
    """
    folder = tmp_path_factory.mktemp("ingest")
    given = {"embedder": "none", "site_folder": str(folder / "site"), "site_base_url": "/docs"}
    with services(settings.load({}, home=str(folder / "home"), removal_limit=1.0, **given)) as ready:
        yield ready.settings


@pytest.fixture(scope="module")
def client(own: Settings) -> Iterator[Served]:
    """The function, as Cloud Run starts it."""
    with function("ingest", settings.environment(own)) as served:
        yield served


@pytest.fixture(autouse=True)
def site(own: Settings) -> Path:
    """The orchard's documentation, as it was."""
    shutil.rmtree(own.site_folder, ignore_errors=True)
    return write_site(Path(own.site_folder))


@contextmanager
def here(own: Settings, **more: Any) -> Iterator[IngestRequests]:
    """What the function does with requests, in this process."""
    clock = more.pop("clock", time.monotonic)
    with Parts(replace(own, **more)) as parts:
        yield IngestRequests(parts, clock=clock)


@contextmanager
def backup(own: Settings) -> Iterator[None]:
    """A backup under way: runs wait for it."""
    with Parts(own) as parts, parts.leases.hold("backup", "a backup", Deadline.after(20)):
        yield


def ended(client: Served, run: str) -> dict[str, Any]:
    """The run's progress once nobody works on it."""
    end = time.monotonic() + 90
    while (found := client.get(f"/ingest/{run}").json())["status"] in {"planned", "running"}:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


def executions(own: Settings) -> set[str]:
    folder = Path(own.home, "jobs")
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


# ---------------------------------------------------------------- over HTTP


def test_a_run_is_started_and_can_be_followed(client: Served, own: Settings) -> None:
    """A schedule would wait for hours, or nobody would learn how the run ended."""
    answer = client.post("/ingest")
    assert answer.status_code == 202, answer.text
    run = answer.json()["run"]
    assert answer.headers["location"] == f"/ingest/{run}"
    found = ended(client, run)
    assert (found["status"], found["phase"], found["error"]) == ("succeeded", "done", "")
    assert (found["report"]["pages"], found["pages"]["read"], found["tasks"]["total"]) == (4, 4, 1)
    assert found["created_at"] <= found["finished_at"]
    assert ingestion.live_generation(own) is not None


def test_whoever_asks_while_a_run_is_under_way_is_told_of_that_one(client: Served, own: Settings) -> None:
    """A deploy hook that fires twice, or a schedule that tries again, would start a second run."""
    before, answers, together = executions(own), list[str](), threading.Barrier(3)

    def ask() -> None:
        together.wait()
        answers.append(client.post("/ingest").json()["run"])

    with backup(own):
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(answers)) == 1
        assert client.post("/ingest", json={"plan": True}).json()["run"] == answers[0]
    waited = client.post("/ingest", json={"wait": True})
    assert (waited.status_code, waited.json()["run"]) == (200, answers[0])
    assert waited.json()["status"] == "succeeded"
    assert len(executions(own) - before) == 1


def test_a_run_whose_job_was_killed_says_so_and_is_gone_on_with(client: Served, own: Settings) -> None:
    """A run that ran out of memory would be under way for ever, and block every later one."""
    with backup(own):
        run = client.post("/ingest").json()["run"]
        os.kill(wait_for(lambda: working_on(run)), signal.SIGKILL)
        found = ended(client, run)
    assert found["status"] == "failed"
    assert "signal 9" in found["error"]
    again = client.post("/ingest", json={"wait": True})
    assert (again.json()["run"], again.json()["status"]) == (run, "succeeded"), again.text


@contextmanager
def at_work(own: Settings) -> Iterator[Run]:
    """A run of the site that an operator does, past its reading."""
    with Parts(own) as parts, parts.leases.hold("ingestion", "an operator", Deadline.after(20)):
        begun = ingestion.Wanted(own.site_folder, own.site_base_url).run("")
        parts.runs.begin(begun, Deadline.after(20))
        parts.runs.save_share(begun.id, RunShare(0, done=True), Deadline.after(20))
        parts.runs.save(replace(begun, status="running", phase="writing"), Deadline.after(20))
        yield parts.runs.get(begun.id, Deadline.after(20))


def test_a_deploy_during_a_run_is_followed_by_another_run(client: Served, own: Settings, site: Path) -> None:
    """What was deployed while a run worked would be missing until the next night."""
    client.post("/ingest", json={"wait": True})
    key = {"Idempotency-Key": "deploy-2"}
    with at_work(own) as working:
        (site / "quinces.md").write_text("# Quinces\n\nQuinces smell of roses.\n")
        answer = client.post("/ingest", headers=key)
        run = answer.json()["run"]
        assert (answer.status_code, run != working.id) == (202, True)
        assert client.post("/ingest").json()["run"] == run
        with Parts(own) as parts:
            assert parts.runs.get(working.id, Deadline.after(20)) == working
        assert client.get(f"/ingest/{working.id}").json()["status"] == "running"
    found = ended(client, run)
    assert (found["status"], found["report"]["added"]) == ("succeeded", 1), found
    assert client.post("/ingest", headers=key).json()["run"] == run
    assert client.get(f"/ingest/{working.id}").json()["error"] == "A later run did it."


@pytest.mark.parametrize("wait", [False, True])
def test_a_removal_is_not_allowed_while_a_run_is_under_way(
    client: Served, own: Settings, *, wait: bool
) -> None:
    """A run that follows would remove pages that nobody was shown."""
    before = executions(own)
    with at_work(own) as working:
        refused = client.post("/ingest", json={"allow_removal": True, "wait": wait})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "run_under_way")
    assert f"lectern ingest --run {working.id} --allow-removal" in refused.json()["error"]["hint"]
    assert executions(own) == before


def test_a_deploy_that_is_sent_again_after_its_run_was_overtaken_is_done(
    client: Served, own: Settings
) -> None:
    """Its tasks would find a run that has nothing more to say, and do nothing."""
    key = {"Idempotency-Key": "deploy-3"}
    with at_work(own), Parts(own) as parts:
        run = client.post("/ingest", headers=key).json()["run"]
        wait_for(lambda: working_on(run))
        os.kill(working_on(run), signal.SIGKILL)
        assert ended(client, run)["status"] == "failed"
        failed = parts.runs.get(run, Deadline.after(20))
        parts.runs.save(replace(failed, status="failed", error=OVERTAKEN), Deadline.after(20))
        again = client.post("/ingest", headers=key, json={"tasks": 2}).json()["run"]
        assert again != run
    assert ended(client, again)["status"] == "succeeded"
    assert client.get(f"/ingest/{run}").json()["error"] == OVERTAKEN


def test_tasks_of_the_command_line_wait_for_whoever_works(own: Settings, site: Path) -> None:
    """`lectern ingest --tasks` would throw away what a process at work has read."""
    told: list[str] = []
    with ExitStack() as at_once:
        working = at_once.enter_context(at_work(own))
        left: list[Run] = []

        def sleep(seconds: float) -> None:
            if not left:
                with Parts(own) as parts:
                    left.append(parts.runs.get(working.id, Deadline.after(20)))
                at_once.close()
            time.sleep(seconds)

        wanted = ingestion.Wanted(str(site), own.site_base_url, tasks=2)
        report = run_tasks(own, wanted, Hooks(waiting=told.append), sleep=sleep)
    assert (left, report.pages, report.run != working.id) == ([working], 4, True)
    assert working.id in told[0]


def test_tasks_of_the_command_line_can_be_allowed_a_removal(own: Settings, site: Path) -> None:
    """A site that really lost its pages could not be ingested by many tasks any more."""
    write_site(site, {f"{n}.md": f"# Row {n}\n\nText of row {n}.\n" for n in range(12)})
    strict = replace(own, removal_limit=0.2)
    wanted = ingestion.Wanted(str(site), own.site_base_url, tasks=2)
    run_tasks(own, wanted, Hooks())
    for number in range(10):
        (site / f"{number}.md").unlink()
    with pytest.raises(TasksFailed, match="remove 10 of 16 pages"):
        run_tasks(strict, wanted, Hooks())
    assert run_tasks(strict, replace(wanted, allow_removal=True), Hooks()).removed == 10


def working_on(run: str) -> int:
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if run in words and "shared.cli.main" in words:
            return int(process.pid)
    return 0


def test_a_small_run_fits_into_the_request(client: Served, own: Settings, site: Path) -> None:
    """A deploy hook could not wait for the site to be answered from."""
    client.post("/ingest", json={"wait": True})
    before = executions(own)
    (site / "quinces.md").write_text("# Quinces\n\nQuinces smell of roses.\n")
    answer = client.post("/ingest", json={"wait": True})
    assert answer.status_code == 200
    assert (answer.json()["report"]["added"], answer.json()["report"]["unchanged"]) == (1, 4)
    assert executions(own) == before


def test_a_schedule_that_tries_again_gets_the_same_run(client: Served) -> None:
    """A lost answer would cost a second run of the same night."""
    when = {"X-CloudScheduler-ScheduleTime": "2026-11-25T02:00:00Z"}
    first = client.post("/ingest", json={"wait": True}, headers=when).json()["run"]
    assert first.startswith("20261125T020000Z-")
    again = client.post("/ingest", headers=when)
    assert (again.status_code, again.json()["run"], again.json()["status"]) == (200, first, "succeeded")
    hook = [client.post("/ingest", json={"wait": True}, headers={"Idempotency-Key": "b1"}) for _ in "12"]
    assert len({one.json()["run"] for one in hook}) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tasks": 65}, "tasks"),
        ({"tasks": "2"}, "tasks"),
        ({"wait": "yes"}, "wait"),
        ({"colour": "red"}, "colour"),
        ({"source": "/etc"}, "source"),
        ({"source": "https://evil.example/"}, "source"),
    ],
)
def test_a_wrong_body_is_refused_by_name(client: Served, body: dict[str, Any], message: str) -> None:
    """A misspelt field would start a run of another kind; a foreign place would be answered from."""
    refused = client.post("/ingest", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert message in refused.json()["error"]["message"]


def test_a_run_that_nobody_knows_is_not_found(client: Served) -> None:
    """A script that follows a run would read an error page as progress."""
    missing = client.get("/ingest/20261125T020000Z-000000")
    assert missing.status_code == 404
    assert set(missing.json()["error"]) == {"code", "message", "hint", "request_id"}
    assert missing.json()["error"]["code"] == "unknown_run"


def test_the_deploy_key_opens_it_and_nothing_else_does(own: Settings) -> None:
    """Anybody could have the site read again and again, at the operator's cost."""
    with function("ingest", guarded(own, "verify")) as client:
        for headers in ({}, {"X-Deploy-Key": KEY[:-1]}, {"X-Deploy-Key": KEY + "x"}, {"X-Api-Key": KEY}):
            for answer in (client.post("/ingest", headers=headers), client.get("/ingest/x", headers=headers)):
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
        assert client.get("/ingest/x", headers={"X-Deploy-Key": KEY}).status_code == 404
        assert KEY not in client.said()
        assert "deploy-hook" in client.said()


def test_a_key_beside_unverified_tokens_is_refused_at_the_start(own: Settings) -> None:
    """Where Cloud Run's check does not stand in front, anybody could write a token of the scheduler's."""
    done = subprocess.run(
        [sys.executable, "-c", "import functions.ingest"],
        cwd=ROOT,
        env=guarded(own, "platform"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "caller_mode verify" in done.stderr
    assert KEY not in done.stderr


def guarded(own: Settings, mode: str) -> dict[str, str]:
    return {
        **settings.environment(own),
        "LECTERN_CALLER_MODE": mode,
        "LECTERN_CALLER_AUDIENCE": "https://ingest.example",
        "LECTERN_CALLER_EMAILS": "scheduler@project.iam.gserviceaccount.com",
        "LECTERN_DEPLOY_HOOK_KEY": KEY,
    }


def test_every_path_is_described(client: Served) -> None:
    """A path would be there that nobody knows of, or be described and not there."""
    for one in INGEST:
        path = one.path.replace("{run}", "20261125T020000Z-000000")
        allowed = client.request("OPTIONS", path).headers["allow"]
        assert one.method in allowed.split(", ")


# ---------------------------------------------------------------- in this process


def test_suggestions_are_made_at_its_end(own: Settings) -> None:
    """Readers would be offered what the site said before."""
    with here(own) as requests:
        requests.post(IngestBody(wait=True), {})
    with Parts(own) as parts:
        shown = suggested.Suggested(parts.suggestions, parts.memory, parts.object_store)
        found = [one.question for one in shown.for_page("/docs/apples/picking", "", "")]
        assert found[:2] == ["When do I pick?", "How do I store?"]
        away = suggested.Suggested(Away(), parts.memory, parts.object_store)  # type: ignore[arg-type]
        assert [one.question for one in away.for_page("/docs/apples/picking", "", "")] == found
        parts.object_store.delete(SUGGESTIONS, Deadline.after(10))
    with here(own) as requests:  # nothing has changed but that the bucket was lost
        requests.post(IngestBody(wait=True), {})
    with Parts(own) as parts:
        assert parts.object_store.stat(SUGGESTIONS, Deadline.after(10)).size > 0


class Away:
    """A store in a database that is down."""

    def find(self, *_: object) -> object:
        raise Unreachable("neon", "read the suggestions", "it is down")


def test_a_run_that_has_to_wait_too_long_is_left_to_a_job(own: Settings) -> None:
    """The request would be cut off while it waits for a backup, and the run not be done at all."""
    with here(own, ingest_request_seconds=1.0) as requests:
        with backup(own):
            found = requests.post(IngestBody(wait=True), {})
            assert isinstance(found, Progress)
            assert found.works
        wait_for(lambda: not requests.get(found.run.id).works)
        assert requests.get(found.run.id).status == "succeeded"


def test_a_run_that_does_not_fit_is_gone_on_with_by_a_job(own: Settings) -> None:
    """The request would be cut off in the middle, and half of the work be lost or go on unseen."""
    over: list[bool] = []
    with Parts(own) as other:

        def clock() -> float:
            """The time is over once the run is under way."""
            if over or other.leases.is_held("ingestion", Deadline.after(20)):
                over.append(True)
            return 10_000.0 if over else 0.0

        with here(own, clock=clock) as requests:
            found = requests.post(IngestBody(wait=True), {})
            assert isinstance(found, Progress)
            assert found.works
            assert other.run_starts.find(found.run.id, Deadline.after(20)) is not None
            wait_for(lambda: not requests.get(found.run.id).works)
            assert requests.get(found.run.id).status == "succeeded"


def test_a_plan_changes_nothing(own: Settings, site: Path) -> None:
    """A writer would learn what a run removes by having it removed."""
    with here(own) as requests:
        requests.post(IngestBody(wait=True), {})
        before = ingestion.live_generation(own)
        (site / "quinces.md").write_text("# Quinces\n\nQuinces smell of roses.\n")
        (site / "pears.md").unlink()
        found = requests.post(IngestBody(plan=True), {})
        assert isinstance(found, Plan)
        assert (found.added, found.removed) == (("/docs/quinces",), ("/docs/pears",))
        assert found.counts.unchanged == 3
        assert ingestion.live_generation(own) == before


def test_a_site_that_lost_its_pages_is_asked_about(own: Settings, site: Path) -> None:
    """A broken build would empty the index overnight."""
    write_site(site, {f"{n}.md": f"# Row {n}\n\nText of row {n}.\n" for n in range(12)})
    with here(own) as requests:
        requests.post(IngestBody(wait=True), {})
    for number in range(10):
        (site / f"{number}.md").unlink()
    with here(own, removal_limit=0.2) as requests:
        with pytest.raises(RemovalNotAllowed):
            requests.post(IngestBody(wait=True), {})
        done = requests.post(IngestBody(wait=True, allow_removal=True), {})
        assert isinstance(done, Progress)
        assert done.run.report is not None
        assert done.run.report["removed"] == 10


def test_a_place_below_the_site_may_be_named_and_none_above(own: Settings, site: Path) -> None:
    """A hook could not name its build, or could have any folder of the machine indexed."""
    with here(own) as requests:
        below = requests.post(IngestBody(plan=True, source=f"{site}/apples"), {})
        assert isinstance(below, Plan)
        for source in (f"{site}/apples/../../..", f"{site}x", str(site.parent), f"{site}/a\n"):
            with pytest.raises(RequestError, match="configured site"):
                requests.post(IngestBody(plan=True, source=source), {})


def test_without_a_site_it_says_what_to_set(own: Settings) -> None:
    """A new installation would be told that something went wrong."""
    with here(own, site_folder="") as requests, pytest.raises(RequestError, match="LECTERN_SITE_FOLDER"):
        requests.post(IngestBody(), {})


def test_the_tasks_of_a_cloud_run_job_share_a_site(own: Settings) -> None:
    """On Google Cloud the second task would find nothing to do, or do all of it again."""
    with FakeCloudRun() as fake:
        fake.jobs.add("lectern-ingest-job", list(COMMAND), env=settings.environment(own), retries=0)
        with here(own, project="p", region="r", cloud_run_endpoint=fake.endpoint) as requests:
            found = requests.post(IngestBody(tasks=2), {})
            assert isinstance(found, Progress)
            wait_for(lambda: not requests.get(found.run.id).works)
            done = run_reply(requests.get(found.run.id))
            assert (done.status, done.tasks, done.error) == ("succeeded", Tasks(2, 2), "")
            assert done.report is not None
            assert done.report["pages"] == 4
            fake.faults.append("cut")
            assert requests.get(found.run.id).status == "succeeded"


def test_a_job_that_cannot_be_started_is_not_taken_for_one(own: Settings, site: Path) -> None:
    """After a missing permission was given, the next call would be told that a run is under way."""
    with FakeCloudRun() as fake:
        fake.jobs.add("lectern-ingest-job", [sys.executable, "-c", "pass"])
        fake.jobs.denied.add("run.jobs.runWithOverrides")
        with here(own, project="p", region="r", cloud_run_endpoint=fake.endpoint) as requests:
            with pytest.raises(AccessDenied):
                requests.post(IngestBody(), {})
            fake.jobs.denied.clear()
            found = requests.post(IngestBody(allow_removal=True, tasks=3), {})
            assert isinstance(found, Progress)
        [run] = fake.jobs.runs
        assert run["overrides"]["containerOverrides"] == [
            {"args": ["ingest", "--run", found.run.id, "--allow-removal"]}
        ]
        assert run["overrides"]["taskCount"] == 3


@pytest.mark.parametrize(("pages", "tasks"), [(0, 1), (2000, 1), (2001, 2), (10_000_000, 16)])
def test_tasks_follow_the_size_of_the_site(pages: int, tasks: int) -> None:
    """A large site would take all night, or a small one pay for sixteen starts."""
    assert task_count(pages) == tasks
