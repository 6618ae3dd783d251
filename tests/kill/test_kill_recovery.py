"""Retention and restore, killed at random moments: never half of anything is taken for whole."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shared.adapters.neon.pool import Pool
from shared.embedded.folder import FolderStore
from shared.embedded.key_file import make_key_file
from shared.errors import Missing
from shared.recovery.catalogue import read_catalogue
from shared.recovery.point import Manifest
from shared.recovery.vectors import VectorFacts
from shared.recovery.vectors_check import count_collection
from shared.recovery.verify import verify_point
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings, environment
from shared.wiring.parts import Parts
from shared.wiring.vectors import patient
from tests.local_stack import filled_stack, write_site
from tests.recovery.test_restore import answer_record
from tests.recovery.whole_points import cut
from tests.recovery_points import cut_point, day, soon

SEED = 20261125


def lectern(environ: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shared.cli.main", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """What the process said, once it has ended well."""
    out, err = process.communicate(timeout=110)
    assert process.returncode == 0, f"{out}\n{err}"
    return out


def killed_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kill it with -9 then; whether it was still running."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    process.communicate()
    return False


# ---------------------------------------------------------------- retention


@pytest.mark.timeout(3600)
def test_retention_killed_leaves_no_manifest_without_its_parts(tmp_path: Path, full: bool) -> None:
    """A point that is listed would turn out to be half removed on the day it is needed."""
    rng = random.Random(SEED)
    environ = {
        "STORAGE_BUCKET": (tmp_path / "bucket").as_uri(),
        "LECTERN_HOME": str(tmp_path / "home"),
        "LECTERN_BACKUP_KEEP_DAYS": "0",
        "LECTERN_BACKUP_KEEP_LAST": "1",
        # What a killed pass leaves are parts without a manifest: they go by their age in the bucket.
        "LECTERN_BACKUP_ORPHAN_DAYS": "0.05",
    }
    store = FolderStore(tmp_path / "bucket")
    numbers = itertools.count()

    def prune() -> subprocess.Popen[str]:
        """A pass over eight points more than there were."""
        for _ in range(8):
            cut_point(store, day(next(numbers)))
        return lectern(environ, "backups", "prune", "--apply")

    started = time.monotonic()
    finished(prune())
    whole = time.monotonic() - started
    kills = 0
    while kills < (100 if full else 2):
        kills += killed_after(prune(), rng.uniform(0.5, 1.0) * whole)
        for one in read_catalogue(store, soon()).points:
            assert one.manifest
            assert verify_point(store, one.manifest, None, patient(soon()), clock=time.monotonic).whole
    finished(lectern(environ, "backups", "prune", "--apply"))
    left = read_catalogue(store, soon())
    assert [one.id for one in left.points] == [f"{day(next(numbers) - 1):%Y%m%dT%H%M%SZ}"]


# ---------------------------------------------------------------- restore


@dataclass
class World:
    """A backed-up stack, and room for any number of restores beside it."""

    own: Settings
    manifest: Manifest
    rows: dict[str, int]

    def target(self, number: int) -> Settings:
        """A database and an alias that do not exist yet."""
        address = self.own.database_url.replace("/postgres?", f"/target{number}?")
        assert address != self.own.database_url, self.own.database_url
        return replace(self.own, database_url=address, qdrant_alias=f"kill{number}-live")

    def restore(self, target: Settings, *words: str) -> subprocess.Popen[str]:
        return lectern(environment(target), "restore", "--json", *words)

    def check(self, target: Settings, *, whole: bool) -> None:
        """What is there under the target's names is whole, or not there at all (unless it must be)."""
        there = self.database(target)
        assert there in ({}, self.rows)
        with Parts(target) as parts:
            collection = parts.vector_bulk.aliases(soon()).get(target.qdrant_alias)
            if collection:
                counted = count_collection(parts.vector_bulk, collection, patient(Deadline.after(30)))
                assert counted.difference(self.manifest.parts["qdrant"].facts(VectorFacts)) == ""
        if whole:
            assert there
            assert collection

    def database(self, target: Settings) -> dict[str, int]:
        with Pool(target.database_url) as pool:
            try:
                names = pool.statement(
                    "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", {}, soon(), "look"
                )
            except Missing:
                return {}
            return {
                name: pool.statement(f'SELECT count(*) FROM "{name}"', {}, soon(), "count")[0][0]
                for (name,) in names
                if name in self.rows or name == "lectern_restore"
            }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("killed")
    make_key_file(folder / "key")
    with filled_stack(folder / "home", write_site(folder / "site")) as ready:
        own = replace(ready, backup_bucket=(folder / "points").as_uri(), backup_key_file=str(folder / "key"))
        with Parts(own) as parts:
            for number in range(200):
                parts.answer_log.record(answer_record(number), soon())
            tables = ("answers", "conversations", "pages", "generations", "passages")
            rows = {
                name: parts._pool.statement(f"SELECT count(*) FROM {name}", {}, soon(), "count")[0][0]
                for name in tables
            }
        yield World(own, cut(own), rows)


@pytest.mark.timeout(3600)
def test_a_killed_restore_is_never_taken_for_a_whole_one(world: World, full: bool) -> None:
    """Readers would be served from half of a database, or the next run would refuse to go on."""
    rng = random.Random(SEED)
    for number in range(2 if full else 1):  # the first one pays for what is not in memory yet
        started = time.monotonic()
        finished(world.restore(world.target(number)))
        took = time.monotonic() - started
    world.check(world.target(0), whole=True)
    kills = 0
    for number in range(2, 300):
        target = world.target(number)
        kills += killed_after(world.restore(target), rng.uniform(0.15, 1.0) * took)
        world.check(target, whole=False)
        finished(world.restore(target, *(["--replace"] if world.database(target) else [])))
        world.check(target, whole=True)
        with Parts(target) as parts:
            for name in parts.vector_admin.collections(soon()):
                if name.startswith(f"kill{number}-"):
                    parts.vector_admin.drop(name, soon())
        if kills == (100 if full else 2):
            return
    raise AssertionError(f"only {kills} runs were killed")
