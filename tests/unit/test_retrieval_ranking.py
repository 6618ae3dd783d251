"""From ranked lists to ranked pages."""

from __future__ import annotations

import math
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ports import Hit
from shared.retrieval.chunks import page_key, point_id
from shared.retrieval.profiles import LEXICAL, MINILM, UNMEASURED, decide, profile_for
from shared.retrieval.ranking import RankedPage, rank_pages

IDS = [point_id(f"https://site/{page}", "passage", (), str(n)) for page in "abcdef" for n in range(4)]
HITS = st.dictionaries(st.sampled_from(IDS), st.floats(0, 100, allow_nan=False), max_size=20).map(
    lambda found: [Hit(*pair) for pair in found.items()]
)
COSINES = st.dictionaries(st.sampled_from(IDS), st.floats(-1, 1, allow_nan=False), max_size=20).map(
    lambda found: [Hit(*pair) for pair in found.items()]
)


def by_page(pages: tuple[RankedPage, ...]) -> dict[str, RankedPage]:
    return {page.key: page for page in pages}


def test_the_formula_on_numbers_worked_by_hand() -> None:
    """The measured quality would be lost to a slip in the fusion."""
    a, b = IDS[:4], IDS[4:8]
    passages = [Hit(a[0], 10.0), Hit(a[1], 5.0), Hit(a[2], 4.0), Hit(a[3], 3.0), Hit(b[0], 6.05)]
    headings = [Hit(b[0], 3.0), Hit(a[0], 1.5)]
    dense = [Hit(a[0], 0.2), Hit(b[1], 0.6)]
    pages = by_page(rank_pages(passages, headings, dense, dense_weight=0.4))
    first, second = pages[page_key(a[0])], pages[page_key(b[0])]
    assert first.lexical == pytest.approx(1.0)  # (12.1 / 12.1 + .2 * .5) / 1.1
    assert second.lexical == pytest.approx((0.5 + 0.2) / 1.1)
    assert (first.dense, second.dense) == (0.0, 1.0)
    assert first.score == pytest.approx(1.0)
    assert second.score == pytest.approx(0.7 / 1.1 + 0.4)
    assert [hit.id for hit in second.points] == [b[0], b[1]]


def test_fusion_keeps_its_promises(full: bool) -> None:
    """The same question would give other pages on another engine, or after a restart."""

    @settings(max_examples=5000 if full else 200, deadline=None, derandomize=True, database=None)
    @given(HITS, HITS, COSINES, st.randoms(use_true_random=False))
    def check(passages: list[Hit], headings: list[Hit], dense: list[Hit], random: object) -> None:
        pages = rank_pages(passages, headings, dense, dense_weight=0.4)
        for hits in (passages, headings, dense):
            random.shuffle(hits)  # type: ignore[attr-defined]
        assert rank_pages(passages, headings, dense, dense_weight=0.4) == pages
        assert {page.key for page in pages} == {page_key(hit.id) for hit in (*passages, *headings, *dense)}
        assert all(math.isfinite(page.score) and 0 <= page.score <= 1.4 + 1e-9 for page in pages)
        assert [(-page.score, page.key) for page in pages] == sorted(
            (-page.score, page.key) for page in pages
        )
        assert {hit.id for page in pages for hit in page.points} == {
            hit.id for hit in (*passages, *headings, *dense)
        }

    check()


def test_only_the_fifty_nearest_pages_count_as_near() -> None:
    """Every page would get a share of nearness, and long sites other rankings than short ones."""
    hits = [Hit(str(uuid.UUID(int=n << 64)), 1 - n / 100) for n in range(1, 61)]
    pages = rank_pages([], [], hits, dense_weight=1.0)
    assert sum(page.dense > 0 for page in pages) == 49
    assert len(pages) == 50


def test_no_hits_no_pages() -> None:
    """A question of unknown words would fail in place of getting "the docs do not say"."""
    assert rank_pages([], [], [], dense_weight=0.4) == ()


def test_a_decision_says_why() -> None:
    """An operator could not tell why the assistant stays silent."""
    sure, unsure = decide(0.9, 0.6, MINILM), decide(0.2, 0.2, MINILM)
    assert sure.answerable
    assert not unsure.answerable
    assert any("90%" in reason for reason in sure.reasons)
    assert any("threshold" in reason for reason in unsure.reasons)


def test_without_vectors_words_alone_decide() -> None:
    """While the embedding service is down nothing would be answered, or everything."""
    assert decide(0.6, None, MINILM).answerable
    assert not decide(0.2, None, MINILM).answerable
    assert decide(0.6, None, MINILM).confidence == 0.6


def test_each_model_has_its_profile() -> None:
    """Thresholds of one model would be used for another's cosines."""
    assert profile_for(None) == profile_for("") == LEXICAL
    assert profile_for("all-MiniLM-L6-v2-int8@abc") == MINILM
    assert profile_for("gemini-embedding-001@768") == UNMEASURED
