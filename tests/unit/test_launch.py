"""Starting runs as jobs: decisions about what is under way, on a ledger and jobs in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from shared.errors import AccessDenied, DependencyError, Missing, RunUnderWay, Unreachable
from shared.ingestion.launch import START_SECONDS, Launcher, Progress
from shared.ingestion.run import OVERTAKEN
from shared.ports import Execution, Run, RunShare, RunStart
from shared.resilience.deadline import Deadline

RUN = Run("r1", "site", "/site", "", "f")
SOON = Deadline.after(1000)


@dataclass
class World:
    """Everything a launcher asks, in memory."""

    runs: dict[str, Run] = field(default_factory=dict)
    starts: dict[str, RunStart] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)
    started: list[list[str]] = field(default_factory=list)
    gone_on: list[str] = field(default_factory=list)
    held: bool = False
    fails: DependencyError | None = None

    def launcher(self) -> Launcher:
        return Launcher(self, self, self, self, self.go_on, new_id=lambda: "another")  # type: ignore[arg-type]

    def go_on(self, wanted: Run) -> Run:
        """With the newest unfinished run, whose shares are done anew, as :class:`Ingestion` does."""
        newest = next((one for one in reversed(self.runs.values()) if one.source == wanted.source), wanted)
        run = wanted if newest.status == "succeeded" else newest
        self.gone_on.append(run.id)
        self.runs[run.id] = replace(run, status="planned", shares=())
        return self.runs[run.id]

    def begin(self, wanted: Run, _deadline: Deadline) -> None:
        self.runs.setdefault(wanted.id, replace(wanted, status="planned"))

    def get(self, run_id: str, _deadline: Deadline) -> Run:
        if run_id not in self.runs:
            raise Missing("ledger", "read the run", run_id)
        return self.runs[run_id]

    def recent(self, _deadline: Deadline, *, limit: int) -> list[Run]:
        return list(reversed(self.runs.values()))[:limit]

    @contextmanager
    def alone(self, _deadline: Deadline) -> Iterator[None]:
        yield

    def record(self, run_id: str, execution: str, _deadline: Deadline) -> None:
        self.starts[run_id] = RunStart(execution, 1.0)

    def find(self, run_id: str, _deadline: Deadline) -> RunStart | None:
        return self.starts.get(run_id)

    def forget(self, run_id: str, _deadline: Deadline) -> None:
        self.starts.pop(run_id, None)

    def start(self, _job: str, args: Sequence[str], _deadline: Deadline, *, tasks: int) -> str:
        if self.fails:
            raise self.fails
        self.started.append([*args, str(tasks)])
        self.executions[name := f"e{len(self.started)}"] = "running"
        return name

    def execution(self, name: str, _deadline: Deadline) -> Execution:
        if self.fails:
            raise self.fails
        if name not in self.executions:
            raise Missing("jobs", "read the execution", name)
        state = self.executions[name]
        return Execution(name, state, 1, 0, None, None, "out of memory" if state == "failed" else "")  # type: ignore[arg-type]

    def is_held(self, _kind: str, _deadline: Deadline) -> bool:
        return self.held


def test_a_run_under_way_is_not_started_again() -> None:
    """A hook that fires twice would pay twice."""
    world = World()
    first, is_new = world.launcher().launch(RUN, SOON)
    assert is_new
    again, is_new = world.launcher().launch(replace(RUN, id="r2"), SOON)
    assert (again.id, is_new) == (first.id, False)
    assert world.started == [["ingest", "--run", "r1", "1"]]


def test_another_site_is_started_beside_it() -> None:
    """One site's run would keep all others from theirs."""
    world = World()
    world.launcher().launch(RUN, SOON)
    _, is_new = world.launcher().launch(replace(RUN, id="r2", source="another"), SOON)
    assert is_new


@pytest.mark.parametrize("state", ["failed", "succeeded", "gone"])
def test_a_run_whose_job_has_ended_is_started_again(state: str) -> None:
    """A job that died would block its site for ever."""
    world = World()
    world.launcher().launch(RUN, SOON)
    world.executions = {} if state == "gone" else {"e1": state}
    world.starts["r1"] = RunStart("e1", START_SECONDS + 1)
    _, is_new = world.launcher().launch(replace(RUN, id="r2"), SOON)
    assert is_new


