"""The steps of a release, led against services in memory: every way in which one can end, and be killed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from shared.cli.release_status import shown
from shared.delivery.compatibility import Index
from shared.delivery.deploying import Code
from shared.delivery.finishing import finish
from shared.delivery.platform import Network, members
from shared.delivery.release import RELEASED, ROLLED_BACK
from shared.delivery.returning import plan_rollback, roll_back
from shared.delivery.template import function_template
from shared.errors import (
    PreconditionFailed,
    ReleaseBusy,
    ReleaseError,
    ReleaseHeld,
    ReleaseInconclusive,
    ReleaseRefused,
    ReleaseUnhealthy,
    Unreachable,
)
from shared.ports import Change, Target
from shared.resilience.deadline import Deadline
from tests.delivery.desk import BAD, CODE, GOOD, Rig

CHAT = "lectern-chat"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """An environment with a first release on it."""
    made = Rig(tmp_path)
    made.build(1)
    return made


def by_hand(rig: Rig, revision: str, name: str = CHAT) -> None:
    """Move readers as gcloud does."""
    service = rig.services.services[name]
    rig.services.change(service, Change(traffic=(Target(revision, 100),)), rig.desk.call())


def rolled_back(rig: Rig, to: str = "") -> None:
    plan = plan_rollback(rig.desk, rig.index, to)
    outcomes = roll_back(rig.desk, rig.index, plan, "it was bad")
    assert not [one for one in outcomes if one.error]


def test_a_good_release_reaches_everybody_in_steps(rig: Rig) -> None:
    """A release would jump to all readers, or leave functions behind."""
    rig.services.log.clear()
    made = rig.build(2)
    shares = [
        {one.revision: one.percent for one in change.traffic}.get(f"{CHAT}-{made.id}")
        for name, change in rig.services.log
        if name == CHAT and change.traffic
    ]
    assert [one for one in shares if one is not None] == [0, 10, 50, 100, 100]
    assert rig.one_set() == made.id
    found = rig.standing()
    assert (found.stable, found.candidate, found.hold, found.by_hand) == (made.id, "", None, ())
    manifest = rig.desk.manifests.get(made.id, rig.desk.call())
    assert (manifest.state, manifest.previous, manifest.generation) == (RELEASED, "0000001", "g0001")
    assert {job.image for job in rig.services.jobs.values()} == {made.image}
    assert {job.environment["LECTERN_RELEASE"] for job in rig.services.jobs.values()} == {made.id}


def test_a_release_says_where_it_saw_no_readers(rig: Rig) -> None:
    """Whoever reads the manifest would believe that readers had been measured at 10 %."""
    made = rig.build(2)
    steps = rig.desk.manifests.get(made.id, rig.desk.call()).steps
    silent = {one.what: any("no readers were seen" in reason for reason in one.reasons) for one in steps}
    assert silent["smoke"] is False
    assert silent["canary 10 %"] is silent["canary 100 %"] is True


def test_readers_never_follow_the_newest_revision(tmp_path: Path) -> None:
    """The first release would take all readers the moment it is deployed."""
    rig = Rig(tmp_path)
    rig.deploy(1)
    assert all(target.revision for service in rig.services.services.values() for target in service.traffic)
    assert rig.one_set() == "00001-abc"


@pytest.mark.parametrize("bad_at", [0, 10, 50, 100])
def test_a_bad_candidate_is_taken_back_from_wherever_it_is(rig: Rig, bad_at: int) -> None:
    """Readers would stay on a release that is known to be bad."""
    rig.answers.candidate = lambda share: BAD if share >= bad_at else GOOD
    with pytest.raises(ReleaseUnhealthy):
        rig.build(2)
    assert rig.one_set() == "0000001"
    assert rig.standing().candidate == ""
    tags = {one.tag for service in rig.services.services.values() for one in service.traffic}
    assert tags == {"stable"}
    rig.answers.candidate = lambda _share: GOOD
    with pytest.raises(ReleaseRefused, match="was condemned"):
        rig.build(2)
    assert rig.build(3).id == rig.one_set()


def test_a_person_may_try_a_condemned_commit_again(rig: Rig) -> None:
    """A commit that was condemned for something else's fault could never be released."""
    rig.services.broken.add(rig.image(2))
    with pytest.raises(ReleaseUnhealthy, match="did not come up"):
        rig.build(2)
    assert rig.one_set() == "0000001"
    rig.services.broken.clear()
    assert rig.build(2, by_hand=True).id == "0000002-2"
    assert rig.one_set() == "0000002-2"
    assert rig.standing().failures == ()


