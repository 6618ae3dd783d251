"""Scores of citations, and the wrong sentences that the check is tried on."""

from __future__ import annotations

import random

from shared.evaluation.citations import IDENTIFIER, NUMBER, Corruptor, Shown, citation_scores
from shared.evaluation.golden import GoldenQuestion

QUESTION = GoldenQuestion("1", "q", "userq", frozenset(), {"a": 1})


def test_citations_are_scored_by_hand() -> None:
    """The figures in the README could not be compared with anybody else's."""
    shown = [
        Shown(QUESTION, ("a", "b"), 4, 3, {"words": 1}),
        Shown(QUESTION, ("b", "a"), 0, 0),
        Shown(QUESTION, (), 4, 1, {"words": 2, "number": 1}),
    ]
    assert citation_scores(shown).as_json() == {
        "questions": 3,
        "first_relevant": 0.3333,
        "any_relevant": 0.6667,
        "citations": 1.33,
        "verified": 0.5,
        "dropped": {"words": 3, "number": 1},
    }
    assert "verified" not in citation_scores([Shown(QUESTION, ("a",))]).as_json()


def test_a_corruption_changes_one_thing_and_is_repeatable() -> None:
    """The share of caught mistakes would be of sentences that are not wrong, or change with each run."""
    told = ["Set `maxAge` to 30 now.", "Use max_retries with 1.5 seconds.", "Nothing here."]
    made = Corruptor(told, random.Random(1))
    number = made.corrupt(told[0], NUMBER)
    named = made.corrupt(told[0], IDENTIFIER)
    assert number is not None
    assert named is not None
    assert number.text == "Set `maxAge` to 1.5 now."
    assert named.text == "Set `max_retries` to 30 now."
    assert made.corrupt(told[2], NUMBER) is None
    assert Corruptor(told[:1], random.Random(1)).corrupt(told[0], NUMBER) is None
    assert Corruptor(told, random.Random(1)).corrupt(told[0], NUMBER) == number
