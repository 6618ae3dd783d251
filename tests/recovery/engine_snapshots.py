"""A node that makes snapshots, over an engine that makes none: a collection as one file, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from shared.errors import Missing, Rejected
from shared.ports import PackedPoint, VectorAdmin, VectorBulk
from shared.ports.snapshots import Snapshot
from shared.resilience.deadline import Deadline
from tests.recovery.vector_world import SPEC


class EngineSnapshots:
    """:class:`~shared.ports.snapshots.VectorSnapshots` with the files in memory.

    ``damage`` changes what is downloaded; ``refuses`` is a server of another version.
    """

    def __init__(self, bulk: VectorBulk, admin: VectorAdmin) -> None:
        self._bulk = bulk
        self._admin = admin
        self.files: dict[str, bytes] = {}
        self.recovered = 0
        self.refuses = False
        self.damage: Callable[[bytes], bytes] = lambda data: data

    def sees(self, collection: str, deadline: Deadline) -> bool:
        return collection in self._admin.collections(deadline)

    def create(self, collection: str, deadline: Deadline) -> Snapshot:
        page = self._bulk.read(collection, deadline, limit=100_000)
        data = msgspec.msgpack.encode(page.points)
        name = f"{collection}-{len(self.files)}.snapshot"
        self.files[name] = data
        return Snapshot(name, len(data), hashlib.sha256(data).hexdigest(), "1.16.3")

    @contextmanager
    def download(self, collection: str, name: str, _deadline: Deadline) -> Iterator[Callable[[int], bytes]]:
        if name not in self.files:
            raise Missing("qdrant", f"download of {name}", f"{collection} has no such snapshot")
        rest = memoryview(self.damage(self.files[name]))

        def read(size: int) -> bytes:
            nonlocal rest
            piece, rest = rest[:size], rest[size:]
            return bytes(piece)

        yield read

    def delete(self, _collection: str, name: str, _deadline: Deadline) -> None:
        del self.files[name]

    def recover(
        self, collection: str, snapshot: Snapshot, blocks: Iterable[bytes], deadline: Deadline
    ) -> None:
        data = b"".join(blocks)
        if self.refuses or hashlib.sha256(data).hexdigest() != snapshot.sha256:
            raise Rejected("qdrant", f"recovery of {collection}", "HTTP 400, the snapshot does not fit")
        self._admin.create(collection, SPEC, deadline)
        self._bulk.write(collection, msgspec.msgpack.decode(data, type=list[PackedPoint]), deadline)
        self.recovered += 1
