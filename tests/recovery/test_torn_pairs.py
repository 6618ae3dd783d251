"""Backups while readers ask and an ingestion runs, all the time: database and vectors belong together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from shared.recovery.lines import LinesReader
from shared.recovery.neon_part import stored_tables
from shared.recovery.point import Manifest
from shared.recovery.streams import part_reader
from shared.recovery.vectors import VectorFacts
from shared.retrieval.chunks import STATISTICS_ID
from shared.settings import Settings
from shared.wiring import ingestion
from shared.wiring.parts import Parts
from tests.local_stack import ORCHARD, filled_stack, write_site
from tests.recovery.test_restore import answer_record
from tests.recovery.whole_points import cut
from tests.recovery_points import day, soon
from tests.waiting import wait_for


@contextmanager
def all_the_time(work: Callable[[int], None]) -> Iterator[list[int]]:
    """Do ``work`` again and again; yields the numbers of the turns that are done."""
    stop, done, errors = threading.Event(), list[int](), list[BaseException]()

    def turns() -> None:
        try:
            while not stop.is_set():
                work(len(done))
                done.append(len(done))
        except BaseException as error:  # noqa: BLE001 - told where the test can see it
            errors.append(error)

    thread = threading.Thread(target=turns)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(60)
        assert not errors, errors


def ids_in_database(own: Settings, manifest: Manifest, generation: str) -> set[str]:
    """Passages of a generation, by the ledger in the point."""
    return {row[1] for row in rows(own, manifest, "chunks") if row[0] == generation}


def rows(own: Settings, manifest: Manifest, name: str) -> list[list[str]]:
    with Parts(own) as parts:
        ((_, entry),) = [
            pair for pair in stored_tables(manifest.parts["neon"]) if pair[0].label == f"public.{name}"
        ]
        text = b"".join(part_reader(parts.point_store, entry, None, soon())).decode()
    return [line.split("\t") for line in text.splitlines()]


def ids_in_vectors(own: Settings, manifest: Manifest) -> set[str]:
    found: set[str] = set()
    with Parts(own) as parts:
        for entry in manifest.parts["qdrant"].objects:
            blocks = part_reader(parts.point_store, entry, None, soon())
            found |= {point.id for point in LinesReader(entry.name, blocks)}
    return found - {STATISTICS_ID}


@pytest.mark.timeout(1200)
def test_no_backup_is_torn_while_everything_is_written(tmp_path: Path, full: bool) -> None:
    """A restore would bring back answers without their conversation, and passages without their page."""
    states = [write_site(tmp_path / "one"), write_site(tmp_path / "two", {**ORCHARD, **more()})]
    trials = 20 if full else 3
    with filled_stack(tmp_path / "home", states[0]) as ready:
        points = (tmp_path / "points").as_uri()
        own = replace(ready, backup_bucket=points, embedder="none", removal_limit=1.0)

        def chat(turn: int) -> None:
            with Parts(own) as parts:
                for number in range(20):
                    parts.answer_log.record(answer_record(turn * 20 + number), soon())
            time.sleep(0.01)

        def ingest(turn: int) -> None:
            ingestion.run(own, states[turn % 2], "/docs")

        torn, versions = 0, set[int]()
        with all_the_time(chat) as asked, all_the_time(ingest) as ingested:
            for trial in range(trials):
                before = len(ingested)
                wait_for(lambda before=before: len(ingested) > before)
                manifest = cut(own, day(trial))
                torn += is_torn(own, manifest)
                versions.add(manifest.ledger_version)
            assert len(asked) > trials
    assert torn == 0
    assert len(versions) == trials, "the ingestion did not write between the backups"


def more() -> dict[str, str]:
    return {
        f"fruit-{n}.md": f"---\ntitle: Fruit {n}\n---\n\n## Kind\n\nFruit number {n}.\n" for n in range(12)
    }


def is_torn(own: Settings, manifest: Manifest) -> bool:
    generation = manifest.parts["qdrant"].facts(VectorFacts).generation
    conversations = {row[0] for row in rows(own, manifest, "conversations")}
    answers = {row[1] for row in rows(own, manifest, "answers")}
    vectors = ids_in_vectors(own, manifest)
    assert vectors
    return ids_in_database(own, manifest, generation) != vectors or not answers <= conversations
