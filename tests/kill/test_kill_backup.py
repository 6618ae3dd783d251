"""Backups killed at random moments: a manifest never names what does not verify; every rerun ends well."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.embedded.key_file import make_key_file
from shared.recovery.catalogue import read_catalogue
from shared.recovery.verify import verify_point
from shared.settings import Settings
from shared.wiring import backup
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from tests.local_stack import filled_stack, write_site
from tests.recovery.test_restore import answer_record
from tests.recovery_points import patient, soon

SEED = 20261126
SECONDS = 60.0


def work(settings: Settings, point: str) -> None:
    """What the killed process does."""
    assert backup.run(settings, point).state == "committed"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("backups")
    make_key_file(folder / "key")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        points = (folder / "points").as_uri()
        # No embedder: its model would be loaded by every child.
        made = replace(ready, backup_bucket=points, backup_key_file=str(folder / "key"), embedder="none")
        with Parts(made) as parts:
            for number in range(300):
                parts.answer_log.record(answer_record(number), soon())
        yield made


class Children:
    """Processes that back up, forked from one that has loaded everything and opened nothing."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.kill.test_kill_backup"])

    def run(self, settings: Settings, point: str, seconds: float | None = None) -> bool:
        """Back up; kill it after ``seconds``. Whether it ended by itself, and well."""
        child = self._context.Process(target=work, args=(settings, point))
        child.start()
        child.join(SECONDS if seconds is None else seconds)
        ended = child.exitcode is not None
        child.kill()
        child.join()
        assert not ended or child.exitcode == 0
        return ended


def check(own: Settings) -> set[str]:
    """Every point that has a manifest is whole; their ids."""
    with Parts(own) as parts:
        points = read_catalogue(parts.point_store, soon()).points
        for one in points:
            assert one.manifest
            assert {record.ledger_version for record in one.manifest.parts.values()} == {
                one.manifest.ledger_version
            }
            cipher = point_cipher(own, one.id)
            found = verify_point(parts.point_store, one.manifest, cipher, patient(), clock=time.monotonic)
            assert found.whole, found.problems
    return {one.id for one in points}


def move_ledger(own: Settings) -> None:
    """What an ingestion between two tries does."""
    with Parts(own) as parts:
        live = next(one for one in parts.ledger.generations(soon()) if one.status == "live")
        parts.ledger.save_pages(live.id, list(parts.ledger.pages(live.id, soon()).values()), soon())


@pytest.mark.timeout(3600)
def test_a_killed_backup_leaves_no_manifest_that_does_not_verify(own: Settings, full: bool) -> None:
    """A point that is listed would turn out to be half written on the day it is needed."""
    chance, children = random.Random(SEED), Children()
    assert children.run(own, "20260101T000000Z")  # the first one pays for loading
    began = time.monotonic()
    assert children.run(own, "20260101T000001Z")
    whole = time.monotonic() - began
    kills = number = 0
    while kills < (100 if full else 5):
        number += 1
        assert number < 300, f"only {kills} runs were killed"
        point = f"202602{1 + number // 24:02}T{number % 24:02}0000Z"
        while not children.run(own, point, chance.uniform(0.0, 1.1) * whole):
            kills += 1
            check(own)
            if chance.random() < 0.3:
                move_ledger(own)
        assert point in check(own)
