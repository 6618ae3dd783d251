"""The contracts of :class:`shared.ports.Runs`, :class:`~shared.ports.RunPages` and
:class:`~shared.ports.RunTexts`, on every server.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.run_pages import NeonRunPages, NeonRunTexts
from shared.adapters.neon.runs import NeonRuns
from shared.errors import Missing, Rejected
from shared.ports import (
    ChunkRecord,
    Differences,
    Generation,
    PageRecord,
    PlanCounts,
    Run,
    RunPages,
    Runs,
    RunShare,
    RunTexts,
    StagedPage,
)
from tests.contract.neon_servers import soon

RUN = Run("r1", "the site", "/srv/site", "/docs", "f1")


@pytest.fixture
def runs(pool: Pool) -> Runs:
    return NeonRuns(pool)


@pytest.fixture
def pages(pool: Pool) -> RunPages:
    """With the run ``r1``, and a live generation that holds three pages."""
    NeonRuns(pool).begin(RUN, soon())
    ledger = NeonLedger(pool)
    ledger.start_generation(Generation("g1", "f1", "the site", "building", 0, 0), soon())
    rows = [PageRecord(url, url, f"content of {url}", 2, f"source of {url}") for url in ("/a", "/b", "/c")]
    held = [ChunkRecord(f"{page.url}-{n}", page.url, f"text {page.url} {n}") for page in rows for n in (0, 1)]
    ledger.save_pages("g1", rows, soon(), chunks=held)
    return NeonRunPages(pool)


@pytest.fixture
def texts(pages: RunPages, pool: Pool) -> RunTexts:
    return NeonRunTexts(pool)


def staged(url: str, content: str = "new", *, place: str = "", **texts: int) -> StagedPage:
    return StagedPage(url, place or f"{url}.md", f"source of {url}, {content}", content, 1, texts)


def test_a_run_comes_back_as_it_was_saved(runs: Runs) -> None:
    """Whoever asks how far an ingestion is would be told something else."""
    runs.begin(RUN, soon())
    runs.begin(replace(RUN, place="elsewhere"), soon())
    begun = runs.get("r1", soon())
    assert (begun.place, begun.status, begun.plan, begun.started_at) == ("/srv/site", "planned", None, 0.0)
    plan = PlanCounts(1, 2, 3, 4, 5, 6, 7, 8, 0.25)
    wanted = replace(
        begun, status="running", phase="writing", generation="g7", plan=plan, to_write=9, written=3, error="é"
    )
    runs.save(wanted, soon())
    found = runs.get("r1", soon())
    assert found.started_at >= begun.created_at > 0
    assert replace(found, started_at=0.0, heartbeat_at=0.0) == replace(wanted, heartbeat_at=0.0)
    runs.save(replace(found, status="succeeded", phase="done", report={"pages": 3}), soon())
    ended = runs.get("r1", soon())
    assert (ended.report, ended.started_at) == ({"pages": 3}, found.started_at)
    assert ended.finished_at >= ended.started_at


def test_runs_are_listed_newest_first_and_old_ones_forgotten(runs: Runs) -> None:
    """The list of runs would grow for ever, or lose the one that is under way."""
    for name in ("r1", "r3", "r2"):
        runs.begin(replace(RUN, id=name), soon())
    assert [run.id for run in runs.recent(soon())] == ["r2", "r3", "r1"]
    assert [run.id for run in runs.recent(soon(), limit=1)] == ["r2"]
    assert runs.prune(3, soon()) == []
    assert runs.prune(1, soon()) == ["r1", "r3"]
    assert [run.id for run in runs.recent(soon())] == ["r2"]


def test_a_run_that_is_not_there_is_missing(runs: Runs) -> None:
    """A mistyped id would be answered with somebody else's progress, or with none."""
    with pytest.raises(Missing, match="read run nowhere"):
        runs.get("nowhere", soon())
    with pytest.raises(Missing):
        runs.save(replace(RUN, id="nowhere"), soon())
    with pytest.raises(Missing):
        runs.save_share("nowhere", RunShare(0), soon())


