"""Passages in Postgres: what ingestion writes is what a question finds when Qdrant is away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.adapters.neon.fulltext import NeonFullText, NeonPassages
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.errors import Missing, Rejected
from shared.ports import Condition, Generation, PageRecord, PassageText
from tests.contract.neon_servers import soon


def passage(name: str, url: str, words: str, **payload: str) -> PassageText:
    whole = {"url": url, "title": "T", "headings": ["A", "B"], "anchor": "a", "text": words, "position": 0}
    return PassageText(name, {**whole, "version": "", "locale": "", **payload}, tuple(words.split()))


FIRST = passage("1", "/a", "store apples at three degrees max_retry", version="2.0")
SECOND = passage("2", "/a", "pick apples in september", version="1.0")
THIRD = passage("3", "/b", "sell pears at the gate")


@pytest.fixture
def filled(pool: Pool) -> Pool:
    ledger = NeonLedger(pool)
    ledger.start_generation(Generation("g1", "f", "s", "building", 0, 0), soon())
    ledger.save_pages("g1", [PageRecord("/a", "A", "h", 2), PageRecord("/b", "B", "h", 1)], soon())
    NeonPassages(pool).save_facts("g1", {"facts": 1}, soon())
    NeonPassages(pool).save_pages("g1", ["/a", "/b"], [FIRST, SECOND, THIRD], soon())
    return pool


def found(pool: Pool, *words: str, some: tuple[str, ...] = (), **options) -> list[str]:
    options.setdefault("limit", 10)
    weights = dict.fromkeys(words, 1.0)
    points = NeonFullText(pool).find("g1", weights, some or words, soon(), **options)
    return [point.id for point in points]


def test_passages_come_back_as_they_were(filled: Pool) -> None:
    """A reader in an outage would get another text or link than the docs have."""
    (point,) = NeonFullText(filled).find("g1", {"gate": 1.0}, [], soon(), limit=5)
    assert (point.id, dict(point.payload)) == (THIRD.id, dict(THIRD.payload))
    assert NeonFullText(filled).facts("g1", soon()) == {"facts": 1}


def test_passages_are_read_page_by_page_in_the_order_of_ids(filled: Pool) -> None:
    """A repair would take passages for lost that are there."""
    store = NeonPassages(filled)
    one, two = store.read("g1", soon(), limit=2)
    assert (one.id, dict(one.payload)) == ("1", dict(FIRST.payload))
    assert two.id == "2"
    assert [point.id for point in store.read("g1", soon(), after="2")] == ["3"]
    assert [point.id for point in store.read("g1", soon(), urls=["/b", "/nowhere"])] == ["3"]
    assert store.read("g1", soon(), urls=[]) == store.read("g2", soon()) == []


def test_all_words_first_then_some(filled: Pool) -> None:
    """A question with one word that the passage lacks would find nothing."""
    assert found(filled, "apples", "september", limit=1) == ["2"]
    assert set(found(filled, "apples", "september")) == {"1", "2"}
    assert found(filled, "apples", "gate", some=("gate",)) == ["3"]
    assert found(filled, "max_retry") == ["1"]
    assert found(filled, "nowhere") == []


def test_the_heavier_word_ranks_first(filled: Pool) -> None:
    """Common words would decide which passages are seen at all."""
    points = NeonFullText(filled).find(
        "g1", {"apples": 0.1, "gate": 5.0}, ["apples", "gate"], soon(), limit=1
    )
    assert [point.id for point in points] == ["3"]


def test_conditions_join(filled: Pool) -> None:
    """A reader of one version would be answered from another."""
    newest = Condition("version", ("2.0", "3.0"))
    assert found(filled, "apples", conditions=[newest]) == ["1"]
    assert found(filled, "apples", conditions=[newest, Condition("version", ("1.0",))]) == []
    assert found(filled, "apples", conditions=[Condition("url", ("/b",))]) == []
    with pytest.raises(Rejected):
        found(filled, "apples", conditions=[Condition("words; DROP TABLE passages", ("x",))])


def test_writing_twice_changes_nothing_and_replaces_whole_pages(filled: Pool) -> None:
    """A passage that left its page would be quoted for ever, or one that stayed be lost."""
    store = NeonPassages(filled)
    store.save_pages("g1", ["/a", "/b"], [FIRST, SECOND, THIRD], soon())
    assert store.count("g1", soon()) == 3
    moved = replace(FIRST, payload={**FIRST.payload, "anchor": "new"})
    store.save_pages("g1", ["/a"], [moved, moved], soon())
    assert store.count("g1", soon()) == 2
    (point,) = NeonFullText(filled).find("g1", {"degrees": 1.0}, [], soon(), limit=5)
    assert point.payload["anchor"] == "new"
    store.save_pages("g1", ["/a"], [], soon())
    assert found(filled, "apples", "pears") == ["3"]


def test_passages_go_with_their_page_and_generation(filled: Pool) -> None:
    """Removed pages would come back in an outage."""
    NeonLedger(filled).remove_pages("g1", ["/a"], soon())
    assert found(filled, "apples", "pears") == ["3"]
    NeonLedger(filled).forget_generation("g1", soon())
    assert NeonPassages(filled).count("g1", soon()) == 0
    with pytest.raises(Missing):
        NeonFullText(filled).facts("g1", soon())


def test_only_a_live_generation_answers(filled: Pool) -> None:
    """Readers would be answered from an index that is being built."""
    with pytest.raises(Missing):
        NeonFullText(filled).live(soon())
    NeonLedger(filled).finish_generation("g1", 2, 3, soon())
    assert NeonFullText(filled).live(soon()) == "g1"


def test_a_count_without_facts_is_none(filled: Pool) -> None:
    """An index whose words have no weights would pass for whole."""
    with filled.transaction(soon(), "spoil") as transaction:
        transaction.script("DELETE FROM lexical_facts")
    assert NeonPassages(filled).count("g1", soon()) == 0


def test_any_text_can_be_stored_and_asked_for(filled: Pool) -> None:
    """One odd page would stop the ingestion of a site, one odd question end in an error."""
    odd = "it's \\ a'b \\' ''  é 日本 : & | ! ( * \x00 \ud800 " + "w" * 3000 + " " + "again " * 20_000
    store = NeonPassages(filled)
    words = tuple(odd.replace("\x00", "").replace("\ud800", "").split())
    store.save_pages("g1", ["/b"], [replace(passage("4", "/b", odd), words=words)], soon())
    for word in ("it's", "\\", "\\'", "''", "日本", "!", "again", "w" * 3000, "'; DROP TABLE passages --"):
        found(filled, word)
    assert found(filled, "it's", "\\'", "日本") == ["4"]
    (point,) = NeonFullText(filled).find("g1", {"again": 1.0}, [], soon(), limit=5)
    assert "\x00" not in point.payload["text"]
