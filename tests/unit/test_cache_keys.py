"""Which questions are one question to the cache, and which never are."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.answering.cache import CacheKey, is_keepable, normalised, pages_of

KEY = CacheKey("g1", "How do I pick?", "2.x", "en", "model", "2026-11-22")


def test_each_thing_that_an_answer_depends_on_is_in_its_key() -> None:
    """A reader of version 1 would get version 2's answer, or one of the prompt before."""
    others = {replace(KEY, **{field.name: "other"}).digest() for field in fields(KEY)}
    assert len(others | {KEY.digest()}) == len(fields(KEY)) + 1
    assert replace(KEY, version="en", locale="2.x").digest() != KEY.digest()


@pytest.mark.parametrize(
    "same", ["how do i pick", "  How  do\nI pick ?!", "HOW DO I PICK…", "\uff28ow do I pick?"]
)
def test_what_makes_no_difference_makes_none(same: str) -> None:
    """The same question would be paid for again for each way of typing it."""
    assert replace(KEY, question=same).digest() == KEY.digest()


@pytest.mark.parametrize(
    "other", ["How do I pick a?", "How do I pick -v?", "How do I pick x.y?", "HowdoI pick?"]
)
def test_what_makes_a_difference_is_kept(other: str) -> None:
    """A reader would get the answer to another question."""
    assert replace(KEY, question=other).digest() != KEY.digest()


@given(st.text(max_size=100))
def test_normalising_is_done_once(text: str) -> None:
    """A key would depend on how often a question was handed on, and any character must be taken."""
    once = normalised(text)
    assert normalised(once) == once
    assert len(replace(KEY, question=text).digest()) == 64


def test_only_whole_answers_with_pages_are_kept() -> None:
    """A poor answer of an outage would be given for an hour after it, or an absence for ever."""
    assert is_keepable("generated", ())
    assert is_keepable("extractive", ())
    assert not is_keepable("generated", ("vectors were not searched",))
    assert not is_keepable("not_found", ())
    assert pages_of(["/a#x", "/a#y", "/b"]) == ("/a", "/b")