def test_of_shares_that_end_together_one_is_the_last(runs: Runs) -> None:
    """The index would be written twice at once, or by nobody."""
    count = 4
    runs.begin(replace(RUN, tasks=count), soon())
    told: list[int] = []
    together = threading.Barrier(count)

    def end(task: int) -> None:
        together.wait()
        told.append(runs.save_share("r1", RunShare(task, True, 10, 5, 1, 100, (f"{task}.md",)), soon()))

    threads = [threading.Thread(target=end, args=(task,)) for task in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [1, 2, 3, 4]
    shares = runs.get("r1", soon()).shares
    assert shares == tuple(RunShare(n, True, 10, 5, 1, 100, (f"{n}.md",)) for n in range(count))
    assert runs.save_share("r1", RunShare(0), soon()) == 3


def test_what_is_known_is_what_was_staged_and_then_the_ledgers(pages: RunPages, pool: Pool) -> None:
    """A killed run would read again what it had read, or take an old page for the new one."""
    pages.stage("r1", 0, 0, [staged("/a"), staged("/new")], soon())
    NeonLedger(pool).save_pages("g1", [PageRecord("/b", "/b", "", 2, "under way")], soon())
    assert pages.known("r1", "g1", soon()) == {
        "/a": "source of /a, new",
        "/new": "source of /new, new",
        "/c": "source of /c",
    }
    assert set(pages.known("r1", "", soon())) == {"/a", "/new"}


def test_a_hash_counts_only_for_the_content_it_was_read_for(pages: RunPages, pool: Pool) -> None:
    """A page that the release before wrote would be taken for unchanged although it is not."""
    old = "UPDATE pages SET content_hash = 'by the old release' WHERE url = '/a'"
    with pool.transaction(soon(), "write as the old release does") as transaction:
        transaction.query(old)
    assert set(pages.known("r1", "g1", soon())) == {"/b", "/c"}
    assert NeonLedger(pool).pages("g1", soon())["/a"].source_hash == ""


def test_the_differences_are_exact(pages: RunPages) -> None:
    """The plan would promise other changes than the run makes."""
    pages.stage("r1", 0, 0, [staged("/a"), staged("/b", "content of /b"), staged("/new")], soon())
    assert pages.differences("r1", "g1", soon()) == Differences(("/new",), ("/a",), ("/c",), 1)
    pages.keep("r1", "g1", 0, ["/c", "/a", "/unknown"], soon())
    assert pages.differences("r1", "g1", soon()) == Differences(("/new",), ("/a",), (), 2)
    everything = ("/a", "/b", "/c", "/new")
    assert pages.differences("r1", "", soon()) == Differences(everything, (), (), 0)


def test_parts_to_write_are_those_that_differ(pages: RunPages) -> None:
    """A resumed run would write everything again, or leave something out."""
    pages.stage("r1", 0, 0, [staged("/b", "content of /b")], soon())
    pages.stage("r1", 0, 1, [staged("/a"), staged("/c", "content of /c")], soon())
    pages.stage("r1", 1, 0, [staged("/new")], soon())
    pages.keep("r1", "g1", 0, ["/b"], soon())
    assert pages.parts("r1", "g1", soon()) == [(0, 1), (1, 0)]
    assert pages.urls("r1", "g1", (0, 1), soon()) == {"/a": True}
    assert pages.urls("r1", "g1", (1, 0), soon()) == {"/new": False}
    assert pages.parts("r1", "", soon()) == [(0, 0), (0, 1), (1, 0)]


def test_what_was_kept_lies_in_no_part(pages: RunPages) -> None:
    """A new generation would lack a page that could not be read, and nobody would be asked."""
    pages.stage("r1", 0, 0, [staged("/b")], soon())
    pages.keep("r1", "g1", 0, ["/a", "/b", "/elsewhere"], soon())
    assert pages.urls("r1", "", None, soon()) == {"/a": False}
    assert pages.urls("r1", "g1", None, soon()) == {}


def test_a_page_that_was_read_again_lies_in_its_last_part(pages: RunPages) -> None:
    """The index would get a page as it was before the run was interrupted."""
    pages.stage("r1", 0, 0, [staged("/a", "first"), staged("/new")], soon())
    pages.stage("r1", 0, 1, [staged("/a", "second")], soon())
    assert pages.urls("r1", "g1", (0, 0), soon()) == {"/new": False}
    assert pages.urls("r1", "g1", (0, 1), soon()) == {"/a": True}


def test_two_tasks_that_read_one_address_agree(pages: RunPages) -> None:
    """Which of two pages with one address is indexed would depend on which task was faster."""
    for first, second in ((0, 1), (1, 0)):
        pages.clear("r1", soon())
        for task in (first, second):
            pages.stage("r1", task, 0, [staged("/x", f"of {task}", place=f"{task}.md")], soon())
        assert pages.parts("r1", "g1", soon()) == [(0, 0)]


def test_closing_a_share_forgets_what_it_did_not_meet_again(pages: RunPages) -> None:
    """A page that was deleted while the run was down would be indexed."""
    pages.stage("r1", 0, 0, [staged("/a"), staged("/gone")], soon())
    pages.stage("r1", 1, 0, [staged("/other")], soon())
    pages.close("r1", 0, ["/a"], soon())
    assert pages.differences("r1", "g1", soon()).added == ("/other",)
    pages.close("r1", 1, [], soon())
    assert pages.differences("r1", "g1", soon()) == Differences((), ("/a",), ("/b", "/c"), 0)


def test_one_task_claims_a_text(pages: RunPages, texts: RunTexts) -> None:
    """The same text would be paid for once in every version and locale."""
    pages.stage("r1", 0, 0, [staged("/v1", one=10, two=20)], soon())
    pages.stage("r1", 1, 0, [staged("/v2", two=20, three=30)], soon())
    costs = texts.costs("r1", [], soon())
    assert (dict(costs.by_task), costs.characters, costs.reused) == ({0: 2, 1: 1}, 60, 0)
    assert texts.open("r1", 1, ["one", "two", "three"], soon()) == {"three"}
    texts.place("r1", 0, 7, ["one", "two"], soon())
    assert texts.open("r1", 0, ["one", "two"], soon()) == set()
    assert texts.places("r1", ["one", "three", "four"], soon()) == {"one": (0, 7)}
    assert dict(texts.costs("r1", [], soon()).by_task) == {1: 1}


def test_a_text_that_the_index_has_costs_nothing(pages: RunPages, texts: RunTexts) -> None:
    """Vectors that lie in the index would be paid for again."""
    pages.stage("r1", 0, 0, [staged("/new", **{"text /b 1": 11, "fresh": 5})], soon())
    costs = texts.costs("r1", ["g1"], soon())
    assert (dict(costs.by_task), costs.characters, costs.reused) == ({0: 1}, 5, 1)
    assert texts.holders(["g0", "g1"], ["text /b 1", "fresh"], soon()) == {"text /b 1": ("g1", "/b-1")}
    assert texts.holders([], ["text /b 1"], soon()) == {}


def test_passages_follow_their_pages(pages: RunPages, pool: Pool) -> None:
    """A repair would put back points of pages that are gone, or miss some."""
    ledger = NeonLedger(pool)
    ledger.save_pages("g1", [PageRecord("/a", "/a", "", 1)], soon())
    assert [chunk.id for chunk in ledger.chunks("g1", soon(), limit=3)] == ["/a-0", "/a-1", "/b-0"]
    moved = [ChunkRecord("/a-1", "/a", ""), ChunkRecord("/a-9", "/a", "x")]
    ledger.save_pages("g1", [PageRecord("/a", "/a", "h", 2)], soon(), chunks=moved)
    ledger.remove_pages("g1", ["/b"], soon())
    assert ledger.chunks("g1", soon(), after="/a-1") == [
        ChunkRecord("/a-9", "/a", "x"),
        ChunkRecord("/c-0", "/c", "text /c 0"),
        ChunkRecord("/c-1", "/c", "text /c 1"),
    ]
    assert ledger.totals("g1", soon())[:2] == (2, 4)
    assert ledger.totals("nowhere", soon())[:2] == (0, 0)


def test_the_digest_of_a_generation_is_that_of_its_contents(pages: RunPages, pool: Pool) -> None:
    """The lifeboat would not be written anew after a change, or be written after every run."""
    ledger = NeonLedger(pool)
    before = ledger.totals("g1", soon())[2]
    ledger.save_pages("g1", [PageRecord("/a", "other title", "content of /a", 2)], soon())
    assert ledger.totals("g1", soon())[2] == before
    ledger.save_pages("g1", [PageRecord("/a", "other title", "other content", 2)], soon())
    assert ledger.totals("g1", soon())[2] != before


def test_a_page_that_reads_the_same_is_known_by_its_new_source(pages: RunPages, pool: Pool) -> None:
    """A file that was only formatted anew would be parsed in every run from then on."""
    ledger = NeonLedger(pool)
    pages.stage("r1", 0, 0, [staged("/a", "content of /a"), staged("/b")], soon())
    pages.keep("r1", "g1", 0, ["/c"], soon())
    assert ledger.note_sources("g1", "r1", soon()) == 1
    assert ledger.note_sources("g1", "r1", soon()) == 0
    pages.clear("r1", soon())
    known = pages.known("r1", "g1", soon())
    assert known["/a"] == "source of /a, content of /a"
    assert known["/b"] == "source of /b"


def test_pages_of_an_unknown_run_are_rejected(pages: RunPages) -> None:
    """A task with a wrong id would read for nobody."""
    with pytest.raises(Rejected, match="23503"):
        pages.stage("nowhere", 0, 0, [staged("/a")], soon())


def test_twenty_thousand_pages_are_recorded_and_compared(pages: RunPages) -> None:
    """A large site would take a round trip for each page."""
    pages.stage("r1", 0, 0, [staged(f"/{n}", x=1) for n in range(20_000)], soon())
    assert len(pages.differences("r1", "g1", soon()).added) == 20_000
    pages.close("r1", 0, [f"/{n}" for n in range(20_000)], soon())
    assert len(pages.known("r1", "g1", soon())) == 20_003