def test_a_start_whose_answer_was_lost_counts_for_a_while() -> None:
    """The retry of a call whose answer was lost would start a second job beside the first."""
    world = World(fails=Unreachable("cloud-run", "start", "cut"))
    with pytest.raises(Unreachable):
        world.launcher().launch(RUN, SOON)
    world.fails = None
    _, is_new = world.launcher().launch(RUN, SOON)
    assert not is_new
    world.starts["r1"] = RunStart("", START_SECONDS + 1)
    _, is_new = world.launcher().launch(RUN, SOON)
    assert is_new


def test_a_start_that_was_refused_does_not_count() -> None:
    """After a missing role was given, the next call would be told of a run that never began."""
    world = World(fails=AccessDenied("cloud-run", "start", "no"))
    with pytest.raises(AccessDenied):
        world.launcher().launch(RUN, SOON)
    world.fails = None
    _, is_new = world.launcher().launch(RUN, SOON)
    assert is_new


@pytest.mark.parametrize("job", ["", "failed"])
def test_one_that_the_command_line_does_is_under_way_as_long_as_it_holds_the_lease(job: str) -> None:
    """A run that an operator goes on with after its job died would be called failed, and be begun anew under
    the process that works on it.
    """
    working = replace(RUN, status="running", shares=(RunShare(0, done=True),))
    world = World(runs={"r1": working}, held=True)
    if job:
        world.starts["r1"] = RunStart("the job's", START_SECONDS + 1)
        world.executions["the job's"] = job
    assert world.launcher().told(working, SOON).status == "running"
    found, is_new = world.launcher().launch(replace(RUN, id="r2"), SOON)
    assert (found.id, is_new, world.gone_on, world.runs["r1"]) == ("r2", True, [], working)
    world.held = False
    assert world.launcher().told(working, SOON).status == ("failed" if job else "interrupted")


def test_one_that_has_failed_is_under_way_while_other_tasks_go_on() -> None:
    """The shares of tasks that still work would be begun anew under them."""
    world = World()
    world.launcher().launch(replace(RUN, tasks=2), SOON)
    world.runs["r1"] = replace(world.runs["r1"], status="failed")
    world.launcher().launch(replace(RUN, id="r2"), SOON)
    assert world.gone_on == ["r1"]
    world.executions = {"e1": "failed", "e2": "failed"}
    world.launcher().launch(replace(RUN, id="r3"), SOON)
    assert world.gone_on == ["r1", "r2"]


def test_a_call_after_the_run_began_to_read_is_followed_by_another_run() -> None:
    """What was deployed during a run would not be in the index until the next night."""
    world = World()
    world.launcher().launch(RUN, SOON)
    world.runs["r1"] = replace(world.runs["r1"], status="running", phase="writing")
    followed = [world.launcher().launch(replace(RUN, id=name), SOON)[0].id for name in ("key-2", "key-3")]
    assert followed == ["key-2", "key-2"], "one that waits reads what both have deployed"
    assert world.launcher().launch(RUN, SOON)[0].id == "r1", "a call that is made again is no other deploy"
    elsewhere = replace(RUN, id="key-4", place="/another build of the site")
    assert world.launcher().launch(elsewhere, SOON)[0].id == "key-4"
    assert [words[2] for words in world.started] == ["r1", "key-2", "key-4"]
    world.runs["r1"] = replace(RUN, status="succeeded")
    world.runs["key-2"] = replace(world.runs["key-2"], status="succeeded")
    assert world.launcher().launch(replace(RUN, id="key-2"), SOON)[0].status == "succeeded"


@pytest.mark.parametrize("error", ["the site was away", OVERTAKEN])
def test_the_same_call_after_its_run_failed_is_followed_by_another_run(error: str) -> None:
    """Tasks would find shares of the run that failed done, and write what the site said then, or nothing."""
    failed = replace(RUN, status="failed", tasks=2, error=error, shares=(RunShare(0, done=True),))
    world = World(runs={"r1": failed, "r2": replace(RUN, id="r2", status="running")}, held=True)
    found, is_new = world.launcher().launch(replace(RUN, tasks=3), SOON)
    assert (found, is_new) == (replace(RUN, id="another", tasks=3), True)
    assert (world.runs["r1"], world.started) == (failed, [["ingest", "--run", "another", "3"]])
    again, is_new = world.launcher().launch(replace(RUN, tasks=3), SOON)
    assert (again.id, is_new) == ("another", False)


