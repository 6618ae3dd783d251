"""Words, and the frozen statistics that weigh them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Garbled
from shared.ingestion.chunking import chunk_page
from shared.ingestion.index_points import count_statistics, headings_text, page_points
from shared.ingestion.markdown import read_markdown
from shared.ports import Point
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import Facts, chunk_of, payload_of, read_statistics, statistics_point
from shared.retrieval.statistics import K1, B, FieldCounter, FieldStatistics, Statistics
from shared.retrieval.tokens import function_words, term_counts, term_id, tokens

FACTS = Facts("g1", "abc", "model", 3)


def counted(*texts: str) -> FieldStatistics:
    counter = FieldCounter()
    for text in texts:
        counter.add(text)
    return counter.statistics()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("createSlice", ["createslic", "creat", "slic"]),
        ("max_retries", ["max_retry", "max", "retry"]),
        ("HTTPServer v2", ["httpserver", "http", "server", "v2"]),
        ("LECTERN_HOME", ["lectern_hom", "lectern", "home"]),
        ("Über Straße 日本語", ["über", "straß", "日本語"]),
        ("store.getState()", ["stor", "getstat", "get", "stat"]),
        ("", []),
    ],
)
def test_identifiers_are_found_whole_and_by_their_parts(text: str, expected: list[str]) -> None:
    """Asking for "create slice" would not find createSlice, nor createSlice itself above "slice"."""
    assert tokens(text) == expected


@pytest.mark.parametrize("pair", [("backups", "backup"), ("restoring", "restored"), ("queries", "query")])
def test_common_endings_meet(pair: tuple[str, str]) -> None:
    """A question in the plural would miss a page in the singular."""
    assert tokens(pair[0]) == tokens(pair[1])


def test_function_words_are_ids_of_terms() -> None:
    """Coverage would count "how do I" as matter that the docs lack."""
    assert {term_id(word) for word in tokens("how do I")} <= function_words()
    assert term_id("restor") not in function_words()


def test_inner_product_of_the_two_vectors_is_bm25() -> None:
    """Rankings would not be those that were measured."""
    texts = ["red red fox", "blue fox", "green"]
    field = counted(*texts)
    query, document = field.query_vector([term_id("red")]), field.document_vector(texts[0])
    assert query is not None
    assert document is not None
    weight = dict(zip(document.indices, document.values, strict=True))[term_id("red")]
    norm = K1 * (1 - B + B * 3 / 2)
    assert query.values == (pytest.approx(math.log(1 + 2.5 / 1.5)),)
    assert weight == pytest.approx(2 * (K1 + 1) / (2 + norm))


def test_texts_without_words_have_no_vector() -> None:
    """An empty vector would count as a document in the engine and skew every score."""
    field = counted("a", "...")
    assert field.documents == 1
    assert field.document_vector("!!!") is None
    assert field.query_vector([term_id("unknown")]) is None
    assert counted().document_vector("word") is not None


def test_statistics_survive_their_point(full: bool) -> None:
    """A restored collection would rank by other numbers than it was built with."""

    @settings(max_examples=3000 if full else 100, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.text(max_size=30), max_size=8), st.lists(st.text(max_size=12), max_size=4))
    def check(passages: list[str], headings: list[str]) -> None:
        statistics = Statistics(counted(*passages), counted(*headings))
        point = statistics_point(statistics, FACTS)
        assert point.id == STATISTICS_ID
        assert read_statistics(point) == (statistics, FACTS)
        assert Statistics(counted(*passages[::-1]), counted(*headings)).encode() == statistics.encode()

    check()


@pytest.mark.parametrize(
    "data", [b"", b"LXS1", b"LXS1garbage", b"XXXX" + Statistics(counted("a"), counted()).encode()]
)
def test_damaged_statistics_are_named(data: bytes) -> None:
    """A damaged collection would give wrong rankings or a stack trace in place of a next step."""
    with pytest.raises(Garbled, match="statistics"):
        Statistics.decode(data)


@pytest.mark.parametrize("payload", [{}, {"statistics": 1, "facts": {}}, {"statistics": "é", "facts": None}])
def test_a_damaged_statistics_point_is_named(payload: dict[str, object]) -> None:
    """The same, when the point is of another form altogether."""
    with pytest.raises(Garbled, match="statistics point"):
        read_statistics(Point(STATISTICS_ID, {}, payload))


def test_passages_survive_their_payload_and_headings_sit_on_the_first() -> None:
    """Quotes would lose their link, or a page count as often as it has passages."""
    page = read_markdown(
        "Intro.\n## Set up\nText.\n", url="https://a/b", title="Guide", version="2", locale="en"
    )
    chunks = chunk_page(page)
    statistics = count_statistics([(page, chunks)])
    points = list(page_points(headings_text(page), chunks, statistics, {chunks[1].id: (1.0, 0.0)}))
    assert [sorted(point.vectors) for point in points] == [["headings", "passages"], ["dense", "passages"]]
    for chunk, point in zip(chunks, points, strict=True):
        read = chunk_of(point)
        assert payload_of(read) == payload_of(chunk)
        assert (read.link, read.breadcrumb) == (chunk.link, chunk.breadcrumb)
    with pytest.raises(Garbled, match=points[0].id):
        chunk_of(Point(points[0].id, {}, {**points[0].payload, "text": 3}))


def test_colliding_terms_are_summed() -> None:
    """Two words with one id would make a sparse vector that the engine refuses."""
    counts = term_counts("plumless buckeroo plumless")  # crc32 of both is 0x4ddb0c25
    assert term_id("plumless") == term_id("buckeroo")
    assert counts[term_id("plumless")] >= 2
