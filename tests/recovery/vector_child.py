"""Exports or restores the vectors of a world that a test made, in a process that can be killed."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.embedded.folder import FolderStore
from shared.recovery.point import PartRecord
from tests.contract.qdrant_places import Place
from tests.recovery.vector_world import POINT, World, patient


class Task(msgspec.Struct):
    """What to do: ``record`` None exports, else that one is restored."""

    url: str
    key: str
    folder: str
    alias: str
    point: str = POINT
    attempt: str = "a-1"
    replace: bool = False
    record: PartRecord | None = None


def run(task: Task) -> PartRecord | None:
    """Do it; the record of an export."""
    folder = Path(task.folder)
    with QdrantBulk(task.url, task.key) as bulk, QdrantAdmin(task.url, task.key) as admin:
        store = FolderStore(folder / "bucket")
        world = World(Place(task.url, task.key), bulk, admin, store, folder / "key", task.alias)
        if task.record is None:
            return world.export(point=task.point, attempt=task.attempt, object_bytes=60_000)
        world.restore().run(task.record, patient(), replace=task.replace)
        return None


def work(task: bytes, answer: Connection) -> None:
    """The process: it says that it is there, does the task, and answers with what came of it."""
    answer.send_bytes(b"ready")
    done = run(msgspec.json.decode(task, type=Task))
    answer.send_bytes(msgspec.json.encode(done))
