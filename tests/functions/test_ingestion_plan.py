"""Plans, shares, generations and the economy of vectors, on the real ledger and engine."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared import settings
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.errors import (
    Corrupt,
    GenerationRefused,
    Missing,
    PreconditionFailed,
    RemovalNotAllowed,
    SourceError,
)
from shared.ingestion.parts import Hooks
from shared.ingestion.plan import Plan
from shared.ingestion.report import Report
from shared.ingestion.run import RUNS_KEPT
from shared.ingestion.site import Item
from shared.ports import Embedder, ObjectStore
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import points_digest
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring import generations
from shared.wiring.ingestion import Wanted, ingestion
from shared.wiring.parts import Parts
from shared.wiring.sources import open_source
from shared.wiring.stack import services
from tests.embedders import HashedWords
from tests.local_stack import SECONDS, forget_index, live_points, write_site


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("plans")
    with services(settings.load({}, home=str(home), embedder="none", ingest_wait_seconds=0.0)) as ready:
        yield ready.settings


@pytest.fixture
def index(stack: Settings, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """An alias of this test's own, and an empty ledger."""
    own = replace(stack, qdrant_alias=f"p{abs(hash(request.node.name)) % 10**8}-live")
    forget_index(own)
    yield own
    forget_index(own)


def pages(count: int, *, start: int = 0, word: str = "apples") -> dict[str, str]:
    return {
        f"row-{n:03}.md": f"# Row {n}\n\n## Trees\n\nRow {n} has {n + 3} trees that bear {word}.\n\n"
        f"## Tools\n\nIn row {n} use the ladder number {n * 7} and wear good gloves.\n"
        for n in range(start, start + count)
    }


class Bench:
    """Runs on one index with an embedder that counts."""

    def __init__(self, own: Settings, site: Path, embedder: Embedder | None) -> None:
        self.own = own
        self.site = site
        self.embedder = embedder
        self.parsed = 0
        self.hooks = Hooks()
        self.store: Callable[[ObjectStore], ObjectStore] = lambda store: store

    def _within(self, wanted: Wanted, do):
        with Parts(self.own) as parts, open_source(self.own, str(self.site), "/docs") as source:
            parts.embedder = self.embedder
            made = ingestion(parts, self.hooks, self.store(parts.object_store))
            return do(made, wanted.run(made.fingerprint), _Counting(source, self))

    def run(self, **wanted) -> Report:
        asked = Wanted(str(self.site), "/docs", **wanted)
        return self._within(asked, lambda made, run, source: made.run(run, source))

    def plan(self, **wanted) -> Plan:
        asked = Wanted(str(self.site), "/docs", **wanted)
        return self._within(asked, lambda made, run, source: made.plan(run, source))

    def plan_again(self, run_id: str) -> Plan:
        asked = Wanted(str(self.site), "/docs")
        return self._within(asked, lambda made, _run, _source: made.recorded_plan(run_id))

    def begin(self, tasks: int, **wanted: bool) -> str:
        with Parts(self.own) as parts:
            parts.embedder = self.embedder
            made = ingestion(parts)
            return made.begin(Wanted(str(self.site), "/docs", tasks=tasks, **wanted).run(made.fingerprint)).id

    def record(self, run_id: str) -> str:
        """A run that somebody asked for."""
        with Parts(self.own) as parts:
            fingerprint = ingestion(parts).fingerprint
            parts.runs.begin(
                Wanted(str(self.site), "/docs", run_id=run_id).run(fingerprint), Deadline.after(SECONDS)
            )
        return run_id

    def status(self, run_id: str) -> str:
        with Parts(self.own) as parts:
            return parts.runs.get(run_id, Deadline.after(SECONDS)).status

    def task(self, run_id: str, task: int, **allowed: bool) -> Report | None:
        asked = Wanted(str(self.site), "/docs", run_id=run_id)
        return self._within(asked, lambda made, _run, source: made.run_task(run_id, task, source, **allowed))

    def take_over(self, *_: object) -> None:
        """What another run does once this one was cut off from Postgres for longer than a lease lasts."""
        soon = Deadline.after(SECONDS)
        with Pool(self.own.database_url) as pool:
            pool.statement("DELETE FROM leases", {}, soon, "let the lease run out")
            with NeonLedger(pool).lease(soon):
                pass

    def lose(self, *numbers: int) -> None:
        """Take pages out of the site."""
        for number in numbers:
            (self.site / f"row-{number:03}.md").unlink()

    def digest(self) -> str:
        return points_digest(live_points(self.own))

    def stage(self) -> list[str]:
        with Parts(self.own) as parts:
            return [one.name for one in parts.object_store.list("ingestion/", Deadline.after(SECONDS))]


