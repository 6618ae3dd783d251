"""The contract of :class:`shared.ports.Questions`, on every server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.questions import NeonQuestions
from shared.ports import AskedQuestion, Feedback, Json
from tests.contract.neon.test_answers import ANSWER
from tests.contract.neon_servers import soon

NOW = 1_795_600_000.0


@pytest.fixture
def log(pool: Pool) -> NeonAnswerLog:
    return NeonAnswerLog(pool)


def record(
    log: NeonAnswerLog, name: str, at: float, kind: str = "extractive", detail: Json | None = None
) -> None:
    answer = replace(ANSWER, id=name, conversation_id=name, question=f"{name}?", asked_at=at, kind=kind)
    log.record(replace(answer, detail=detail), soon())


def rate(log: NeonAnswerLog, name: str, rating: str) -> None:
    log.give_feedback(Feedback(name, rating, "", f"about {name}", NOW), soon())


def gaps(pool: Pool, since: float = NOW - 100, limit: int = 100) -> list[AskedQuestion]:
    return NeonQuestions(pool).gaps(since, NOW + 1, 0.5, limit, soon())


def test_only_what_was_not_answered_well_is_read(log: NeonAnswerLog, pool: Pool) -> None:
    """The report would hold every question, or miss those that readers disliked."""
    record(log, "none", NOW, "not_found", {"coverage": 0.9})
    record(log, "good", NOW - 1, "extractive", {"coverage": 0.5})
    record(log, "weak", NOW - 2, "generated", {"coverage": 0.25})
    record(log, "disliked", NOW - 3, "generated", {"coverage": 1})
    record(log, "liked", NOW - 4)
    rate(log, "disliked", "down")
    rate(log, "liked", "up")
    found = {one.question: (one.kind, one.coverage, one.rating, one.comment) for one in gaps(pool)}
    assert found == {
        "none?": ("not_found", 0.9, "", ""),
        "weak?": ("generated", 0.25, "", ""),
        "disliked?": ("generated", 1.0, "down", "about disliked"),
    }
    assert [one.asked_at for one in gaps(pool)] == [NOW, NOW - 2, NOW - 3]


def test_the_newest_are_read_and_no_others(log: NeonAnswerLog, pool: Pool) -> None:
    """A year of questions would be read into memory for last week's report."""
    for number in range(5):
        record(log, f"q{number}", NOW - 10 * number, "not_found")
    assert [one.question for one in gaps(pool, limit=2)] == ["q0?", "q1?"]
    assert [one.question for one in gaps(pool, since=NOW - 20)] == ["q0?", "q1?", "q2?"]


def test_pages_are_those_that_were_cited_or_near(log: NeonAnswerLog, pool: Pool) -> None:
    """A writer would not learn which page a reader was sent to."""
    detail: Json = {
        "citations": [
            {"title": "Apples", "url": "/docs/apples#storing", "n": 1},
            {"title": "Apples", "url": "/docs/apples#picking", "n": 2},
        ],
        "nearest": [{"title": "Pears", "url": "/docs/pears"}],
    }
    record(log, "q", NOW, "not_found", detail)
    assert gaps(pool)[0].pages == (("Apples", "/docs/apples"), ("Pears", "/docs/pears"))


@pytest.mark.parametrize(
    "detail",
    [
        None,
        {},
        {"coverage": "low"},
        {"coverage": None, "citations": 7},
        {"nearest": [1, {"url": 2}, {"title": 3}]},
    ],
)
def test_what_older_releases_kept_is_read(log: NeonAnswerLog, pool: Pool, detail: Json | None) -> None:
    """The report would fail for as long as there is an answer from before it."""
    record(log, "q", NOW, "not_found", detail)
    record(log, "answered", NOW, "extractive", detail)
    [one] = gaps(pool)
    assert (one.coverage, one.pages) == (None, ())


def test_all_questions_are_counted_by_span(log: NeonAnswerLog, pool: Pool) -> None:
    """Ten gaps of twenty questions and ten of a thousand would look the same."""
    for number, at in enumerate((NOW - 30, NOW - 30, NOW - 20, NOW - 1)):
        record(log, f"q{number}", at)
    questions = NeonQuestions(pool)
    assert questions.asked([NOW - 40, NOW - 30, NOW - 20, NOW - 10], NOW, soon()) == [0, 2, 1, 1]
    assert questions.asked([NOW - 30], NOW - 20, soon()) == [2]
