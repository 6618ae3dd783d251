"""An ingestion killed outright at random moments, while a reader asks all the time."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from shared import settings
from shared.adapters.neon.lease import end_leases
from shared.adapters.neon.pool import Pool
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import points_digest
from shared.retrieval.retriever import Retriever
from shared.settings import ROOT, Settings
from shared.wiring.ingestion import Wanted, ingestion
from shared.wiring.parts import Parts
from shared.wiring.stack import services
from tests.embedders import HashedWords
from tests.local_stack import SECONDS, environment, forget_index, live_points, write_site

SEED = 20261125
PAGES = 40
ASKED = 17
"""The page that the reader asks for."""


def text(number: int, edition: str) -> str:
    sections = "\n\n".join(
        f"## Tree {k}\n\nTree {k} of row {number} bears {number * k + 3} {edition} apples, picked by hand."
        for k in range(6)
    )
    return f"# Row {number}\n\nEverything about row {number}.\n\n{sections}\n"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with services(settings.load({}, home=str(tmp_path_factory.mktemp("kills")), embedder="none")) as ready:
        yield ready.settings


class Reader:
    """Asks all the time, and notes every answer that no whole generation would give."""

    def __init__(self, own: Settings, models: list[HashedWords]) -> None:
        self._own = own
        self._models = {one.model: one for one in models}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.asked = 0
        self.wrong: list[str] = []
        self.whole: set[int] = set()
        """Numbers of points that a whole generation may have."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with Parts(self._own) as parts:
            search, admin = parts.vector_search, parts.vector_admin
            first = next(iter(self._models.values()))
            while not self._over.is_set():
                retriever = Retriever(
                    search, first, time.monotonic, alias=self._own.qdrant_alias, others=self._models.get
                )
                found = retriever.retrieve(f"how many apples in row {ASKED}?", Deadline.after(SECONDS))
                self._judge(found, admin.count(found.collection, Deadline.after(SECONDS)))
                self.asked += 1
                self._over.wait(0.005)

    def _judge(self, found, points: int) -> None:
        best = found.passages[0].chunk.page_url if found.passages else "nothing"
        if best != f"/docs/row-{ASKED:02}":
            self.wrong.append(f"{found.collection}: the best page is {best}")
        if not found.embedded:
            self.wrong.append(f"{found.collection}: {found.reasons}")
        if points not in self.whole:
            self.wrong.append(f"{found.collection}: it has {points} points, a whole one {self.whole}")


class Bench:
    """Runs in processes of their own on one index."""

    def __init__(self, own: Settings, site: Path) -> None:
        self.own = own
        self.site = site

    def start(self, *words: str) -> subprocess.Popen[str]:
        alias = {"LECTERN_QDRANT_ALIAS": self.own.qdrant_alias, "LECTERN_PREVIOUS_GENERATIONS": "2"}
        command = [sys.executable, "-m", "tests.kill.ingest_child", str(self.site), *words]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(self.own, **alias),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> float:
        """A whole run, or the task of one; its seconds."""
        begun = time.monotonic()
        child = self.start(*words)
        said, _ = child.communicate(timeout=120)
        assert child.returncode == 0, said
        return time.monotonic() - begun

    def kill(self, *words: str, after: float) -> bool:
        """Begin a run, or a task, and kill it; whether it was still going."""
        child = self.start(*words)
        try:
            child.wait(timeout=after)
        except subprocess.TimeoutExpired:
            child.kill()
        child.communicate()
        with Pool(self.own.database_url) as pool:  # what half a minute without a heartbeat does
            end_leases(pool, Deadline.after(SECONDS))
        return child.returncode != 0

    def digest(self) -> str:
        return points_digest(live_points(self.own))

    def count(self) -> int:
        return len(live_points(self.own))

    def is_complete(self) -> bool:
        """Whether no page is marked as being written."""
        with Parts(self.own) as parts:
            known = parts.ledger.generations(Deadline.after(SECONDS))
            live = next(one for one in known if one.status == "live")
            return all(
                page.content_hash for page in parts.ledger.pages(live.id, Deadline.after(SECONDS)).values()
            )