class Dies(HashedWords):
    """A model that went away."""

    def embed_documents(self, texts, deadline):  # noqa: ARG002 - as in the port
        raise SourceError("the model went away")


class Slow:
    """A bucket in which reading the vectors takes so long that another run takes over."""

    def __init__(self, own: ObjectStore, meanwhile: Callable[[], object]) -> None:
        self._own = own
        self._meanwhile = meanwhile

    def __getattr__(self, name: str):
        return getattr(self._own, name)

    def get(self, name: str, deadline: Deadline):
        if "/vectors-" in name:
            self._meanwhile()
        return self._own.get(name, deadline)


class _Counting:
    """A source that counts the pages that were parsed."""

    def __init__(self, inner, bench: Bench) -> None:
        self._inner = inner
        self._bench = bench
        self.name = inner.name

    def items(self, known, **options):
        for item in self._inner.items(known, **options):
            self._bench.parsed += isinstance(item, Item) and item.page is not None
            yield item


@pytest.fixture
def bench(index: Settings, tmp_path: Path) -> Bench:
    return Bench(index, write_site(tmp_path / "site", pages(20)), HashedWords())


def test_the_plan_is_what_the_run_does(bench: Bench) -> None:
    """A team would agree to other changes, or another bill, than it gets."""
    bench.run()
    write_site(bench.site, pages(3, start=50))
    write_site(bench.site, pages(2, word="pears"))
    (bench.site / "row-007.md").unlink()
    before, told = bench.digest(), HashedWords()
    bench.embedder = told
    plan = bench.plan()
    assert bench.digest() == before
    assert not told.texts
    assert plan.added == ("/docs/row-050", "/docs/row-051", "/docs/row-052")
    assert plan.changed == ("/docs/row-000", "/docs/row-001")
    assert plan.removed == ("/docs/row-007",)
    report = bench.run()
    counts = plan.counts
    assert (counts.added, counts.changed, counts.removed, counts.unchanged) == (3, 2, 1, 17)
    assert (report.added, report.changed, report.removed, report.unchanged) == (3, 2, 1, 17)
    # Three new pages of two sections, and one section of each of the two that changed.
    assert counts.texts == report.embedded == sum(told.texts.values()) == 8
    assert counts.calls == report.calls == len(told.calls) == 1
    assert counts.tokens == pytest.approx(report.tokens, rel=0.05)
    assert report.run == plan.run
    assert bench.stage() == []


def test_a_plan_can_be_shown_again(bench: Bench) -> None:
    """Whoever has to allow a removal would have the site read again to see what goes, or the run applied."""
    bench.run()
    bench.lose(*range(5))
    write_site(bench.site, pages(2, start=50))
    with pytest.raises(RemovalNotAllowed):
        bench.run()
    before, parsed = bench.digest(), bench.parsed
    plan = bench.plan()
    again = bench.plan_again(plan.run)
    assert (again, len(again.removed), again.counts.added) == (plan, 5, 2)
    assert (bench.digest(), bench.parsed) == (before, parsed)
    bench.run(allow_removal=True)
    with pytest.raises(Missing, match="it has ended"):
        bench.plan_again(plan.run)