def test_an_outage_condemns_nobody(rig: Rig) -> None:
    """A good commit would be refused for ever because stable was ill when it was tried."""
    rig.answers.candidate = rig.answers.stable = lambda _share: BAD
    with pytest.raises(ReleaseInconclusive):
        rig.build(2)
    assert rig.one_set() == "0000001"
    rig.answers.candidate = rig.answers.stable = lambda _share: GOOD
    assert rig.build(2).id == rig.one_set()


def test_an_outage_that_ends_in_time_only_delays(rig: Rig) -> None:
    """A release would fail for an outage that is over before its patience is."""
    ends = rig.now + 400
    rig.answers.candidate = rig.answers.stable = lambda _share: BAD if rig.now < ends else GOOD
    assert rig.build(2).id == rig.one_set()
    assert rig.now > ends


def test_readers_that_somebody_moves_during_a_canary_stay_there(rig: Rig) -> None:
    """Automation would undo what an operator has just done."""
    rig.build(2)

    def move(share: int) -> object:
        if share == 10:
            by_hand(rig, f"{CHAT}-0000001")
        return GOOD

    rig.answers.candidate = move
    with pytest.raises(ReleaseHeld):
        rig.build(3)
    shares = {one.revision: one.percent for one in rig.services.services[CHAT].traffic if one.percent}
    assert shares == {f"{CHAT}-0000001": 100}
    rig.answers.candidate = lambda _share: GOOD
    with pytest.raises(ReleaseHeld):
        rig.build(4)
    assert rig.build(5, by_hand=True).id == rig.one_set()
    assert rig.standing().hold is None


def test_a_rollback_moves_the_whole_set_and_holds(rig: Rig) -> None:
    """Functions would run different releases, or the next build would undo the rollback."""
    made = rig.build(2)
    rolled_back(rig)
    assert rig.one_set() == "0000001"
    assert {job.environment["LECTERN_RELEASE"] for job in rig.services.jobs.values()} == {"0000001"}
    assert rig.desk.manifests.get(made.id, rig.desk.call()).state == ROLLED_BACK
    for number in (2, 3):
        with pytest.raises(ReleaseHeld, match="0000002 was taken back by hand"):
            rig.build(number)
    assert rig.one_set() == "0000001"
    rig.build(2, by_hand=True)
    assert rig.one_set() == "0000002-2"


def test_a_rollback_ends_a_canary(rig: Rig) -> None:
    """An operator could not stop a release that is under way."""
    made = rig.deploy(2)
    rig.canary(made.id)._shift(50)
    rolled_back(rig)
    assert rig.one_set() == "0000001"
    with pytest.raises(ReleaseHeld):
        rig.canary(made.id).run()


def test_the_first_release_can_be_rolled_back_to_what_was_before(rig: Rig) -> None:
    """The very first release of a project could not be taken back."""
    rolled_back(rig)
    assert rig.one_set() == "00001-abc"


def test_a_rollback_goes_to_a_named_release(rig: Rig) -> None:
    """Two bad releases in a row could not be left behind."""
    rig.build(2)
    rig.build(3)
    rolled_back(rig, "0000001")
    assert rig.one_set() == "0000001"
    with pytest.raises(ReleaseError, match="already"):
        plan_rollback(rig.desk, rig.index, "0000001")


def test_two_releases_do_not_mix(rig: Rig) -> None:
    """A second build would move the readers of the first one's canary."""
    rig.deploy(2)
    with pytest.raises(ReleaseBusy):
        rig.deploy(3)
    rig.sleep(rig.desk.environment.platform.canary.lease_seconds + 1)
    assert rig.build(3).id == rig.one_set()
    assert any("0000002 was left" in line for line in rig.said)


