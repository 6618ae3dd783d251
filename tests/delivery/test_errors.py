"""What ends a release but its verdict: errors, people and other builds. Readers are never left on a candidate
that nobody tends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.delivery.deploying import Wanted, deploy
from shared.delivery.finishing import finish
from shared.errors import (
    LecternError,
    Overloaded,
    ReleaseBusy,
    ReleaseError,
    ReleaseHeld,
    ReleaseNotUnderWay,
    ReleaseUnhealthy,
    Unreachable,
)
from shared.ports import Change, Target
from tests.delivery.desk import BAD, CODE, GOOD, Asked, Rig

CHAT = "lectern-chat"
HEALTH = "lectern-health"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """An environment with two releases, of which readers are on the second."""
    made = Rig(tmp_path)
    made.build(1)
    made.build(2)
    return made


def by_hand(rig: Rig, name: str, release: str) -> None:
    """Move traffic as gcloud does, which keeps tags."""
    service = rig.services.services[name]
    kept = tuple(Target(one.revision, 0, one.tag) for one in service.traffic if one.tag)
    moved = Change(traffic=(Target(f"{name}-{release}", 100), *kept))
    before, rig.services.before = rig.services.before, lambda _name: None
    rig.services.change(service, moved, rig.desk.call())
    rig.services.before = before


def once(name: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something just before a service or job is changed the first time."""
    left = [action]

    def strike(changed: str) -> None:
        if changed == name and left:
            left.pop()()

    return strike


def fails(error: BaseException) -> Callable[[], object]:
    def raise_it() -> object:
        raise error

    return raise_it


def serving(rig: Rig, name: str) -> dict[str, int]:
    return {
        one.revision.removeprefix(f"{name}-"): one.percent
        for one in rig.services.services[name].traffic
        if one.percent
    }


def jobs_run(rig: Rig) -> set[str]:
    return {job.environment["LECTERN_RELEASE"] for job in rig.services.jobs.values()}


def at(share: int, action: Callable[[], object]) -> Callable[[int], Asked]:
    """A candidate that answers well, while something happens once at a share."""
    left = [action]

    def answer(now: int) -> Asked:
        if now == share and left:
            left.pop()()
        return GOOD

    return answer


# ------------------------------------------------------------ what is away


def test_a_full_bucket_stops_no_canary(rig: Rig) -> None:
    """Readers would stay at half because a note for people could not be written."""
    made = rig.deploy(3)
    rig.canary(made.id).smoke()
    rig.answers.candidate = at(50, lambda: setattr(rig.bucket, "full", True))
    rig.canary(made.id).run()
    assert serving(rig, CHAT) == {made.id: 100}
    assert any("could not be written" in line for line in rig.said)