def test_an_unchanged_site_is_neither_parsed_nor_embedded(bench: Bench) -> None:
    """Every nightly run would cost what the first one did."""
    bench.run()
    assert bench.parsed == 20
    told = bench.embedder = HashedWords()
    report = bench.run()
    assert (report.unchanged, report.embedded, report.calls) == (20, 0, 0)
    assert not told.texts
    assert bench.parsed == 20
    (bench.site / "row-004.md").write_text(pages(5)["row-004.md"] + "\n")
    for _ in range(2):
        assert bench.run().unchanged == 20
        assert bench.parsed == 21


def test_a_removal_of_many_pages_asks(bench: Bench) -> None:
    """A broken build would empty the index overnight."""
    bench.run()
    before = bench.digest()
    bench.lose(*range(5))
    with pytest.raises(RemovalNotAllowed, match="remove 5 of 20 pages") as caught:
        bench.run()
    assert bench.digest() == before
    with Parts(bench.own) as parts:
        stopped = parts.runs.recent(Deadline.after(SECONDS))[0]
    assert (stopped.status, stopped.id in caught.value.hint) == ("waiting_for_removal", True)
    report = bench.run(allow_removal=True)
    assert (report.removed, report.pages, report.run) == (5, 15, stopped.id)
    (bench.site / "row-009.md").unlink()
    assert bench.run().removed == 1


def test_a_permission_covers_no_page_more_after_a_failure(bench: Bench) -> None:
    """A permission for five pages would let the next night's broken build take all the others, unasked."""
    bench.run()
    bench.lose(*range(5))
    write_site(bench.site, pages(1, start=60))
    bench.embedder = Dies()
    with pytest.raises(SourceError):
        bench.run(allow_removal=True)
    bench.embedder = HashedWords()
    bench.lose(*range(5, 12))
    with pytest.raises(RemovalNotAllowed, match="remove 7 of 20 pages beside the 5 that were shown"):
        bench.run()
    write_site(bench.site, pages(7, start=5))
    assert bench.run().removed == 5


def test_a_permission_is_for_what_was_shown(bench: Bench) -> None:
    """An operator who agreed to lose five pages would lose twelve, because the site broke since."""
    bench.run()
    bench.lose(*range(5))
    assert len(bench.plan().removed) == 5
    bench.lose(*range(5, 12))
    with pytest.raises(RemovalNotAllowed, match="remove 7 of 20 pages beside the 5"):
        bench.run(allow_removal=True)
    assert bench.run(allow_removal=True).removed == 12


def test_a_permission_is_for_what_was_shown_also_when_the_site_is_read_anew(bench: Bench) -> None:
    """An operator who agreed to lose five pages by more tasks would lose all that are missing by then."""
    bench.run()
    bench.lose(*range(5))
    with pytest.raises(RemovalNotAllowed):
        bench.run()
    bench.lose(*range(5, 12))
    run_id = bench.begin(2, allow_removal=True)
    assert [name for name in bench.stage() if run_id in name] == [f"ingestion/{run_id}/removal.zst"]
    assert bench.task(run_id, 0, allow_removal=True) is None
    with pytest.raises(RemovalNotAllowed, match="remove 7 of 20 pages beside the 5"):
        bench.task(run_id, 1, allow_removal=True)
    with Parts(bench.own) as parts:
        name = f"ingestion/{run_id}/removal.zst"
        parts.object_store.put(name, b"not what was written", Deadline.after(SECONDS))
    with pytest.raises(Corrupt, match="damaged"):
        bench.run()
    with pytest.raises(RemovalNotAllowed, match="remove 12 of 20 pages"):
        bench.run()
    assert bench.run(allow_removal=True).removed == 12


def test_tasks_that_stopped_for_a_removal_can_be_allowed_it(bench: Bench) -> None:
    """A big site that really lost its pages could never be ingested by many tasks again."""
    bench.run()
    bench.lose(*range(5))
    for allowed in (False, True):
        run_id = bench.begin(2, allow_removal=allowed)
        assert bench.task(run_id, 0, allow_removal=allowed) is None
        if not allowed:
            with pytest.raises(RemovalNotAllowed):
                bench.task(run_id, 1)
    with Parts(bench.own) as parts:
        assert parts.runs.get(run_id, Deadline.after(SECONDS)).allow_removal
    report = bench.task(run_id, 1, allow_removal=True)
    assert report is not None
    assert report.removed == 5


