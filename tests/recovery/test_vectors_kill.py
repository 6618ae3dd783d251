"""Exports and restores that are killed outright at random moments."""

from __future__ import annotations

import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec
import pytest

from shared.recovery.point import PartRecord
from shared.recovery.vectors_check import check_vectors
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import packed
from tests.recovery.vector_child import Task, work
from tests.recovery.vector_world import World, many_points, patient, reserved

SECONDS = 30.0


def soon() -> Deadline:
    return Deadline.after(SECONDS)


class Children:
    """Starts children and says how long one of them took when it was left alone."""

    def __init__(self, seed: int) -> None:
        self._moments = random.Random(seed)
        self._whole = 0.0
        # Forked from a process that has loaded the modules already, and has no engine and no threads.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.recovery.vector_child"])

    def finish(self, task: Task) -> PartRecord | None:
        """What a child that nobody kills says in the end."""
        child, answer = self._start(task)
        began = time.monotonic()
        with answer:
            said = answer.recv_bytes()
        self._whole = time.monotonic() - began
        child.join(SECONDS)
        assert child.exitcode == 0
        return msgspec.json.decode(said, type=PartRecord | None)

    def kill(self, task: Task) -> bool:
        """Kill a child at a random moment; whether it was still at work."""
        child, answer = self._start(task)
        with answer:
            child.join(self._moments.uniform(0.0, self._whole))  # the random moment is what is tested
            child.kill()
            child.join(SECONDS)
        return child.exitcode != 0

    def _start(self, task: Task) -> tuple[BaseProcess, Connection]:
        """A child that is about to begin with its work."""
        ours, theirs = self._context.Pipe(duplex=False)
        child = self._context.Process(target=work, args=(msgspec.json.encode(task), theirs), daemon=True)
        child.start()
        theirs.close()
        assert ours.recv_bytes() == b"ready"
        return child, ours


def task_of(world: World, **more: Any) -> Task:
    return Task(world.place.url, world.place.api_key, str(world.key.parent), world.alias, **more)


@pytest.mark.timeout(900)
def test_an_export_that_was_killed_is_gone_on_with_and_whole(world: World, *, full: bool) -> None:
    """The backup of a night in which a machine died would never be whole, or be taken for whole."""
    points = [packed(reserved()), *many_points(1500)]
    wanted = world.digest(world.fill(points))
    children = Children(20261125)
    children.finish(task_of(world, point="20261101T000000Z"))
    killed, gone_on = 0, 0
    for trial in range(40 if full else 3):
        task = task_of(world, point=f"20261102T{trial:06d}Z")
        killed += children.kill(task)
        record = children.finish(msgspec.structs.replace(task, attempt="a-2"))
        assert record
        gone_on += record.attempt == "a-1"
        counted = check_vectors(record, world.store, world.cipher(task.point), patient())
        assert (counted.digest, counted.points) == (wanted, len(points))
    assert killed, "no child was killed at work"
    assert gone_on, "none went on where the killed one was"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("damaged", [False, True], ids=["into nothing", "over a damaged one"])
def test_a_restore_that_was_killed_is_never_taken_for_whole(
    world: World, damaged: bool, *, full: bool
) -> None:
    """Readers would search in half an index, and the next restore would refuse to touch it."""
    points = [packed(reserved()), *many_points(600)]
    name = world.fill(points)
    wanted = world.digest(name)
    record = world.export()
    children = Children(20261126)
    task = task_of(world, record=record, replace=damaged)

    def lose() -> None:
        world.admin.drop(name, soon())
        if damaged:
            world.fill([packed(reserved()), *many_points(40, seed=3)])

    lose()
    before = world.digest(name) if damaged else ""
    children.finish(task)
    killed = 0
    for trial in range(30 if full else 2):
        lose()
        killed += children.kill(task)
        behind = world.bulk.aliases(soon()).get(world.alias, "")
        if behind:
            assert world.digest(behind) in {wanted, before}, f"trial {trial}: half of it is live"
        children.finish(task)
        assert world.bulk.aliases(soon())[world.alias] == name
        assert world.digest(name) == wanted
        ours = [one for one in world.admin.collections(soon()) if one.startswith(name)]
        assert ours == [name]
    assert killed, "no child was killed at work"
