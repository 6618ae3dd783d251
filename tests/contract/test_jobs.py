"""The contract of :class:`shared.ports.Jobs`: child processes of this machine, and Cloud Run's adapter before
a fake whose tasks are child processes, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared import errors
from shared.adapters.cloud_run import CloudRunJobs
from shared.embedded.jobs import KEPT, LocalJobs
from shared.ports import Execution, Jobs
from shared.resilience.deadline import Deadline
from tests.fakes.cloud_run import FakeCloudRun, RunError
from tests.waiting import wait_for

TASK = """
import json, os, pathlib, sys, time
index = int(os.environ["CLOUD_RUN_TASK_INDEX"])
own = {key: value for key, value in os.environ.items() if key.startswith("CLOUD_RUN")}
folder = pathlib.Path(os.environ["FOLDER"])
attempt = own["CLOUD_RUN_TASK_ATTEMPT"]
(folder / f"new-{index}-{attempt}").write_text(json.dumps({"args": sys.argv[1:], "pid": os.getpid(), **own}))
(folder / f"new-{index}-{attempt}").rename(folder / f"task-{index}-{attempt}")
end = time.monotonic() + 30
while "wait" in sys.argv and not (folder / "go").exists() and time.monotonic() < end:
    time.sleep(0.01)
if f"fail-{index}" in sys.argv:
    print("first", "\\nthe reason is plain", file=sys.stderr)
    sys.exit(3)
