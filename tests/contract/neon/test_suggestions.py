"""The contract of :class:`shared.ports.SuggestionStore`, on every server."""

from __future__ import annotations

import pytest

from shared.adapters.neon.fulltext import NeonPassages
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.suggestions import NeonSuggestions
from shared.ports import (
    Generation,
    PageOutline,
    PageRecord,
    PassageText,
    SuggestedQuestion,
    SuggestionSet,
    SuggestionStore,
)
from shared.retrieval.candidates import passage_text
from shared.retrieval.chunks import Chunk
from tests.contract.neon_servers import soon


@pytest.fixture
def ledger(pool: Pool) -> NeonLedger:
    made = NeonLedger(pool)
    for name in ("g1", "g2"):
        made.start_generation(Generation(name, "f", "s", "building", 0, 0), soon())
    return made


@pytest.fixture
def stored(pool: Pool, ledger: NeonLedger) -> SuggestionStore:
    return NeonSuggestions(pool)


def one_set(section: str, version: str = "", locale: str = "", *texts: str) -> SuggestionSet:
    asked = tuple(SuggestedQuestion(text, f"/docs#{text}") for text in texts or ("How?", "Why?"))
    return SuggestionSet(section, version, locale, 7, asked)


def test_outlines_have_the_headings_in_their_order(
    pool: Pool, ledger: NeonLedger, stored: SuggestionStore
) -> None:
    """Questions would be made of half the headings, or of those of another page."""
    ledger.save_pages("g1", [PageRecord("/a", "A", "h", 4), PageRecord("/b", "B", "h", 0)], soon())
    rows = [
        passage("/a", 0, (), ""),
        passage("/a", 1, ("Store",), "store"),
        passage("/a", 2, ("Store",), "store"),
        passage("/a", 3, ("Store", "Cold é"), "cold"),
    ]
    NeonPassages(pool).save_pages("g1", ["/a"], rows, soon())
    first, second = stored.outlines("g1", "", 10, soon())
    assert first == PageOutline("/a", "A", "v1", "en", 4, (("Store", "store"), ("Cold é", "cold")))
    assert second == PageOutline("/b", "B", "", "", 0, ())


def passage(url: str, position: int, headings: tuple[str, ...], anchor: str) -> PassageText:
    chunk = Chunk(f"{url}{position}", url, "A", headings, anchor, "text", "text", position, "v1", "en")
    return passage_text(chunk)


def test_outlines_come_in_parts(ledger: NeonLedger, stored: SuggestionStore) -> None:
    """A large site would be read into memory at once, or its last pages never."""
    ledger.save_pages("g1", [PageRecord(f"/{n}", "A", "h", 1) for n in range(5)], soon())
    first = stored.outlines("g1", "", 3, soon())
    rest = stored.outlines("g1", first[-1].url, 3, soon())
    assert [page.url for page in (*first, *rest)] == ["/0", "/1", "/2", "/3", "/4"]
    assert stored.outlines("g1", rest[-1].url, 3, soon()) == []
    assert stored.outlines("g2", "", 3, soon()) == []


def test_readers_find_those_of_the_live_generation(ledger: NeonLedger, stored: SuggestionStore) -> None:
    """Readers would be offered questions about pages that are gone, or not there yet."""
    stored.replace("g1", [one_set("/docs", "", "", "old")], soon())
    stored.replace("g2", [one_set("/docs", "", "", "new")], soon())
    assert stored.find(["/docs"], "", "", soon()) == []
    for name, question in (("g1", "old"), ("g2", "new")):
        ledger.finish_generation(name, 1, 1, soon())
        [found] = stored.find(["/docs"], "", "", soon())
        assert [one.question for one in found.questions] == [question]


def test_what_is_replaced_is_gone(ledger: NeonLedger, stored: SuggestionStore) -> None:
    """A question about a removed page would be offered for ever."""
    ledger.finish_generation("g1", 1, 1, soon())
    assert not stored.exist("g1", soon())
    stored.replace("g1", [one_set("/docs"), one_set("/docs/a", "1", "en", "it's {odd}", "NULL", "ü")], soon())
    assert stored.exist("g1", soon())
    assert stored.find(["/docs/a"], "1", "en", soon()) == [
        one_set("/docs/a", "1", "en", "it's {odd}", "NULL", "ü")
    ]
    stored.replace("g1", [one_set("/docs")], soon())
    assert stored.find(["/docs", "/docs/a", ""], "", "", soon()) == [one_set("/docs")]
    stored.replace("g1", [], soon())
    assert not stored.exist("g1", soon())


def test_a_reader_gets_those_of_version_and_language_and_of_pages_without(
    ledger: NeonLedger, stored: SuggestionStore
) -> None:
    """A reader of version 1 would be sent to pages of version 2."""
    ledger.finish_generation("g1", 1, 1, soon())
    sets = [one_set("", version, locale) for version in ("", "1", "2") for locale in ("", "de", "en")]
    stored.replace("g1", sets, soon())
    found = stored.find([""], "1", "de", soon())
    assert [(one.version, one.locale) for one in found] == [("", ""), ("", "de"), ("1", ""), ("1", "de")]
    assert len(stored.find([""], "", "", soon())) == 9
    assert len(stored.find([""], "1", "", soon())) == 6


def test_they_go_with_their_generation(ledger: NeonLedger, stored: SuggestionStore) -> None:
    """Every rebuilt index would leave rows behind."""
    stored.replace("g1", [one_set("/docs")], soon())
    ledger.forget_generation("g1", soon())
    assert not stored.exist("g1", soon())