def test_the_same_call_after_its_run_was_overtaken_starts_another() -> None:
    """Tasks of a run that was overtaken do nothing, for ever."""
    overtaken = replace(RUN, status="failed", error=OVERTAKEN)
    world = World(runs={"r1": overtaken, "r2": replace(RUN, id="r2", status="succeeded")})
    found, is_new = world.launcher().launch(RUN, SOON)
    assert (found.id, is_new, world.runs["r1"]) == ("another", True, overtaken)


def test_the_same_call_after_its_run_failed_goes_on_with_it() -> None:
    """What it has read would be read, and paid for, again."""
    world = World(runs={"r1": replace(RUN, status="failed", error="the site was away")})
    found, is_new = world.launcher().launch(RUN, SOON)
    assert (found.id, is_new, world.gone_on) == ("r1", True, ["r1"])


def test_the_same_call_after_its_end_is_answered_with_its_end() -> None:
    """A lost answer would cost another run."""
    world = World(runs={"r1": replace(RUN, status="succeeded")})
    found, is_new = world.launcher().launch(RUN, SOON)
    assert (found.status, is_new, world.started) == ("succeeded", False, [])


def test_removal_is_allowed_to_the_job() -> None:
    """The operator's word would be lost on the way."""
    world = World()
    world.launcher().launch(replace(RUN, allow_removal=True, tasks=3), SOON)
    assert world.started == [["ingest", "--run", "r1", "--allow-removal", "3"]]


def test_a_removal_is_not_allowed_to_a_run_that_follows() -> None:
    """Whatever that run misses would go, which nobody was shown."""
    world = World()
    allowed = replace(RUN, id="r2", allow_removal=True)
    world.launcher().launch(RUN, SOON)
    for status in ("planned", "running"):
        world.runs["r1"] = replace(world.runs["r1"], status=status)  # type: ignore[arg-type]
        with pytest.raises(RunUnderWay, match="lectern ingest --run r1 --allow-removal"):
            world.launcher().launch(allowed, SOON)
    world.runs["r1"] = replace(world.runs["r1"], status="waiting_for_removal")
    world.executions = {"e1": "failed"}
    run, is_new = world.launcher().launch(allowed, SOON)
    assert (run.id, is_new, world.started[1:]) == (
        "r1",
        True,
        [["ingest", "--run", "r1", "--allow-removal", "1"]],
    )


def test_a_removal_is_allowed_once_to_a_run_that_has_not_begun() -> None:
    """A call that is sent again would be refused by what the first one started."""
    world = World()
    first, _ = world.launcher().launch(replace(RUN, allow_removal=True), SOON)
    again, is_new = world.launcher().launch(replace(RUN, id="r2", allow_removal=True), SOON)
    assert (again.id, is_new) == (first.id, False)


@pytest.mark.parametrize(
    ("status", "works", "execution", "shown"),
    [
        ("running", True, "running", "running"),
        ("running", False, "failed", "failed"),
        ("planned", False, "failed", "failed"),
        ("running", False, "succeeded", "interrupted"),
        ("running", False, "", "interrupted"),
        ("planned", False, "", "planned"),
        ("waiting_for_removal", False, "failed", "waiting_for_removal"),
        ("succeeded", False, "failed", "succeeded"),
    ],
)
def test_a_run_that_nobody_works_on_is_not_called_running(
    status: str, works: bool, execution: str, shown: str
) -> None:
    """Whoever waits for it would wait for ever."""
    done = Execution("e", execution, 1, 0, None, None, "out of memory") if execution else None  # type: ignore[arg-type]
    found = Progress(replace(RUN, status=status), works, done)  # type: ignore[arg-type]
    assert found.status == shown
    assert found.error == ("out of memory" if shown == "failed" else "")


def test_whoever_only_asks_is_told_by_the_ledger_when_jobs_cannot_be_asked() -> None:
    """Progress would be an error for as long as Cloud Run's API is slow."""
    world = World()
    run, _ = world.launcher().launch(RUN, SOON)
    world.fails = Unreachable("cloud-run", "read", "cut")
    assert world.launcher().told(run, SOON) == Progress(run, works=True)
    with pytest.raises(Unreachable):
        world.launcher().launch(RUN, SOON)