@contextmanager
def fresh(stack: Settings, folder: Path, alias: str) -> Iterator[Bench]:
    site = write_site(folder / alias, {f"row-{n:02}.md": text(n, "red") for n in range(PAGES)})
    bench = Bench(replace(stack, qdrant_alias=f"{alias}-live"), site)
    yield bench
    forget_index(bench.own)
    shutil.rmtree(site)


@pytest.mark.timeout(3600)
def test_a_killed_run_goes_on_and_readers_never_see_half_of_it(
    stack: Settings, tmp_path: Path, *, full: bool
) -> None:
    """A lost machine would leave half an index before readers, or another one than an undisturbed run."""
    first, second = HashedWords("hashed-words"), HashedWords("other-words")
    with fresh(stack, tmp_path, "whole") as bench:
        bench.run("s", first.model)
        old, points = bench.digest(), bench.count()
        seconds = bench.run("s", second.model)
        new = bench.digest()
    moments, killed = random.Random(SEED), 0
    with fresh(stack, tmp_path, "killed") as bench:
        bench.run("s", first.model)
        assert bench.digest() == old
        with Reader(bench.own, [first, second]) as reader:
            reader.whole = {points}
            model, other = second.model, first.model
            while killed < (50 if full else 3):
                while bench.kill("s", model, after=moments.uniform(0.3, 1.0) * seconds):
                    killed += 1
                    if moments.random() < 0.5:  # the others are killed once more while they go on
                        break
                bench.run("s", model)
                assert bench.digest() == (new if model == second.model else old), f"kill {killed}"
                model, other = other, model
            asked = reader.asked
    print(f"{killed} kills; {asked} questions, {len(reader.wrong)} wrong")
    assert reader.wrong == []
    assert asked > killed


@pytest.mark.timeout(3600)
def test_a_killed_change_of_pages_is_completed(stack: Settings, tmp_path: Path, *, full: bool) -> None:
    """Pages that were being written when the machine was lost would stay as they were, or half of them."""
    trials, model = 20 if full else 1, HashedWords().model
    wanted: list[str] = []
    for is_killed in (False, True):
        moments = random.Random(SEED + 1)
        with fresh(stack, tmp_path, "changed") as bench:
            seconds = bench.run("s", model)
            for trial in range(trials):
                edit(bench.site, trial)
                if is_killed:
                    bench.kill("s", model, after=moments.uniform(0.3, 1.0) * seconds)
                bench.run("s", model)
                if is_killed:
                    assert bench.digest() == wanted[trial], f"trial {trial}"
                    assert bench.is_complete()
                else:
                    wanted.append(bench.digest())


@pytest.mark.timeout(3600)
def test_tasks_that_are_killed_are_done_again(stack: Settings, tmp_path: Path, *, full: bool) -> None:
    """A share of the site would be left out for good when one machine of many was lost."""
    model, moments = HashedWords().model, random.Random(SEED + 2)
    with fresh(stack, tmp_path, "tasked") as bench:
        seconds = bench.run("s", model)
        wanted = bench.digest()
        for trial in range(10 if full else 1):
            forget_index(bench.own)
            with Parts(bench.own) as parts:
                parts.embedder = HashedWords()
                made = ingestion(parts)
                run_id = made.begin(Wanted(str(bench.site), "/docs", "s", tasks=3).run(made.fingerprint)).id
            order = moments.sample(range(3), 3)
            for task in order:
                if moments.random() < 0.7 or task == order[-1]:
                    words = ("s", model, run_id, str(task))
                    bench.kill(*words, after=moments.uniform(0.3, 1.0) * seconds)
                bench.run("s", model, run_id, str(task))
            assert bench.digest() == wanted, f"trial {trial}"
            assert bench.is_complete()


def edit(site: Path, trial: int) -> None:
    """A third of the pages changes, one gets another address, one goes."""
    chosen = random.Random(trial).sample(sorted(site.iterdir()), PAGES // 3)
    for number, page in enumerate(chosen):
        page.write_text(text(number, f"green-{trial}"))
    chosen[0].rename(site / f"moved-{trial:02}.md")
    chosen[1].unlink()
