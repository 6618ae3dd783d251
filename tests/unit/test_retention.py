"""Which recovery points are kept: the rules hold for every bucket, policy and clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.recovery.retention import DAY, Decision, Orphan, PointFacts, Policy, decide

quietly = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
NOW = 1_800_000_000.0
times = st.floats(NOW - 900 * DAY, NOW + 900 * DAY)
holds = st.one_of(st.none(), st.text(max_size=5))
numbers = st.integers(0, 8)
policies = st.builds(
    Policy,
    days=st.floats(0, 400),
    last=numbers,
    daily=numbers,
    weekly=numbers,
    monthly=numbers,
    orphan_days=st.floats(0, 10),
)


@st.composite
def buckets(draw: st.DrawFn) -> tuple[list[PointFacts], list[Orphan]]:
    count = draw(st.integers(0, 25))
    points = [
        PointFacts(f"p{number}", draw(times), draw(st.booleans()), draw(holds)) for number in range(count)
    ]
    orphans = [Orphan(f"o{number}", draw(times), draw(holds)) for number in range(draw(st.integers(0, 4)))]
    return points, orphans


def kept(decisions: Sequence[Decision]) -> set[str]:
    return {one.id for one in decisions if one.keep}


def daily(count: int, verified: int | None = None) -> list[PointFacts]:
    """A point a day; number 0 is the newest."""
    return [PointFacts(f"p{n}", NOW - n * DAY, n == verified) for n in range(count)]


@quietly
@given(buckets(), policies, times)
def test_what_may_never_go_stays(
    bucket: tuple[list[PointFacts], list[Orphan]], policy: Policy, now: float
) -> None:
    """An operator would find that the only backup that was proved, or that a court asked for, is gone."""
    points, orphans = bucket
    decisions = decide(points, orphans, policy, now)
    stay = kept(decisions)
    assert {one.id for one in [*points, *orphans] if one.hold is not None} <= stay
    for chosen in ([one for one in points if one.verified], points):
        if chosen:
            assert max(chosen, key=lambda one: (one.at, one.id)).id in stay


@quietly
@given(buckets(), policies, times)
def test_every_point_has_one_decision_and_a_reason(
    bucket: tuple[list[PointFacts], list[Orphan]], policy: Policy, now: float
) -> None:
    """An operator would not learn why a point is gone, or not whether it is."""
    points, orphans = bucket
    decisions = decide(points, orphans, policy, now)
    assert sorted(one.id for one in decisions) == sorted(one.id for one in [*points, *orphans])
    assert all(one.reasons and all(one.reasons) for one in decisions)
    assert [one.at for one in decisions] == sorted((one.at for one in decisions), reverse=True)


@quietly
@given(buckets(), policies, times)
def test_removing_what_goes_changes_no_other_decision(
    bucket: tuple[list[PointFacts], list[Orphan]], policy: Policy, now: float
) -> None:
    """A pass that was killed and runs again would remove more than it said."""
    points, orphans = bucket
    stay = kept(decide(points, orphans, policy, now))
    rest = [one for one in points if one.id in stay]
    left = [one for one in orphans if one.id in stay]
    assert kept(decide(rest, left, policy, now)) == stay


@quietly
@given(buckets(), policies, times, st.floats(0, 4000))
def test_a_clock_that_runs_ahead_removes_no_more_than_the_newest_point_allows(
    bucket: tuple[list[PointFacts], list[Orphan]], policy: Policy, now: float, days: float
) -> None:
    """A machine whose clock is years ahead would empty the bucket."""
    points, orphans = bucket
    newest = max([one.at for one in points] + [one.updated for one in orphans], default=now)
    at = max(now, newest)
    assert kept(decide(points, orphans, policy, at + days * DAY)) == kept(decide(points, orphans, policy, at))


def test_the_default_keeps_thirty_days() -> None:
    """An operator who reads `30 days` would miss points of them."""
    decisions = decide(daily(40), [], Policy(), NOW)
    assert kept(decisions) == {f"p{n}" for n in range(30)}
    assert decisions[-1].reasons == ("older than 30 days, and no other rule keeps it",)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(days=0, last=2), {0, 1}),
        (Policy(days=0, last=0, daily=3), {0, 1, 2}),
        # 15 January 2027 is a Friday: the newest of its week, then the Sundays before.
        (Policy(days=0, last=0, weekly=3), {0, 5, 12}),
        (Policy(days=0, last=0, monthly=2), {0, 15}),
        (Policy(days=2, last=0, monthly=2), {0, 1, 15}),
    ],
)
def test_each_rule_keeps_what_its_name_says(policy: Policy, expected: set[int]) -> None:
    """An operator would set a rule and get another one."""
    assert kept(decide(daily(28), [], policy, NOW)) == {f"p{n}" for n in expected}


def test_the_last_verified_point_outlives_every_rule() -> None:
    """The only point that is known to restore would go because newer, unproved ones exist."""
    decisions = decide(daily(400, verified=399), [], Policy(days=1, last=1), NOW)
    assert kept(decisions) == {"p0", "p399"}
    assert decisions[-1].reasons == ("the newest verified point",)


def test_points_stay_when_backups_have_stopped() -> None:
    """A schedule that was switched off would cost the last month of backups, one a day."""
    assert len(kept(decide(daily(30), [], Policy(), NOW + 365 * DAY))) == 30


def test_parts_of_a_backup_under_way_are_left_alone() -> None:
    """Retention would pull away the parts of a backup that runs at the same time."""
    orphans = [Orphan("old", NOW - 3 * DAY), Orphan("running", NOW - DAY)]
    decisions = decide(daily(1), orphans, Policy(), NOW)
    assert kept(decisions) == {"p0", "running"}
    assert "a backup may be under way" in next(one for one in decisions if one.id == "running").reasons[0]
