"""A Qdrant with a live generation, a folder as bucket, and a key: what the tests of vectors start from."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.bulk import QdrantBulk
from shared.embedded.key_file import KeyFile
from shared.ports import CollectionSpec, ObjectStore, PackedPoint, PackedSparse, Point, SparseVector
from shared.recovery.crypto import PointCipher
from shared.recovery.point import PartRecord
from shared.recovery.vectors import Cut, Progress, VectorExport, nothing
from shared.recovery.vectors_restore import VectorRestore
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import RunningDigest, packed
from shared.retrieval.layout import Facts, statistics_point
from shared.retrieval.statistics import FieldCounter, Statistics
from tests.contract.qdrant_places import Place
from tests.recovery_points import patient

POINT = "20261125T030000Z"
AT = datetime(2026, 11, 25, 3, tzinfo=UTC)
SPEC = CollectionSpec({"dense": 8}, ("headings", "passages"), ("locale", "url", "version"))


def reserved(generation: str = "g0001") -> Point:
    """A statistics point like those of ingestion."""
    counter = FieldCounter()
    counter.add("apples and pears")
    statistics = Statistics(counter.statistics(), counter.statistics())
    return statistics_point(statistics, Facts(generation, "f1", "toy-model", 8))


def odd_points() -> list[Point]:
    """Points with little, with much and with strange things in them."""
    return [
        Point(str(UUID(int=1)), {"passages": SparseVector((9, 3, 2**32 - 1), (0.1, 1e-30, 3.4e38))}, {}),
        Point(str(UUID(int=2)), {"dense": (1.0, *[0.0] * 7)}, {"n": None, "f": 1.0, "i": 1, "t": True}),
        Point(str(UUID(int=3)), {}, {"text": 'ünï 🌳 "\\\n\u0000\u2028\r\n', "": [{}, []], "ключ": "値"}),
        Point(str(UUID(int=4)), {}, {"big": 2**63 - 1, "small": -(2**63), "e": 1.5e300, "url": "a/b"}),
        Point(str(UUID(int=5)), {}, {"text": "x" * 300_000}),
    ]


def many_points(count: int, seed: int = 1) -> list[PackedPoint]:
    """So many points as ingestion makes them, with unit vectors."""
    dice = random.Random(seed)
    return [_one(dice) for _ in range(count)]


def _one(dice: random.Random) -> PackedPoint:
    numbers = [dice.gauss(0, 1) for _ in range(8)]
    length = sum(number * number for number in numbers) ** 0.5
    terms = sorted({dice.randrange(2**32) for _ in range(6)})
    weights = [dice.uniform(0.1, 2) for _ in terms]
    sparse = PackedSparse(struct.pack(f"<{len(terms)}I", *terms), struct.pack(f"<{len(terms)}f", *weights))
    text = " ".join(dice.choice(("apple", "pear", "quince", "bee")) for _ in range(40))
    payload = {"url": f"/docs/{dice.randrange(50)}", "text": text, "position": dice.randrange(9)}
    dense = struct.pack("<8f", *(number / length for number in numbers))
    return PackedPoint(str(UUID(int=dice.getrandbits(128))), {"dense": dense, "passages": sparse}, payload)


@dataclass
class World:
    """Ports and settings of one test; ``alias`` is its own, so that tests share an engine."""

    place: Place
    bulk: QdrantBulk
    admin: QdrantAdmin
    store: ObjectStore
    key: Path
    alias: str

    def cipher(self, point: str = POINT) -> PointCipher:
        return PointCipher(KeyFile(self.key), point)

    def collection(self, generation: str = "g0001") -> str:
        return f"{self.alias.removesuffix('-live')}-{generation}"

    def fill(
        self, points: Iterable[PackedPoint], generation: str = "g0001", spec: CollectionSpec = SPEC
    ) -> str:
        """Make a collection of these points and let the alias point at it."""
        name = self.collection(generation)
        deadline = Deadline.after(60)
        self.admin.create(name, spec, deadline)
        held = list(points)
        for start in range(0, len(held), 256):
            self.bulk.write(name, held[start : start + 256], deadline)
        self.admin.switch_alias(self.alias, name, deadline)
        return name

    def export(
        self,
        *,
        point: str = POINT,
        version: int = 7,
        attempt: str = "a-1",
        object_bytes: int = 20_000,
        encrypted: bool = True,
        progress: Progress = nothing,
        bulk: QdrantBulk | None = None,
    ) -> PartRecord:
        """Export the live generation."""
        export = VectorExport(
            bulk or self.bulk,
            self.store,
            self.cipher(point) if encrypted else None,
            alias=self.alias,
            now=lambda: AT,
            object_bytes=object_bytes,
        )
        return export.run(Cut(point, version, AT, attempt), patient(), progress)

    def restore(self, alias: str = "") -> VectorRestore:
        """A restore behind ``alias``, by default the one that was exported."""
        return VectorRestore(self.bulk, self.admin, self.store, self.cipher(), alias=alias or self.alias)

    def digest(self, collection: str) -> str:
        """The digest of a collection, by a reader of its own."""
        running, offset = RunningDigest(), None
        while True:
            page = self.admin.scroll(collection, Deadline.after(60), offset=offset, with_vectors=True)
            for point in page.points:
                running.add(packed(point))
            offset = page.next_offset
            if offset is None:
                return running.text


def write_key(path: Path, seed: int = 1) -> Path:
    """A key file that others cannot read."""
    path.write_bytes(base64.b64encode(random.Random(seed).randbytes(32)) + b"\n")
    path.chmod(0o600)
    return path