def test_identical_text_is_embedded_once(bench: Bench) -> None:
    """Every version and locale of a page would be paid for again."""
    texts = pages(4)
    copies = {f"{place}/{name}": text for place in ("v1", "v2", "de") for name, text in texts.items()}
    for file in bench.site.iterdir():
        file.unlink()
    write_site(bench.site, copies)
    report = bench.run()
    told = bench.embedder
    assert (report.pages, report.embedded) == (12, 8)
    assert set(told.texts.values()) == {1}
    dense = [point for point in live_points(bench.own) if "dense" in point.vectors]
    assert len(dense) == 3 * 8


def test_a_text_that_moves_takes_its_vector_along(bench: Bench) -> None:
    """Renaming a page, or moving a section, would cost an embedding call."""
    bench.run()
    told = bench.embedder = HashedWords()
    (bench.site / "row-002.md").rename(bench.site / "zzz.md")
    first, second = pages(20)["row-000.md"], pages(20)["row-001.md"]
    moved = second.partition("## Tools")
    (bench.site / "row-000.md").write_text(second)
    (bench.site / "row-001.md").write_text(first)
    plan = bench.plan()
    assert (plan.counts.texts, moved[1]) == (0, "## Tools")
    report = bench.run()
    assert (report.added, report.changed, report.removed, report.embedded) == (1, 2, 1, 0)
    assert not told.texts
    resumed = bench.digest()
    forget_index(bench.own)
    bench.run()
    assert bench.digest() == resumed, "a vector that was used again is not the one that the model makes"


def test_a_new_generation_uses_the_vectors_of_the_one_before(bench: Bench) -> None:
    """A change of the rules would pay for the whole site again."""
    bench.run()
    before, told = bench.digest(), HashedWords()
    bench.embedder = told
    report = bench.run(source="another name of the same site")
    assert (report.generation, report.embedded) == ("g0002", 0)
    assert not told.texts
    assert bench.digest() == before


@pytest.mark.parametrize("order", [(2, 0, 1)], ids=str)
def test_tasks_in_any_order_make_the_index_of_one(bench: Bench, order: tuple[int, ...]) -> None:
    """A big site would be indexed in part, or differently, depending on which task was faster."""
    bench.run()
    wanted = bench.digest()
    embedded = bench.embedder.texts
    forget_index(bench.own)
    told = bench.embedder = HashedWords()
    run_id = bench.begin(3)
    reports = [bench.task(run_id, task) for task in order]
    assert reports[:2] == [None, None]
    assert reports[2] is not None
    assert reports[2].pages == 20
    assert bench.digest() == wanted
    assert told.texts == embedded
    assert bench.task(run_id, order[0]) is None, "a task that is started again has nothing to do"
    assert bench.stage() == []


def test_tasks_of_a_run_that_was_overtaken_do_nothing(bench: Bench) -> None:
    """A run that followed between two tasks of a big one would lose the pages which those had read."""
    run_id = bench.begin(2)
    bench.task(run_id, 0)
    bench.run(run_id=bench.record("the one that follows"))
    wanted = bench.digest()
    for task in (1, 0):
        assert bench.task(run_id, task, allow_removal=True) is None
    assert (bench.digest(), bench.status(run_id)) == (wanted, "failed")


def test_a_run_that_was_asked_for_meanwhile_is_not_overtaken(bench: Bench) -> None:
    """A deploy during a run would be called done by a run that had read the site before."""
    first, second = bench.record("first"), bench.record("second")
    bench.run(run_id=first)
    assert (bench.status(first), bench.status(second)) == ("succeeded", "planned")


