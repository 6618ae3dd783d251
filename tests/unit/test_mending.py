"""A lost point is made again from its passage exactly, or not at all; and every difference is found."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.errors import Garbled
from shared.ingestion.chunking import chunk_page
from shared.ingestion.index_points import count_statistics, dense_text, headings_text, page_points, text_hash
from shared.ingestion.inspection import Inspection, Judge, inspect
from shared.ingestion.mending import headings_of, page_again
from shared.ingestion.sources import read_folder
from shared.ports import ChunkRecord, PackedPoint, PageRecord, Point
from shared.retrieval.chunks import Chunk, Page
from shared.retrieval.digest import packed
from shared.retrieval.layout import payload_of
from shared.retrieval.statistics import Statistics
from shared.settings import ROOT

Cut = list[tuple[Page, tuple[Chunk, ...]]]


@pytest.fixture(scope="module")
def handbook() -> Cut:
    """The handbook, cut: headings, tables, listings and lists as people write them."""
    return [(page, chunk_page(page)) for page in read_folder(ROOT / "docs", "/docs")]


@pytest.fixture(scope="module")
def statistics(handbook: Cut) -> Statistics:
    return count_statistics(handbook)


def embed(texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Toy vectors of length 1 that depend on the text alone."""
    return [(0.6, 0.8) if sum(text.encode()) % 2 else (0.8, 0.6) for text in texts]


def records_of(chunks: Sequence[Chunk]) -> list[ChunkRecord]:
    texts = {chunk.id: dense_text(chunk) for chunk in chunks}
    return [
        ChunkRecord(chunk.id, chunk.page_url, text_hash(texts[chunk.id]) if texts[chunk.id] else "")
        for chunk in chunks
    ]


def made(page: Page, chunks: Sequence[Chunk], statistics: Statistics) -> list[Point]:
    """The points as ingestion makes them."""
    texts = {chunk.id: text for chunk in chunks if (text := dense_text(chunk))}
    vectors = dict(zip(texts, embed(list(texts.values())), strict=True))
    return list(page_points(headings_text(page), chunks, statistics, vectors))


def stored(chunks: Sequence[Chunk]) -> list[Point]:
    return [Point(chunk.id, {}, payload_of(chunk)) for chunk in chunks]


def test_pages_of_the_handbook_are_made_again_to_the_last_number(
    handbook: Cut, statistics: Statistics
) -> None:
    """A repaired passage would rank otherwise than before, or be read again from the site without need."""
    exact = 0
    for page, chunks in handbook:
        again = page_again(stored(chunks), records_of(chunks), statistics, embed)
        if again is not None:
            assert again == made(page, chunks, statistics), page.url
            assert headings_of(chunks) == headings_text(page)
            exact += 1
    assert exact >= 0.95 * len(handbook), f"{exact} of {len(handbook)} pages"


def test_what_cannot_be_told_is_left_to_ingestion(handbook: Cut, statistics: Statistics) -> None:
    """A guess would stand in the index as if it had been read from the site."""
    _, chunks = next(one for one in handbook if len(one[1]) > 2)
    records, rows = records_of(chunks), stored(chunks)
    other = replace(records[0], text_hash="0" * 32)
    assert page_again(rows, [other, *records[1:]], statistics, embed) is None
    assert page_again(rows[1:], records, statistics, embed) is None
    assert page_again(rows, records[1:], statistics, embed) is None
    assert page_again(rows, records, statistics, None) is None
    changed = replace(rows[0], payload={**rows[0].payload, "text": "Something else."})
    assert page_again([changed, *rows[1:]], records, statistics, embed) is None
    broken = replace(rows[0], payload={})
    assert page_again([broken, *rows[1:]], records, statistics, embed) is None


class Index:
    """Ledger, index and passages of the handbook, to be damaged."""

    def __init__(self, handbook: Cut, statistics: Statistics) -> None:
        self.pages = {
            page.url: PageRecord(page.url, page.title, "h", len(chunks)) for page, chunks in handbook
        }
        every = [chunk for _, chunks in handbook for chunk in chunks]
        self.records = {record.id: record for record in records_of(every)}
        self.points = {
            point.id: packed(point) for page, chunks in handbook for point in made(page, chunks, statistics)
        }
        self.passages = {point.id: point for point in stored(every)}
        self.judge = Judge(statistics, 2)

    def inspect(self) -> Inspection:
        def by_id(found: dict) -> list:
            return [found[key] for key in sorted(found)]

        return inspect(self.pages, by_id(self.records), by_id(self.points), by_id(self.passages), self.judge)


@pytest.fixture
def index(handbook: Cut, statistics: Statistics) -> Index:
    return Index(handbook, statistics)


def test_a_whole_index_has_no_findings(index: Index) -> None:
    """Every repair would write the whole index again."""
    found = index.inspect()
    assert found.healthy
    assert found.checked == len(index.records)


def test_each_damage_is_found_and_nothing_else(index: Index) -> None:
    """One lost passage would be hidden by another's damage."""
    dice = random.Random(11)
    names = sorted(index.points)
    gone, turned, kept = dice.sample(names, 5), [], set(index.records)
    for name in gone:
        del index.points[name]
    for name in dice.sample(sorted(index.points), 5):
        point = index.points[name]
        index.points[name] = replace(point, payload={**point.payload, "text": "x"})
        turned.append(name)
    lost = dice.sample(sorted(kept - set(gone) - set(turned)), 3)
    for name in lost:
        del index.passages[name]
    stray = PackedPoint("ffffffff-0000-4000-8000-000000000000", {}, {"url": "/nowhere"})
    index.points[stray.id] = stray
    found = index.inspect()
    assert {one.id for one in found.missing} == set(gone)
    assert {one.id for one in found.altered} == set(turned)
    assert [one.id for one in found.extra] == [stray.id]
    assert set(found.stale) == {index.records[name].url for name in lost}


def test_pages_that_ingestion_writes_are_left_to_it(index: Index) -> None:
    """A repair would write back the page as it was before the run that was killed."""
    begun, older = sorted(index.pages)[:2]
    index.pages[begun] = replace(index.pages[begun], content_hash="")
    index.pages[older] = replace(index.pages[older], chunks=index.pages[older].chunks + 1)
    for name, record in index.records.items():
        if record.url in {begun, older}:
            del index.points[name]
    found = index.inspect()
    assert (found.missing, found.altered, found.extra) == ((), (), ())
    assert (found.pending, found.unknown) == ((begun,), (older,))


def test_a_generation_from_before_the_ledger_knew_passages_is_not_emptied(index: Index) -> None:
    """Every passage would be taken for one that should not be there."""
    index.records.clear()
    found = index.inspect()
    assert found.extra == ()
    assert set(found.unknown) == set(index.pages)


def test_an_order_that_is_none_is_refused(index: Index) -> None:
    """Points would be taken for lost that came a little later."""
    rows = sorted(index.records.values(), key=lambda one: one.id, reverse=True)
    with pytest.raises(Garbled, match="comes after"):
        inspect(index.pages, rows, [], [], index.judge)