def test_one_function_that_cannot_follow_takes_the_set_back(rig: Rig) -> None:
    """Chat would be new while the others are old, for good."""
    made = rig.deploy(2)
    rig.canary(made.id).run()

    def refuse(name: str) -> None:
        if name == "lectern-drill":
            rig.services.before = lambda _name: None
            raise ReleaseError("a policy forbids it")

    rig.services.before = refuse
    with pytest.raises(ReleaseError, match="whole set was taken back"):
        finish(rig.desk, rig.index, made.id)
    assert rig.one_set() == "0000001"


class Killed(BaseException):
    """The machine of the build went away."""


@pytest.mark.parametrize(
    "writes", [*range(0, 32, 3), *(pytest.param(n, marks=pytest.mark.full) for n in range(32) if n % 3)]
)
def test_a_build_killed_at_any_write_leaves_what_the_next_one_can_mend(tmp_path: Path, writes: int) -> None:
    """One kill at the wrong moment would leave functions on different releases, or readers on a candidate."""
    rig = Rig(tmp_path)
    rig.build(1)
    left = [writes]

    def strike(_name: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    rig.services.before = strike
    try:
        rig.build(2)
        survived = True
    except Killed:
        survived = False
    rig.services.before = lambda _name: None
    rig.sleep(rig.desk.environment.platform.canary.lease_seconds + 1)
    found = rig.standing()
    if found.candidate:
        rig.canary("0000002").run()
        finish(rig.desk, rig.index, "0000002")
        assert rig.one_set() == "0000002"
    elif survived or found.stable == "0000002":
        finish(rig.desk, rig.index, "0000002")
        assert rig.one_set() == "0000002"
    assert rig.build(3).id == rig.one_set()


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(n, marks=pytest.mark.full) for n in range(3, 40))]
)
def test_conflicts_and_cut_calls_change_nothing_in_the_end(tmp_path: Path, seed: int) -> None:
    """A release would fail, or move readers twice, because somebody else looked at the same service."""
    rig = Rig(tmp_path)
    rig.build(1)
    dice = random.Random(seed)

    def strike(name: str) -> None:
        if dice.random() < 0.2:
            kind = dice.choice((PreconditionFailed, Unreachable))
            raise kind("cloud-run", f"change {name}", "as the test asked for")

    rig.services.before = strike
    made = rig.build(2)
    assert rig.one_set() == made.id


# ------------------------------------------------------------ chat in a second region

AWAY = f"{CHAT}@us-central1"


@pytest.fixture
def two(tmp_path: Path) -> Rig:
    """An environment with chat in two regions behind a load balancer, and a first release on it."""
    made = Rig(tmp_path, "us-central1")
    made.build(1)
    return made


def serving(rig: Rig, name: str) -> dict[str, int]:
    return {one.revision: one.percent for one in rig.services.services[name].traffic if one.percent}


def test_the_second_region_follows_with_the_others(two: Rig) -> None:
    """Half of the readers would meet Google's sample page, or the release before, for good."""
    two.services.log.clear()
    made = two.build(2)
    assert two.one_set() == made.id
    assert serving(two, AWAY) == {f"{CHAT}-{made.id}": 100}
    shares = [
        {one.revision: one.percent for one in change.traffic}.get(f"{CHAT}-{made.id}")
        for name, change in two.services.log
        if name == AWAY and change.traffic
    ]
    assert [one for one in shares if one is not None] == [0, 100, 100], "it meets no reader before the end"
    manifest = two.desk.manifests.get(made.id, two.desk.call())
    assert manifest.revisions[AWAY] == f"{CHAT}-{made.id}"
    assert manifest.before[AWAY] == f"{CHAT}-0000001"
    templates = {name: change.template for name, change in two.services.log if change.template}
    assert templates[AWAY] == templates[CHAT], "the same in both regions"


def test_each_region_leaves_through_its_own_network(two: Rig) -> None:
    """Cloud Run would refuse the revision: a subnetwork belongs to one region."""
    own = two.desk.environment
    direct = replace(own, platform=replace(own.platform, network=Network(egress="direct")))
    found = members(direct.platform)
    subnets = {
        name: function_template(direct, member, "i", "r", "1").subnet for name, member in found.items()
    }
    assert subnets.pop(AWAY) == "lectern-us-central1"
    assert set(subnets.values()) == {"lectern-europe-west1"}