def test_a_run_that_was_overtaken_while_it_embedded_writes_nothing(bench: Bench) -> None:
    """Passages of a run that was taken for dead would be written over those of the run after it."""
    bench.run()
    before = bench.digest()
    write_site(bench.site, pages(2, word="pears"))
    bench.store = lambda store: Slow(store, bench.take_over)
    with pytest.raises(PreconditionFailed, match="lost to another run"):
        bench.run()
    assert bench.digest() == before


def test_a_run_that_was_overtaken_removes_nothing(bench: Bench) -> None:
    """Pages that the run after it has put back would lose their passages."""
    bench.run()
    before = bench.digest()
    bench.lose(4)
    bench.hooks = Hooks(writing=bench.take_over)
    with pytest.raises(PreconditionFailed, match="lost to another run"):
        bench.run()
    assert bench.digest() == before


def test_what_forgotten_runs_have_staged_goes_with_them(bench: Bench) -> None:
    """What was read for plans of other sites would be paid for in the bucket for ever."""
    plan = bench.plan(source="another site")
    assert f"ingestion/{plan.run}/0000/pages-000000.zst" in bench.stage()
    for number in range(RUNS_KEPT):
        bench.record(f"run {number}")
    bench.run(run_id=bench.record("the last one"))
    assert not [name for name in bench.stage() if plan.run in name]


def test_a_task_that_died_is_done_again(bench: Bench) -> None:
    """One lost machine would leave its share of the site out of the index for good."""
    bench.run()
    wanted = bench.digest()
    forget_index(bench.own)
    run_id = bench.begin(3)
    bench.task(run_id, 2)
    bench.embedder = Dies()
    with pytest.raises(SourceError):
        bench.task(run_id, 0)
    bench.embedder = HashedWords()
    assert bench.task(run_id, 1) is None
    report = bench.task(run_id, 0)
    assert report is not None
    assert (report.pages, bench.digest()) == (20, wanted)


def test_a_damaged_stage_is_said_and_read_anew(bench: Bench) -> None:
    """A bucket that lost an object would stop every later run of the site."""
    plan = bench.plan()
    with Parts(bench.own) as parts:
        name = f"ingestion/{plan.run}/0000/pages-000000.zst"
        parts.object_store.put(name, b"not what was written", Deadline.after(SECONDS))
    with pytest.raises(Corrupt, match="damaged"):
        bench.run()
    assert bench.run().pages == 20


def golden(folder: Path, questions: dict[str, str]) -> str:
    folder.mkdir()
    rows = [json.dumps({"id": f"q{n}", "text": text}) for n, text in enumerate(questions)]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    judged = [f"q{n}\t{url}\t1" for n, url in enumerate(questions.values())]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n")
    return str(folder)


def test_a_generation_that_answers_worse_is_refused(bench: Bench, tmp_path: Path) -> None:
    """A site whose build went wrong would take the good index's place."""
    asked = {f"what do the trees of row {n} bear?": f"/docs/row-{n:03}" for n in (1, 5, 9, 12)}
    bench.own = replace(bench.own, golden_questions=golden(tmp_path / "golden", asked))
    bench.run()
    before = bench.digest()
    for number in range(14):
        (bench.site / f"row-{number:03}.md").write_text("# Soon\n\nThis page is being written.\n")
    with pytest.raises(GenerationRefused, match=r"g0002 was not made live: recall@5 is 0\.\d+"):
        bench.run()
    assert bench.digest() == before
    states = [(one.generation.id, one.generation.status, one.serves) for one in generations.listed(bench.own)]
    assert states == [("g0002", "building", False), ("g0001", "live", True)]
    told = bench.embedder = HashedWords()
    bench.own = replace(bench.own, golden_margin=1.0)
    assert bench.run().generation == "g0002"
    assert not told.texts


