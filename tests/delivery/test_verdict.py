"""The verdict: a table of what can be seen of a candidate, and what follows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.chance import lost_more, more_often
from shared.delivery.observations import Asked, Observation, Pair
from shared.delivery.verdict import NO_READERS, Criteria, judge
from shared.ports import Readers

GOOD = Asked("q", 200, 0.2, right=True, cited=True)
DEGRADED = Asked("q", 200, 0.2, right=True, cited=True, degraded=("gemini: unreachable",))
WRONG = Asked("q", 200, 0.2, right=False, cited=True)
UNCITED = Asked("q", 200, 0.2, right=False, cited=False)
SLOW = Asked("q", 200, 2.0, right=True, cited=True)
FAILED = Asked("q", 500, 0.1)
SILENT = Asked("q", 0, 30.0)
LIMITED = Asked("q", 429, 0.01)
REFUSED = Asked("q", 404, 0.01)


def pairs(candidate: Asked, stable: Asked = GOOD, number: int = 20) -> tuple[Pair, ...]:
    return (Pair(candidate, stable),) * number


def quick(requests: int, errors: int = 0) -> Readers:
    return Readers(requests, errors, ((0.2, requests),))


@pytest.mark.parametrize(
    ("seen", "outcome", "measure"),
    [
        pytest.param(Observation(pairs(GOOD)), "healthy", "", id="as good"),
        pytest.param(Observation(pairs(FAILED)), "unhealthy", "errors", id="500s"),
        pytest.param(Observation(pairs(SILENT)), "unhealthy", "errors", id="no answer"),
        *(
            pytest.param(
                Observation(pairs(Asked("q", status, 0.01))),
                "unhealthy",
                "errors",
                id=f"refuses with {status}",
            )
            for status in (302, 400, 401, 403, 404)
        ),
        pytest.param(Observation(pairs(SLOW)), "unhealthy", "latency", id="slow"),
        pytest.param(Observation(pairs(WRONG)), "unhealthy", "answers", id="wrong"),
        pytest.param(Observation(pairs(UNCITED)), "unhealthy", "citations", id="citations off"),
        pytest.param(Observation(pairs(DEGRADED)), "unhealthy", "degraded", id="only it is without Gemini"),
        pytest.param(Observation(pairs(FAILED, FAILED)), "inconclusive", "errors", id="both fail"),
        pytest.param(Observation(pairs(REFUSED, REFUSED)), "inconclusive", "errors", id="both refuse"),
        pytest.param(
            Observation(pairs(REFUSED, number=10) + pairs(GOOD, REFUSED, number=10)),
            "inconclusive",
            "answers",
            id="nothing answered by both",
        ),
        pytest.param(Observation(pairs(GOOD, REFUSED)), "healthy", "", id="it mends stable's refusals"),
        pytest.param(Observation(pairs(DEGRADED, DEGRADED)), "inconclusive", "degraded", id="Gemini is out"),
        pytest.param(Observation(pairs(SLOW, SLOW)), "healthy", "", id="both slow"),
        pytest.param(Observation(pairs(GOOD, FAILED)), "healthy", "", id="it mends what stable has"),
        pytest.param(Observation(pairs(GOOD, DEGRADED)), "healthy", "", id="it mends stable's degradation"),
        pytest.param(Observation(pairs(GOOD, number=3)), "inconclusive", "questions", id="too few"),
        pytest.param(Observation(pairs(LIMITED)), "inconclusive", "questions", id="told to wait"),
        pytest.param(Observation(), "inconclusive", "questions", id="nothing"),
        pytest.param(
            Observation(pairs(GOOD), quick(300, 30), quick(300)),
            "unhealthy",
            "readers' errors",
            id="readers fail",
        ),
        pytest.param(
            Observation(pairs(GOOD), quick(300, 30), quick(300, 30)), "healthy", "", id="readers fail on both"
        ),
        pytest.param(
            Observation(pairs(GOOD), Readers(100, 0, ((1.0, 0), (3.0, 100))), quick(900)),
            "unhealthy",
            "readers' latency",
            id="readers wait",
        ),
        pytest.param(
            Observation(pairs(GOOD), Readers(100, refused=40), Readers(100, refused=4)),
            "unhealthy",
            "readers' refusals",
            id="readers are refused",
        ),
        pytest.param(
            Observation(pairs(GOOD), Readers(100, refused=15), Readers(100)),
            "healthy",
            "",
            id="one reader with a wrong key",
        ),
        pytest.param(Observation(pairs(GOOD), quick(3), quick(50)), "healthy", "", id="few readers"),
        pytest.param(
            Observation(pairs(GOOD), unmeasured="403"), "inconclusive", "readers", id="not measured"
        ),
        pytest.param(
            Observation(pairs(DEGRADED, DEGRADED), quick(300, 60), quick(300), same_time=False),
            "inconclusive",
            "degraded",
            id="an outage after stable lost its readers",
        ),
    ],
)
def test_verdicts(seen: Observation, outcome: str, measure: str) -> None:
    """A bad release would reach readers, or a good one would be taken back for what was not its fault."""
    found = judge(seen)
    assert found.outcome == outcome, found
    wanted = {"unhealthy": "worse", "inconclusive": "unknown"}.get(outcome)
    assert not measure or (measure, wanted) in [(one.measure, one.outcome) for one in found.findings]
    assert found.reasons
    assert all(reason.strip() for reason in found.reasons)


def test_a_step_without_readers_says_so() -> None:
    """A verdict would seem to stand on readers, whose requests Cloud Monitoring had not shown yet."""
    found = judge(Observation(pairs(GOOD), with_readers=True))
    assert found.outcome == "healthy"
    assert NO_READERS in found.reasons
    assert NO_READERS not in judge(Observation(pairs(GOOD))).reasons


def test_a_refusal_is_named() -> None:
    """Nobody would know from the reasons whether to look for a crash or for a route that is gone."""
    assert "20 of 20 failed with 404 (0 on stable)" in judge(Observation(pairs(REFUSED))).reasons


def test_one_failure_condemns_nobody() -> None:
    """A good release would be taken back for one unlucky request."""
    seen = Observation((*pairs(GOOD, number=19), Pair(FAILED, GOOD)))
    assert judge(seen).outcome == "healthy"


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_the_exact_tests_are_probabilities(a: int, b: int, c: int, d: int) -> None:
    """A verdict would rest on a number that is no probability."""
    for chance in (more_often(min(a, b), b, min(c, d), d), lost_more(a, b)):
        assert 0.0 <= chance <= 1.0 + 1e-9


def test_the_exact_tests_give_known_values() -> None:
    """The formulas would be wrong in a way that no verdict shows."""
    # The lady tasting tea (Fisher, 1935): 3 of 4 right by chance or better.
    assert math.isclose(more_often(3, 4, 1, 4), 17 / 70)
    assert math.isclose(more_often(4, 4, 0, 4), 1 / 70)
    assert math.isclose(lost_more(9, 1), 11 / 1024)
    assert more_often(1, 0, 0, 5) == lost_more(0, 0) == 1.0


@given(
    st.lists(
        st.sampled_from([GOOD, FAILED, SLOW, WRONG, UNCITED, DEGRADED, SILENT, LIMITED, REFUSED]), max_size=40
    ),
    st.integers(0, 200),
)
def test_the_same_on_both_sides_condemns_nobody(asked: list[Asked], requests: int) -> None:
    """An outage that both meet would take a good release back."""
    alike = Observation(
        tuple(Pair(one, one) for one in asked), quick(requests, requests // 3), quick(requests, requests // 3)
    )
    assert judge(alike, Criteria()).outcome != "unhealthy"