@pytest.mark.parametrize(
    "error",
    [Overloaded("gcs", "read", "503"), RuntimeError("a mistake of ours"), KeyboardInterrupt(), SystemExit(1)],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("share", [0, 50])
def test_an_error_leaves_no_reader_on_the_candidate(rig: Rig, error: BaseException, share: int) -> None:
    """Half of the readers would stay on a release that nobody watches, until somebody notices."""
    rig.answers.candidate = at(share, fails(error))
    with pytest.raises(type(error)):
        rig.build(3)
    assert rig.one_set() == "0000002"
    assert (rig.standing().candidate, rig.standing().failures) == ("", ())
    assert rig.build(3).id == rig.one_set()


def unreachable_until(rig: Rig, ends: float) -> Callable[[str], None]:
    def strike(name: str) -> None:
        if rig.now < ends:
            raise Unreachable("cloud-run", f"change {name}", "no route")

    return strike


def test_a_cloud_run_that_is_back_before_the_lease_ends_stops_nothing(rig: Rig) -> None:
    """A release that takes half an hour would end for ten seconds without an API."""
    rig.patient(step_seconds=100, lease_seconds=60)

    def away() -> None:
        rig.services.before = unreachable_until(rig, rig.now + 45)

    rig.answers.candidate = at(10, away)
    assert rig.build(3).id == rig.one_set()
    assert any("lease was not renewed yet" in line for line in rig.said)


def test_a_cloud_run_that_stays_away_ends_the_canary(rig: Rig) -> None:
    """A tenth of the readers would stay on a candidate whose build has given up."""
    rig.patient(step_seconds=100, lease_seconds=60)

    def away() -> None:
        rig.services.before = unreachable_until(rig, rig.now + 150)

    rig.answers.candidate = at(10, away)
    with pytest.raises(Unreachable):
        rig.build(3)
    assert rig.one_set() == "0000002"


def test_one_that_cannot_be_taken_back_says_what_to_do(rig: Rig) -> None:
    """The build's last line would speak of a lease, and not of the readers on the candidate."""
    rig.patient(step_seconds=100, lease_seconds=60)

    def away() -> None:
        rig.services.before = unreachable_until(rig, rig.now + 1e6)

    rig.answers.candidate = at(10, away)
    with pytest.raises(ReleaseError, match=r"0000003 ended .* could not be taken back.*lectern rollback"):
        rig.build(3)


def test_a_command_for_another_release_moves_nobody(rig: Rig) -> None:
    """A mistyped release would end the one that is under way."""
    made = rig.deploy(3)
    rig.canary(made.id)._shift(10)
    for step in (rig.canary("0000009").smoke, rig.canary("0000009").run):
        with pytest.raises(ReleaseNotUnderWay, match="release 0000003 is"):
            step()
    with pytest.raises(ReleaseNotUnderWay):
        finish(rig.desk, rig.index, "0000009")
    with pytest.raises(ReleaseError, match="10 % of the readers"):
        finish(rig.desk, rig.index, made.id)
    assert serving(rig, CHAT) == {"0000002": 90, made.id: 10}


def test_a_verdict_stands_although_a_function_could_not_go_back(rig: Rig) -> None:
    """The build would not say why, and the next one would give the same commit to readers."""

    def bad() -> Asked:
        rig.services.before = once(HEALTH, fails(ReleaseError("a policy forbids it")))
        return BAD

    rig.answers.candidate = lambda share: bad() if share == 50 else GOOD
    with pytest.raises(
        ReleaseUnhealthy, match=r"worse than stable at 50 .* Not all of it followed.*a policy"
    ):
        rig.build(3)
    assert serving(rig, CHAT) == {"0000002": 100}
    assert [one.release for one in rig.standing().failures] == ["0000003"]


# ------------------------------------------------------------ the last step


@pytest.mark.parametrize("name", ["lectern-drill", "lectern-ingest-job", CHAT])
def test_a_finish_that_fails_takes_everything_back(rig: Rig, name: str) -> None:
    """Jobs would run a release that no function runs, and chat one that the others do not."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.services.before = once(name, fails(ReleaseError("a policy forbids it")))
    with pytest.raises(ReleaseError, match="a policy forbids it"):
        finish(rig.desk, rig.index, made.id)
    assert rig.one_set() == "0000002"
    assert jobs_run(rig) == {"0000002"}


def test_a_finish_without_its_manifest_takes_everything_back(rig: Rig) -> None:
    """Chat would stay ahead of all others because the bucket was away for a moment."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.bucket.away = True
    with pytest.raises(Overloaded):
        finish(rig.desk, rig.index, made.id)
    assert rig.one_set() == "0000002"
    assert jobs_run(rig) == {"0000002"}


class Killed(BaseException):
    """The machine of the build went away."""


def test_jobs_of_a_finish_that_was_killed_go_back_with_it(rig: Rig) -> None:
    """The nightly backup would run a release that was never finished."""
    made = rig.deploy(3)
    rig.canary(made.id).run()

    def dead(name: str) -> None:
        if name == CHAT:
            raise Killed

    rig.services.before = dead
    with pytest.raises(Killed):
        finish(rig.desk, rig.index, made.id)
    assert jobs_run(rig) == {made.id}
    rig.services.before = lambda _name: None
    rig.sleep(rig.desk.environment.platform.canary.lease_seconds + 1)
    rig.deploy(4)
    assert jobs_run(rig) == {"0000002"}


def test_a_release_that_is_stable_is_not_taken_back_for_its_last_note(rig: Rig) -> None:
    """The others would go back while chat stays, or a rollback later would not know what the jobs ran."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.bucket.full = True
    with pytest.raises(Overloaded):
        finish(rig.desk, rig.index, made.id)
    assert rig.one_set() == made.id
    rig.bucket.full = False
    finish(rig.desk, rig.index, made.id)
    manifest = rig.desk.manifests.get(made.id, rig.desk.call())
    assert (manifest.state, manifest.generation) == ("released", "g0001")
    assert {job.image for job in manifest.jobs.values()} == {made.image}


@pytest.mark.parametrize("error", [Unreachable("cloud-run", "change", "cut"), KeyboardInterrupt()], ids=str)
def test_a_release_that_became_stable_at_the_last_moment_is_one_set(rig: Rig, error: BaseException) -> None:
    """The others would go back, while chat stays on what was just made stable."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.services.after = once(CHAT, fails(error))
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            finish(rig.desk, rig.index, made.id)
        assert rig.one_set() == made.id
    finish(rig.desk, rig.index, made.id)
    assert rig.one_set() == made.id
    assert rig.desk.manifests.get(made.id, rig.desk.call()).state == "released"


# ------------------------------------------------------------ people


def test_a_rollback_by_gcloud_holds_although_the_verdict_falls(rig: Rig) -> None:
    """The next build would release again what an operator has just taken back."""
    moved: list[int] = []

    def worse(share: int) -> Asked:
        if share == 50 and not moved:
            moved.append(share)
            by_hand(rig, CHAT, "0000001")
        return BAD if moved else GOOD

    rig.answers.candidate = worse
    with pytest.raises(ReleaseUnhealthy):
        rig.build(3)
    assert serving(rig, CHAT) == {"0000001": 100}
    rig.answers.candidate = lambda _share: GOOD
    with pytest.raises(ReleaseHeld, match="was changed by hand"):
        rig.build(4)
    assert rig.build(5, by_hand=True).id == rig.one_set()
    assert rig.standing().hold is None


@pytest.mark.parametrize("share", [10, 100])
def test_another_function_that_is_moved_by_hand_ends_the_canary(rig: Rig, share: int) -> None:
    """Chat would stay on the candidate for good: no step goes on, and none goes back."""
    rig.answers.candidate = at(share, lambda: by_hand(rig, HEALTH, "0000001"))
    with pytest.raises(ReleaseHeld, match=f"the traffic of {HEALTH} was changed by hand"):
        rig.build(3)
    assert serving(rig, CHAT) == {"0000002": 100}
    assert serving(rig, HEALTH) == {"0000001": 100}
    with pytest.raises(ReleaseHeld):
        rig.build(4)


def test_readers_that_are_moved_at_the_last_moment_stay(rig: Rig) -> None:
    """The write that makes a release stable would undo a rollback of a second before."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.services.before = once(CHAT, lambda: by_hand(rig, CHAT, "0000001"))
    with pytest.raises(ReleaseHeld):
        finish(rig.desk, rig.index, made.id)
    assert serving(rig, CHAT) == {"0000001": 100}
    assert serving(rig, HEALTH) == {"0000002": 100}
    with pytest.raises(ReleaseHeld):
        rig.build(4)


def test_a_function_that_is_moved_by_hand_while_the_set_follows_stays(rig: Rig) -> None:
    """The last step would undo what an operator did a moment ago."""
    made = rig.deploy(3)
    rig.canary(made.id).run()
    rig.services.before = once(HEALTH, lambda: by_hand(rig, HEALTH, "0000001"))
    with pytest.raises(LecternError, match="changed by hand"):
        finish(rig.desk, rig.index, made.id)
    assert serving(rig, HEALTH) == {"0000001": 100}
    assert serving(rig, CHAT) == serving(rig, "lectern-drill") == {"0000002": 100}
    assert rig.standing().hold is not None


# ------------------------------------------------------------ other builds


def made_of(rig: Rig, release: str) -> set[str]:
    """The services that have a revision of a release."""
    return {service for service, revision in rig.services.revisions if revision.endswith(release)}


def test_of_two_builds_that_begin_at_once_one_releases(rig: Rig) -> None:
    """Chat would be claimed by one build and the others deployed by both: a set of two releases."""
    rig.services.before = once(CHAT, lambda: rig.deploy(4))
    with pytest.raises(ReleaseBusy, match="0000004 is under way, at 0 %"):
        rig.deploy(3)
    assert rig.standing().candidate == "0000004"
    assert (made_of(rig, "0000003"), len(made_of(rig, "0000004"))) == (set(), 6)
    rig.canary("0000004").run()
    finish(rig.desk, rig.index, "0000004")
    assert rig.one_set() == "0000004"


def test_a_build_that_came_second_waits(rig: Rig) -> None:
    """It would fail although it was told to wait."""

    def faster() -> None:
        rig.deploy(4)

    rig.services.before = once(CHAT, faster)
    made = deploy(rig.desk, Wanted(rig.commit(3), rig.image(3), wait_seconds=1000), CODE)
    assert rig.standing().candidate == made.id == "0000003"
    assert any("Waiting: Release 0000004 is under way" in line for line in rig.said)


def test_a_candidate_that_comes_up_is_not_disturbed(rig: Rig) -> None:
    """For the minutes that a revision takes to come up, any other build would take it for none."""
    left = [lambda: rig.deploy(4)]

    def strike(name: str) -> None:
        if name == HEALTH and left:
            with pytest.raises(ReleaseBusy):
                left.pop()()

    rig.services.before = strike
    assert rig.deploy(3).id == rig.standing().candidate


def test_a_left_canary_that_goes_on_is_not_taken_back(rig: Rig) -> None:
    """A build would take away what a person has just decided to go on with."""
    made = rig.deploy(3)
    rig.canary(made.id)._shift(10)
    rig.sleep(rig.desk.environment.platform.canary.lease_seconds + 1)
    rig.services.before = once(CHAT, lambda: rig.canary(made.id).tend())
    with pytest.raises(ReleaseBusy):
        rig.deploy(4)
    assert serving(rig, CHAT) == {"0000002": 90, made.id: 10}


def test_traffic_that_is_moved_while_a_build_begins_holds(rig: Rig) -> None:
    """A rollback of the last second would be undone, and leave no trace."""
    for name in (CHAT, HEALTH):
        rig.services.before = once(name, lambda name=name: by_hand(rig, name, "0000001"))
        with pytest.raises(ReleaseHeld):
            rig.build(3)
        assert serving(rig, name) == {"0000001": 100}
        with pytest.raises(ReleaseHeld):
            rig.build(4)
        assert rig.build(5, by_hand=True).id == rig.one_set()


def test_a_person_goes_on_with_a_candidate_after_moving_traffic(rig: Rig) -> None:
    """The line that the error names would be refused for the very traffic that it is about."""
    rig.deploy(3)
    by_hand(rig, HEALTH, "0000001")
    assert rig.build(3, by_hand=True).id == rig.one_set()


def test_a_build_that_was_killed_before_its_tags_goes_back_to_what_is_stable(rig: Rig) -> None:
    """A rollback would lead to what was stable when the first attempt began."""
    reached: list[str] = []

    def dead(name: str) -> None:
        reached.append(name)
        if HEALTH in reached:
            raise Killed

    rig.services.before = dead
    with pytest.raises(Killed):
        rig.deploy(3)
    rig.services.before = lambda _name: None
    rig.sleep(rig.desk.environment.platform.canary.lease_seconds + 1)
    rig.build(4)
    made = rig.build(3)
    assert (made.id, made.previous) == ("0000003", "0000004")