def test_a_candidate_that_does_not_serve_there_is_condemned(two: Rig) -> None:
    """Readers of the second region would meet a version that nobody has asked there."""
    made = two.deploy(2)
    asked = []

    def alive(service: str, url: str, _deadline: Deadline) -> str:
        asked.append((service, url))
        return "GET /ready answered 503" if service == AWAY else ""

    with pytest.raises(ReleaseUnhealthy, match="lectern-chat@us-central1: GET /ready answered 503"):
        two.canary(made.id, alive).smoke()
    assert (AWAY, f"http://c-{made.id}---{AWAY}") in asked
    assert two.one_set() == "0000001"
    assert {one.tag for one in two.services.services[AWAY].traffic} == {"stable"}


def test_a_container_that_does_not_come_up_there_is_taken_back_everywhere(two: Rig) -> None:
    """The regions would stay on different releases."""

    def refuse(name: str) -> None:
        if name == AWAY:
            two.services.broken.add(two.image(2))

    two.services.before = refuse
    with pytest.raises(ReleaseUnhealthy, match="did not come up"):
        two.build(2)
    assert two.one_set() == "0000001"


@pytest.mark.parametrize("bad_at", [0, 10, 100])
def test_a_bad_candidate_never_reaches_the_second_region(two: Rig, bad_at: int) -> None:
    """What the first region has found to be bad would still be given to the second."""
    two.answers.candidate = lambda share: BAD if share >= bad_at else GOOD
    with pytest.raises(ReleaseUnhealthy):
        two.build(2)
    assert two.one_set() == "0000001"
    assert {one.tag for one in two.services.services[AWAY].traffic} == {"stable"}


def test_a_second_region_that_cannot_follow_takes_the_set_back(two: Rig) -> None:
    """Readers would get another version on every second request."""
    made = two.deploy(2)
    two.canary(made.id).run()

    def refuse(name: str) -> None:
        if name == AWAY:
            two.services.before = lambda _name: None
            raise ReleaseError("a policy forbids it")

    two.services.before = refuse
    with pytest.raises(ReleaseError, match="lectern-chat@us-central1: a policy forbids it"):
        finish(two.desk, two.index, made.id)
    assert two.one_set() == "0000001"


def test_a_rollback_moves_both_regions(two: Rig) -> None:
    """Half of the readers would stay on the release that was taken back."""
    two.build(2)
    plan = plan_rollback(two.desk, two.index)
    assert plan.revisions[AWAY] == f"{CHAT}-0000001"
    assert not plan.templates
    rolled_back(two)
    assert two.one_set() == "0000001"
    two.build(3, by_hand=True)
    rolled_back(two, "0000001")
    assert two.one_set() == "0000001"


def test_readers_moved_by_hand_in_the_second_region_alone_stay(two: Rig) -> None:
    """A build would undo what an operator did there, since nobody looked."""
    two.build(2)
    by_hand(two, f"{CHAT}-0000001", AWAY)
    found = two.standing()
    assert found.by_hand == (AWAY,)
    assert found.differing() == {AWAY: "0000001"}
    status = shown(found, [], two.now)
    assert status["moved_by_hand"] == [AWAY]
    assert status["serving"][AWAY] == {"0000001": 100}
    assert f"{AWAY} do not serve what chat serves" in status["next"]
    with pytest.raises(ReleaseHeld, match="lectern-chat@us-central1"):
        two.build(3)
    rolled_back(two, "0000002")
    assert two.one_set() == "0000002"


def test_a_region_that_comes_later_gets_what_readers_are_on_with_the_next_release(rig: Rig) -> None:
    """Switching the load balancer on would need a rollback or a second release to become one set."""
    rig.apply("us-central1")
    assert rig.standing().differing() == {AWAY: ""}
    made = rig.build(2)
    assert rig.one_set() == made.id
    rig.apply("")
    assert rig.build(3).id == rig.one_set()


