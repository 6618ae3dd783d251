"""The splitter that cuts a streamed answer into sentences."""

# ruff: noqa: RUF001 - marks of other scripts are meant
from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.answering.sentences import LONGEST, Sentences, split

WHOLE = [
    ["Install it. [1] ", "Then run it [2]. ", "npm is needed. [3]"],
    ["Use version 1.2.3 of config.yaml, e.g. from https://x.org/a.b?c=d. ", "It is 3.5 MB. [1]"],
    ["Call `a. B()` first. ", "Then stop! ", "Why? ", "Because…"],
    ["Call ``x ` . Y`` first. ", "Then stop."],
    ["1. Pick it. [1]\n", "2. Store it [2]\n", "   - Never warm. [3][4]\n\n", "Done."],
    ["Steps:\n", "- First one\n", "- Second one"],
    ["See i.e. Dr. J. Smith vs. Node.js etc. and more. ", "Next etc. ", "And so on."],
    ["苹果存放在3度。[1]", "梨在树下成熟！【2】", "好吗？"],
    ["「はい。」", "次です。"],
    ['He says "Stop." [1] ', "Then (it ends.) ", "So."],
    ["Run this:\n", "```bash\na. B\n\nC. d\n```\n[1]\n", "Then go."],
    ["Run this: [1]\n", "~~~\n```\nx\n~~~\n", "After."],
    ["A line that\nwraps here. ", "Next."],
    ["# Title\n", "Text."],
    ["Both [1, 2]. ", "Next [3–5]. ", "End."],
    ["A stray ` backtick. ", "Here\n\n", "Next one."],
    ["Wait... and go on. ", "Well... ", "Good."],
    ["Is it [a link](x)? ", "Yes."],
    ["क्या यह है। ", "हाँ।"],
]


@pytest.mark.parametrize("pieces", WHOLE, ids=lambda pieces: pieces[0][:20])
def test_a_text_is_cut_at_its_sentences(pieces: list[str]) -> None:
    """A sentence would be checked by halves and dropped, or carry the marker of its neighbour."""
    assert split("".join(pieces)) == pieces


ODD = st.text(
    alphabet=st.one_of(st.sampled_from(list("`~.!?。[]【】12, \n\t-*#()\"'aBz:<>|_…")), st.characters())
)


@settings(max_examples=400, deadline=None)
@given(text=ODD, seed=st.integers(0, 2**32))
def test_nothing_is_lost_and_arrival_does_not_matter(text: str, seed: int) -> None:
    """A reader's answer would lack words, or be cut otherwise each time."""
    dice = random.Random(seed)
    sentences = Sentences()
    got: list[str] = []
    at = 0
    while at < len(text):
        size = dice.choice([1, 1, 2, 3, 7, 40])
        got += sentences.feed(text[at : at + size])
        at += size
    got += sentences.rest()
    assert "".join(got) == text
    assert all(got)
    assert got == split(text)


def test_a_sentence_is_given_as_soon_as_the_next_begins() -> None:
    """The reader would wait for the whole answer before the first word."""
    sentences = Sentences()
    assert list(sentences.feed("Store apples cool. [1]")) == []
    assert list(sentences.feed(" P")) == ["Store apples cool. [1] "]


def test_an_endless_sentence_is_cut() -> None:
    """A model gone wrong would fill the memory of the instance."""
    pieces = split("x" * (2 * LONGEST + 5))
    assert [len(piece) for piece in pieces] == [LONGEST, LONGEST, 5]
    fence = split("```\n" + "y. Z\n" * LONGEST)
    assert max(map(len, fence)) == LONGEST