def test_a_refused_generation_goes_when_the_site_is_right_again(bench: Bench, tmp_path: Path) -> None:
    """A second whole index would be paid for in Qdrant for ever."""
    bench.own = replace(bench.own, golden_questions=golden(tmp_path / "golden", {"row 3?": "/docs/row-003"}))
    bench.run()
    for number in range(14):
        (bench.site / f"row-{number:03}.md").write_text("# Soon\n\nThis page is being written.\n")
    with pytest.raises(GenerationRefused):
        bench.run()
    write_site(bench.site, pages(20))
    assert bench.run().generation == "g0001"
    assert [one.generation.id for one in generations.listed(bench.own)] == ["g0001"]


@pytest.mark.parametrize("why", ["model", "drift"])
def test_a_page_that_cannot_be_read_for_a_new_generation_is_asked_about(bench: Bench, why: str) -> None:
    """A page that failed for a moment would vanish with the switch, although it is said to stay."""
    bench.run()
    before, parsed = bench.digest(), bench.parsed
    write_site(bench.site, pages(20, word="pears" if why == "drift" else "apples"))
    (bench.site / "row-003.md").write_bytes(b"---\ntitle: [\n---\ntext")
    if why == "model":
        bench.embedder = HashedWords("other words", 24)
    for _ in range(2):
        with pytest.raises(RemovalNotAllowed, match=r"1 pages that readers have .*: /docs/row-003\. Nothing"):
            bench.run()
    assert (bench.digest(), bench.parsed - parsed) == (before, 19)
    plan = bench.plan()
    assert (plan.removed, plan.counts.removed, len(plan.refused)) == (("/docs/row-003",), 1, 1)
    assert bench.plan_again(plan.run) == plan
    if why == "model":
        write_site(bench.site, pages(4))
        report = bench.run()
        assert (report.generation, report.pages, bench.parsed - parsed) == ("g0002", 20, 20)
    else:
        report = bench.run(allow_removal=True)
        assert (report.generation, report.pages, report.removed) == ("g0002", 19, 1)


def test_readers_can_be_sent_back(bench: Bench) -> None:
    """A bad generation would stay until the whole site was indexed again."""
    with pytest.raises(Missing, match="none is kept"):
        generations.rollback(bench.own)
    bench.run()
    first = bench.digest()
    write_site(bench.site, pages(20, word="quinces"))
    assert bench.run(source="other").generation == "g0002"
    second = bench.digest()
    target, warnings = generations.rollback(bench.own)
    assert (target.id, warnings, bench.digest()) == ("g0001", (), first)
    with pytest.raises(Missing):
        generations.rollback(bench.own)
    assert generations.rollback(bench.own, "g0002")[0].id == "g0002"
    assert bench.digest() == second
    with Parts(bench.own) as parts:
        pointer = parts.object_store.get("lifeboats/current.json", Deadline.after(SECONDS))[0]
    assert json.loads(pointer)["generation"] == "g0002"


def test_another_model_leaves_no_moment_of_bad_answers(bench: Bench) -> None:
    """Between the change of the setting and the switch, questions would meet vectors of another model."""
    old, new = HashedWords(), HashedWords("other words", 24)
    bench.run()
    models = {one.model: one for one in (old, new)}
    seen: list[tuple[str, bool, str]] = []
    wrong: list[str] = []
    over = threading.Event()

    def ask() -> None:
        with Parts(bench.own) as parts:
            retriever = Retriever(
                parts.vector_search,
                old,
                iter(range(10**9)).__next__,
                alias=bench.own.qdrant_alias,
                others=models.get,
            )
            while not over.is_set():
                found = retriever.retrieve("which ladder number for row 11?", Deadline.after(SECONDS))
                best = found.passages[0].chunk.page_url if found.passages else ""
                seen.append((found.facts.model, found.embedded, best))
                if not found.embedded or best != "/docs/row-011":
                    wrong.append(f"{found.reasons} {best}")

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        bench.embedder = new
        report = bench.run()
        asked = len(seen)
        while len(seen) < asked + 5:
            over.wait(0.01)
    finally:
        over.set()
        reader.join()
    assert report.embedded == 40
    assert wrong == []
    assert [key for key, _ in itertools.groupby(model for model, _, _ in seen)] == [old.model, new.model]