@pytest.mark.parametrize("to", ["", "0000001"])
def test_a_rollback_behind_the_region_brings_the_older_release_there(rig: Rig, to: str) -> None:
    """Readers of the younger region would get Google's sample, or stay on the bad release."""
    rig.apply("us-central1")
    rig.build(2)
    plan = plan_rollback(rig.desk, rig.index, to)
    assert plan.templates[AWAY].image == rig.image(1)
    assert plan.notes == (f"{AWAY} is younger than release 0000001: it gets its image now",)
    rolled_back(rig, to)
    assert rig.one_set() == "0000001"
    rig.build(3, by_hand=True)
    assert not plan_rollback(rig.desk, rig.index, "0000001").templates, "it is there now"
    rolled_back(rig, "0000001")
    assert rig.one_set() == "0000001"


def test_an_older_release_that_does_not_come_up_there_leaves_readers_where_they_are(rig: Rig) -> None:
    """A route to a container that does not start could not be changed any more."""
    rig.apply("us-central1")
    made = rig.build(2)
    rig.services.broken.add(rig.image(1))
    plan = plan_rollback(rig.desk, rig.index)
    outcomes = roll_back(rig.desk, rig.index, plan, "")
    assert [one.service for one in outcomes if one.error] == [AWAY]
    assert serving(rig, AWAY) == {f"{CHAT}-{made.id}": 100}
    assert serving(rig, CHAT) == {f"{CHAT}-0000001": 100}


def test_a_rollback_asks_nobody_about_a_region_that_is_gone(two: Rig) -> None:
    """A rollback would end with an error for a service that Terraform has taken away."""
    two.build(2)
    two.apply("")
    del two.services.services[AWAY]
    rolled_back(two)
    assert two.one_set() == "0000001"


# ------------------------------------------------------------ what does not go together


def test_a_candidate_that_needs_a_newer_schema_is_refused(rig: Rig) -> None:
    """Every question would fail on a column that is not there."""
    code = Code("0009_more", "", "f1", "0004_ingestion")
    with pytest.raises(ReleaseRefused, match="needs schema 0009_more"):
        rig.deploy(2, code=code)
    assert rig.one_set() == "0000001"


def test_a_candidate_whose_migrations_take_from_stable_is_refused(rig: Rig) -> None:
    """Stable would fail while it still has readers."""
    code = Code("0009_less", "0008", "f1", "0009_less")
    with pytest.raises(ReleaseRefused, match="take away what code older than schema 0008 needs"):
        rig.deploy(2, code=code)


def test_a_rollback_over_a_contraction_is_refused(rig: Rig) -> None:
    """Readers would be taken back to code that the database has no tables for any more."""
    for number, code in (
        (2, Code("0008_more", "", "f1", "0008_more")),
        (3, Code("0009_less", "0008", "f1", "0009_less")),
    ):
        made = rig.deploy(number, code=code)
        rig.canary(made.id).run()
        finish(rig.desk, rig.index, made.id)
    with pytest.raises(ReleaseRefused, match="was made for schema 0004"):
        plan_rollback(rig.desk, rig.index, "0000001")
    assert plan_rollback(rig.desk, rig.index).target == "0000002"


def test_a_rollback_brings_the_index_that_the_release_reads(rig: Rig) -> None:
    """Code would search an index that was made for another model."""
    made = rig.deploy(2, code=Code("0004_ingestion", "", "f2", "0004_ingestion"))
    rig.canary(made.id).run()
    finish(rig.desk, rig.index, made.id)
    rig.index.index = Index("g0002", {"g0001": "f1", "g0002": "f2"})
    rolled_back(rig)
    assert rig.index.index.live == "g0001"
    assert rig.one_set() == "0000001"


def test_a_rollback_to_an_index_that_is_gone_is_refused(rig: Rig) -> None:
    """Readers would get nothing, and nobody would know why."""
    made = rig.deploy(2, code=Code("0004_ingestion", "", "f2", "0004_ingestion"))
    rig.canary(made.id).run()
    finish(rig.desk, rig.index, made.id)
    rig.index.index = Index("g0003", {"g0003": "f2"})
    with pytest.raises(ReleaseRefused, match="reads generation g0001 of the index, which is gone"):
        plan_rollback(rig.desk, rig.index)


def test_an_image_is_named_by_its_digest(rig: Rig) -> None:
    """A tag would mean another image tomorrow, and a rollback would not be exact."""
    with pytest.raises(ReleaseError, match="by its digest"):
        rig.deploy(2, image="europe-docker.pkg.dev/p/lectern:latest")
    assert CODE.schema
