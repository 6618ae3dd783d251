"""Ingestion on the real ledger, engine and model: what a documentation team sees after each run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared import settings
from shared.embedded.minilm import LocalEmbedder
from shared.errors import PreconditionFailed, SourceError
from shared.ingestion.report import Report
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import points_digest
from shared.settings import Settings
from shared.wiring import chat, ingest
from shared.wiring.ingestion import Wanted
from shared.wiring.parts import Parts
from shared.wiring.sources import open_source
from shared.wiring.stack import services
from tests.local_stack import SECONDS, forget_index, live_points, write_site


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.added, report.changed, report.removed, report.unchanged


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running stack of this module's own: its ledger is emptied between tests."""
    with services(
        settings.load({}, home=str(tmp_path_factory.mktemp("ingestion")), embedder="local")
    ) as ready:
        yield ready.settings


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site")


@pytest.fixture
def index(stack: Settings, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """The stack's services with an alias, and so an index, of this test's own."""
    own = replace(stack, qdrant_alias=f"t{abs(hash(request.node.name)) % 10**8}-live")
    forget_index(own)
    yield own
    forget_index(own)


Ask = Callable[[str], list[str]]


def ask(own: Settings, question: str) -> list[str]:
    """Links of the answer."""
    with Parts(own) as parts:
        answer = chat.service(parts).ask(chat.question(question, own), Deadline.after(SECONDS))
    return [citation.url for citation in answer.citations]


def test_the_second_run_changes_nothing(index: Settings, site: Path) -> None:
    """Every nightly run would pay for embedding an unchanged site again."""
    first = ingest.run(index, site, "/docs")
    before = points_digest(live_points(index))
    second = ingest.run(index, site, "/docs")
    assert counts(first) == (4, 0, 0, 0)
    assert first.embedded > 0
    assert (counts(second), second.embedded, second.chunks) == ((0, 0, 0, 4), 0, first.chunks)
    assert points_digest(live_points(index)) == before
    assert "Nothing has changed" in second.summary()


def test_an_edit_a_new_page_and_a_removed_page_arrive(index: Settings, site: Path) -> None:
    """Readers would be answered from what the site said before."""
    ingest.run(index, site, "/docs")
    pears = site / "pears.md"
    pears.write_text(pears.read_text().replace("`ripening_days` to 7", "`ripening_days` to 11"))
    (site / "bees.mdx").unlink()
    (site / "quinces.md").write_text("---\ntitle: Quinces\n---\n\nQuinces smell of roses and are cooked.\n")
    report = ingest.run(index, site, "/docs")
    assert counts(report) == (1, 1, 1, 2)
    texts = {str(point.payload.get("text")) for point in live_points(index)}
    assert any("to 11" in text for text in texts)
    assert not any("to 7" in text or "west wind" in text for text in texts)
    assert ask(index, "What do quinces smell of?")[0] == "/docs/quinces"


def test_the_index_is_the_same_whichever_way_it_came_about(index: Settings, site: Path) -> None:
    """An index that was changed page by page would answer differently from one made anew."""
    whole = write_site(site.parent / "whole")
    (site / "pears.md").unlink()
    ingest.run(index, site, "/docs")
    shutil.copy(whole / "pears.md", site / "pears.md")
    (site / "pears.md").write_text((site / "pears.md").read_text() + "\nMore.\n")
    ingest.run(index, site, "/docs")
    shutil.copy(whole / "pears.md", site / "pears.md")
    ingest.run(index, site, "/docs")
    ids = {point.id for point in live_points(index)}
    forget_index(index)
    ingest.run(index, whole, "/docs")
    assert {point.id for point in live_points(index)} == ids


def test_a_site_that_changed_beyond_recognition_gets_new_statistics(index: Settings, site: Path) -> None:
    """Weights frozen for another site would rank the new one."""
    first = ingest.run(index, site, "/docs")
    for file in site.rglob("*.md*"):
        file.unlink()
    (site / "new.md").write_text("# Cider\n\nPress apples in October and let the juice stand.\n")
    second = ingest.run(index, site, "/docs", allow_removal=True)
    assert (first.generation, second.generation) == ("g0001", "g0002")
    assert counts(second) == (1, 0, 4, 0)
    assert ask(index, "When are apples pressed?") == ["/docs/new"]


def test_a_page_that_cannot_be_read_is_named_and_the_others_go_on(index: Settings, site: Path) -> None:
    """One broken page would keep a whole site out of the index, or vanish without a word."""
    (site / "broken.md").write_bytes(b"---\ntitle: [\n---\ntext")
    (site / "latin.md").write_bytes("# Caf\xe9".encode("latin-1"))
    told: list[str] = []
    report = ingest.run(index, site, "/docs", on_refused=told.append)
    assert report.pages == 4
    assert sorted(line.split(":")[0] for line in told) == ["broken.md", "latin.md"]


def test_a_folder_without_pages_is_refused_and_the_index_stays(index: Settings, site: Path) -> None:
    """A wrong path in a deploy script would empty the index."""
    ingest.run(index, site, "/docs")
    empty = site.parent / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="holds no page"):
        ingest.run(index, empty, "/docs")
    with pytest.raises(SourceError, match="is not a folder"):
        ingest.run(index, site / "nowhere", "/docs")
    assert ask(index, "Where to turn the hive's entrance?")


def test_two_runs_do_not_meet(index: Settings, site: Path) -> None:
    """Two runs at once would write into each other's generation."""
    with (
        Parts(index) as parts,
        parts.ledger.lease(Deadline.after(SECONDS)),
        pytest.raises(PreconditionFailed, match="ingestion lease"),
    ):
        ingest.run(replace(index, ingest_wait_seconds=0.0), site, "/docs")


def test_a_run_goes_on_where_one_that_failed_stopped(index: Settings, site: Path) -> None:
    """A run that lost its embedder would begin from nothing each time, and readers would see half of it."""

    class Breaks:
        """The real model, which stops answering after some texts."""

        def __init__(self, left: int) -> None:
            self._own = LocalEmbedder()
            self._left = left
            self.model = self._own.model
            self.dimensions = self._own.dimensions
            self.asked = 0

        def embed_query(self, text, deadline):
            return self._own.embed_query(text, deadline)

        def embed_documents(self, texts, deadline):
            if self.asked + len(texts) > self._left:
                raise SourceError("the model went away")
            self.asked += len(texts)
            return self._own.embed_documents(texts, deadline)

    big = {
        f"p{n}.md": f"# Page {n}\n\n"
        + "\n\n".join(f"## Part {k}\n\nApples of row {n} {k} are red." for k in range(12))
        for n in range(12)
    }
    write_site(site, big)

    def run(embedder) -> Report:
        with Parts(index) as parts, open_source(index, str(site), "/docs") as source:
            parts.embedder = embedder
            own = ingest.ingestion(parts)
            return own.run(Wanted(str(site), "/docs").run(own.fingerprint), source)

    with pytest.raises(SourceError):
        run(Breaks(100))
    with Parts(index) as parts:
        assert index.qdrant_alias not in parts.vector_search.aliases(Deadline.after(SECONDS))
    second = Breaks(10_000)
    report = run(second)
    assert second.asked < report.chunks - 40
    resumed = points_digest(live_points(index))
    forget_index(index)
    run(Breaks(10_000))
    assert points_digest(live_points(index)) == resumed
