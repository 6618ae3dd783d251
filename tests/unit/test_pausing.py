"""Schedules around a restore: paused, resumed, and resumed by the next one when the first was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.adapters.scheduler import CloudSchedules
from shared.embedded.folder import FolderStore
from shared.errors import AccessDenied
from shared.recovery.pausing import PREFIX, schedules_paused
from tests.fakes.scheduler import FakeScheduler
from tests.recovery_points import soon


class World:
    """Three schedules, one of which somebody paused by hand."""

    def __init__(self, fake: FakeScheduler, folder: Path) -> None:
        self.fake = fake
        for name in ("lectern-ingest", "lectern-backup-neon", "lectern-health", "lectern-drill"):
            fake.state.add(name)
        self.schedules = CloudSchedules("p", "r", endpoint=fake.endpoint)
        self.schedules.pause("lectern-drill", soon())
        self.store = FolderStore(folder / "bucket")
        self.said: list[str] = []
        self.now = 1000.0

    def states(self) -> dict[str, str]:
        return {one.name.removeprefix("lectern-"): one.state for one in self.schedules.list(soon())}

    def paused(self):
        self.now += 1
        say = self.said.append
        return schedules_paused(self.store, self.schedules, soon(), point="p1", now=self.now, say=say)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeScheduler() as fake:
        made = World(fake, tmp_path)
        yield made
        made.schedules.close()


BEFORE = {"ingest": "enabled", "backup-neon": "enabled", "health": "enabled", "drill": "paused"}
DURING = {"ingest": "paused", "backup-neon": "paused", "health": "enabled", "drill": "paused"}


def test_nothing_starts_while_a_restore_runs(world: World) -> None:
    """A nightly ingestion would write into a database that is half restored."""
    with world.paused() as names:
        assert names == ("lectern-backup-neon", "lectern-ingest")
        assert world.states() == DURING
    assert world.states() == BEFORE


def test_a_failed_restore_resumes(world: World) -> None:
    """Backups would stop for ever after one restore that failed."""
    with pytest.raises(ZeroDivisionError), world.paused():
        raise ZeroDivisionError
    assert world.states() == BEFORE


def test_what_a_killed_restore_left_paused_runs_again_after_the_next_one(world: World) -> None:
    """Backups would stop for ever after one restore that was killed."""
    killed = world.paused()
    killed.__enter__()
    assert world.states() == DURING
    with world.paused() as names:
        assert names == ("lectern-backup-neon", "lectern-ingest")
    assert world.states() == BEFORE
    # And once that is settled, a schedule that is paused by hand stays so.
    world.schedules.pause("lectern-ingest", soon())
    with world.paused() as names:
        assert names == ("lectern-backup-neon",)
    assert world.states() == {**BEFORE, "ingest": "paused"}


def test_a_schedule_that_does_not_resume_is_named_and_tried_again(world: World) -> None:
    """An operator would not know that ingestion stands still."""
    with world.paused():
        world.fake.faults = [503]
    assert "lectern-backup-neon is still paused" in world.said[0]
    assert world.states() == {**BEFORE, "backup-neon": "paused"}
    with world.paused():
        pass
    assert world.states() == BEFORE
    names = [info.name for info in world.store.list(PREFIX, soon())]
    assert sum("began" in name for name in names) == sum("ended" in name for name in names) == 2


def test_nothing_is_paused_that_could_not_be_resumed(world: World) -> None:
    """A restore without the right to pause would leave half of the schedules paused."""
    world.fake.faults = [403]
    with pytest.raises(AccessDenied), world.paused():
        raise AssertionError("not reached")
    assert world.states() == BEFORE