"""


@dataclass
class Place:
    """One implementation. ``another`` makes what a second process would use; ``folder`` is the tasks'."""

    jobs: Jobs
    another: Callable[[], Jobs]
    folder: Path
    fake: FakeCloudRun | None = None

    def task(self, index: int, attempt: int = 0) -> dict[str, object]:
        path = self.folder / f"task-{index}-{attempt}"
        wait_for(path.exists)
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    def ended(self, name: str) -> Execution:
        end = time.monotonic() + 30
        while (found := self.jobs.execution(name, soon())).state == "running":
            assert time.monotonic() < end
            time.sleep(0.02)
        return found


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.fixture(params=["local", "cloud_run"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    program = tmp_path / "task.py"
    program.write_text(TASK)
    folder = tmp_path / "tasks"
    folder.mkdir()
    if request.param == "local":
        yield local(tmp_path, program, folder)
        (folder / "go").touch()
        return
    with FakeCloudRun() as fake:
        yield cloud_run(fake, program, folder)
        (folder / "go").touch()


def local(home: Path, program: Path, folder: Path) -> Place:
    def make() -> LocalJobs:
        return LocalJobs(home / "jobs", [sys.executable, str(program)], {"FOLDER": str(folder)})

    return Place(make(), make, folder)


def cloud_run(fake: FakeCloudRun, program: Path, folder: Path) -> Place:
    command = [sys.executable, str(program)]
    fake.jobs.add("lectern-ingest-job", command, args=["as made"], env={"FOLDER": str(folder)}, retries=1)

    def make() -> CloudRunJobs:
        return CloudRunJobs("p", "r", endpoint=fake.endpoint)

    return Place(make(), make, folder, fake)


def test_the_command_runs_with_its_arguments(place: Place) -> None:
    """A run would start without knowing which run it is."""
    name = place.jobs.start("ingest", ["ingest", "--run", "r 1", "--quiet"], soon())
    found = place.ended(name)
    assert (found.name, found.state, found.tasks, found.failed_tasks) == (name, "succeeded", 1, 0)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert time.time() - 60 < found.started_at <= found.finished_at < time.time() + 1
    task = place.task(0)
    assert task["args"] == ["ingest", "--run", "r 1", "--quiet"]
    assert (task["CLOUD_RUN_TASK_INDEX"], task["CLOUD_RUN_TASK_COUNT"]) == ("0", "1")
    assert task["CLOUD_RUN_EXECUTION"] == name


def test_each_task_knows_its_share(place: Place) -> None:
    """Two tasks would read the same pages, and nobody the others."""
    name = place.jobs.start("ingest", ["ingest"], soon(), tasks=3)
    assert place.ended(name).tasks == 3
    shares = [
        (place.task(n)["CLOUD_RUN_TASK_INDEX"], place.task(n)["CLOUD_RUN_TASK_COUNT"]) for n in range(3)
    ]
    assert shares == [("0", "3"), ("1", "3"), ("2", "3")]


def test_it_runs_on_while_others_ask(place: Place) -> None:
    """Whoever asks for progress may reach another instance than the one that started the run."""
    name = place.jobs.start("ingest", ["wait"], soon(), tasks=2)
    found = place.another().execution(name, soon())
    assert (found.state, found.tasks, found.finished_at) == ("running", 2, None)
    (place.folder / "go").touch()
    assert place.ended(name).state == "succeeded"
    assert place.another().execution(name, soon()).state == "succeeded"


def test_one_task_that_fails_fails_the_execution(place: Place) -> None:
    """A site that was read by half would be called up to date."""
    name = place.jobs.start("ingest", ["fail-1"], soon(), tasks=2)
    found = place.ended(name)
    assert (found.state, found.tasks, found.failed_tasks) == ("failed", 2, 1)
    assert found.finished_at is not None
    assert "ask" in found.message


def test_a_killed_task_is_no_success(place: Place) -> None:
    """A run that ran out of memory would be called up to date."""
    name = place.jobs.start("ingest", ["wait"], soon())
    for attempt in range(2 if place.fake else 1):
        os.kill(int(str(place.task(0, attempt)["pid"])), signal.SIGKILL)
    assert place.ended(name).state == "failed"


def test_two_starts_are_two_executions(place: Place) -> None:
    """The second would be shown the first one's end."""
    names = {place.jobs.start("ingest", [], soon()) for _ in range(2)}
    assert len(names) == 2
    assert {place.ended(name).state for name in names} == {"succeeded"}


def test_what_does_not_exist_is_missing(place: Place) -> None:
    """A wrong name would look like a run that never ends."""
    with pytest.raises(errors.Missing, match="nightly"):
        place.jobs.start("nightly", [], soon())
    for name in ("lectern-ingest-job-zzzzz", "../../etc", "lectern-ingest-job-/x", "", "other-1"):
        with pytest.raises(errors.Missing):
            place.jobs.execution(name, soon())


def test_no_time_is_a_time_out(place: Place) -> None:
    """A request that has used up its time would start a run and not tell of it."""
    with pytest.raises(errors.TimedOut):
        place.jobs.start("ingest", [], Deadline.after(0))
    with pytest.raises(errors.TimedOut):
        place.jobs.execution("lectern-ingest-job-00001", Deadline.after(0))
    assert not list(place.folder.iterdir())


# ---------------------------------------------------------------- this machine


@pytest.fixture
def here(tmp_path: Path) -> Place:
    program = tmp_path / "task.py"
    program.write_text(TASK)
    (tmp_path / "tasks").mkdir()
    return local(tmp_path, program, tmp_path / "tasks")


def test_why_a_task_failed_is_told(here: Place) -> None:
    """Whoever reads the run's progress would have to look for a log."""
    name = here.jobs.start("ingest", ["fail-0"], soon())
    assert here.ended(name).message == "Task 0 ended with exit code 3: the reason is plain"


STARTER = """
import sys
from pathlib import Path
from shared.embedded.jobs import LocalJobs
from shared.resilience.deadline import Deadline
home, program, folder = sys.argv[1:]
jobs = LocalJobs(Path(home, "jobs"), [sys.executable, program], {"FOLDER": folder})
print(jobs.start("ingest", ["wait"], Deadline.after(20), tasks=2), flush=True)
sys.stdin.read()
"""


def test_tasks_end_with_whoever_started_them(here: Place, tmp_path: Path) -> None:
    """A stack that was killed would leave processes that write to a database which is gone."""
    command = [sys.executable, "-c", STARTER, str(tmp_path), str(tmp_path / "task.py"), str(here.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        name = starter.stdout.readline().strip()
        assert here.jobs.execution(name, soon()).state == "running"
        pids = [int(str(here.task(n)["pid"])) for n in range(2)]
        starter.kill()
    found = here.ended(name)
    assert (found.state, found.message) == ("failed", "It was stopped with the process that had started it.")
    wait_for(lambda: not any(is_running(pid) for pid in pids))


def test_tasks_end_with_their_supervisor(here: Place) -> None:
    """An execution nobody watches over would be running for ever."""
    name = here.jobs.start("ingest", ["wait"], soon())
    pid = int(str(here.task(0)["pid"]))
    os.kill(parent_of(pid), signal.SIGKILL)
    found = here.ended(name)
    assert (found.state, found.message) == ("failed", "It was killed.")
    if sys.platform == "linux":
        wait_for(lambda: not is_running(pid))


def test_secrets_are_in_no_file(tmp_path: Path) -> None:
    """A key would lie on the disk after its process has gone."""
    program = tmp_path / "task.py"
    program.write_text(TASK)
    (tmp_path / "tasks").mkdir()
    environment = {"FOLDER": str(tmp_path / "tasks"), "GEMINI_API_KEY": "hush-hush"}
    jobs = LocalJobs(tmp_path / "jobs", [sys.executable, str(program)], environment)
    place = Place(jobs, lambda: jobs, tmp_path / "tasks")
    place.ended(jobs.start("ingest", [], soon()))
    kept = [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"hush-hush" in path.read_bytes() for path in kept)


def test_old_executions_are_forgotten(here: Place, tmp_path: Path) -> None:
    """A year of nightly runs would fill the home."""
    for number in range(KEPT + 5):
        folder = tmp_path / "jobs" / f"lectern-ingest-job-{number:05d}"
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    name = here.jobs.start("ingest", [], soon())
    assert len(list((tmp_path / "jobs").iterdir())) == KEPT
    assert here.ended(name).state == "succeeded"


def test_a_program_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    """A broken installation would be told as a run that is under way."""
    jobs = LocalJobs(tmp_path / "jobs", [str(tmp_path / "nowhere")], {})
    with pytest.raises(errors.Unreachable, match="No such file"):
        jobs.start("ingest", [], soon())
    [folder] = (tmp_path / "jobs").iterdir()
    assert jobs.execution(folder.name, soon()).state == "failed"


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:\t")[2].partition("\n")[0])


# ---------------------------------------------------------------- Cloud Run


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Place]:
    program = tmp_path / "task.py"
    program.write_text(TASK)
    (tmp_path / "tasks").mkdir()
    with FakeCloudRun() as fake:
        yield cloud_run(fake, program, tmp_path / "tasks")


FAULTS = [
    (RunError(400, "bad"), errors.Rejected),
    (RunError(401, "who"), errors.AccessDenied),
    (RunError(403, "no"), errors.AccessDenied),
    (RunError(404, "none"), errors.Missing),
    (RunError(409, "the etag has changed"), errors.PreconditionFailed),
    (RunError(429, "slow down", retry_after="7"), errors.Throttled),
    (RunError(500, "oh"), errors.Overloaded),
    (RunError(503, "away"), errors.Overloaded),
    (RunError(504, "late"), errors.TimedOut),
    ("cut", errors.Unreachable),
    ("lose", errors.Unreachable),
    ("garbage", errors.Garbled),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=str)
def test_faults_have_our_names_and_are_not_tried_again(
    cloud: Place, fault: RunError | str, kind: type[errors.DependencyError]
) -> None:
    """A second try that nobody asked for would start a second run."""
    assert cloud.fake is not None
    calls: list[Callable[[], object]] = [
        lambda: cloud.jobs.start("ingest", [], soon()),
        lambda: cloud.jobs.execution("lectern-ingest-job-00001", soon()),
    ]
    for number, call in enumerate(calls, 1):
        cloud.fake.faults.append(fault)
        with pytest.raises(kind) as raised:
            call()
        assert type(raised.value) is kind
        assert raised.value.service == "cloud-run"
        assert raised.value.retry_after == (7.0 if kind is errors.Throttled else None)
        assert len(cloud.fake.requests) == number


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_no_answer_outlasts_the_deadline(cloud: Place, fault: str) -> None:
    """A site's deploy would wait for an answer that comes byte by byte."""
    assert cloud.fake is not None
    for call in (
        lambda: cloud.jobs.start("ingest", [], Deadline.after(0.3)),
        lambda: cloud.jobs.execution("lectern-ingest-job-00001", Deadline.after(0.3)),
    ):
        cloud.fake.faults.append(fault)
        begin = time.monotonic()
        with pytest.raises((errors.TimedOut, errors.Missing)):
            call()
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize(
    ("permission", "call"),
    [
        ("run.jobs.runWithOverrides", lambda jobs: jobs.start("ingest", ["ingest"], soon())),
        ("run.executions.get", lambda jobs: jobs.execution("lectern-ingest-job-00001", soon())),
    ],
)
def test_a_missing_permission_is_named(cloud: Place, permission: str, call: Callable[[Jobs], object]) -> None:
    """An operator would not learn which role the service account lacks."""
    assert cloud.fake is not None
    cloud.fake.jobs.denied.add(permission)
    with pytest.raises(errors.AccessDenied, match=rf"{permission}.*run.jobsExecutorWithOverrides"):
        call(cloud.jobs)


def test_a_job_that_terraform_has_not_made_is_named(cloud: Place) -> None:
    """The first call after an incomplete installation would be a riddle."""
    with pytest.raises(errors.Missing, match=r"lectern-drill-job.*terraform apply"):
        cloud.jobs.start("drill", [], soon())


def test_a_task_is_tried_again_by_cloud_run(cloud: Place) -> None:
    """The fake would hide that a killed task comes back with the next attempt's number."""
    name = cloud.jobs.start("ingest", ["wait"], soon())
    os.kill(int(str(cloud.task(0)["pid"])), signal.SIGKILL)
    assert cloud.task(0, 1)["CLOUD_RUN_TASK_ATTEMPT"] == "1"
    (cloud.folder / "go").touch()
    assert cloud.ended(name).state == "succeeded"


def test_the_order_of_an_unreachable_place(tmp_path: Path) -> None:
    """A wrong address would be a stack trace of another library."""
    jobs = CloudRunJobs("p", "r", endpoint="http://127.0.0.1:9")
    with pytest.raises(errors.Unreachable):
        jobs.start("ingest", [], soon())
