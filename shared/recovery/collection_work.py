"""The single steps of writing a recorded collection, each timed by its phase."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from shared.batching import batches
from shared.errors import Corrupt
from shared.ports import PackedPoint, PackedSparse, VectorAdmin, VectorBulk
from shared.recovery.patience import Patient
from shared.recovery.point import SERVICE
from shared.recovery.vectors import Progress, VectorFacts
from shared.recovery.vectors_check import count_collection
from shared.retrieval.chunks import STATISTICS_ID

BATCH_POINTS = 128
BATCH_BYTES = 8 << 20
"""Bytes of JSON in one upsert, estimated; Qdrant takes 32 MB."""
IN_FLIGHT = 2
"""Upserts on their way at a time: the server applies one while the next is read, decrypted and spelled."""
_SPELLED = 3
"""Bytes of JSON for each byte of a vector: four bytes of float32 take about eleven digits and a comma."""

_BESIDE = re.compile(r"-(\d{8}t\d{6}z|probe-[0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class There:
    """A collection of the name that is wanted: whether there is one, whether an alias points at it, whether
    it has its reserved point, and whether it is what was recorded.
    """

    exists: bool = False
    in_use: bool = False
    finished: bool = False
    same: bool = False


class CollectionWork:
    """Works on collections of one Qdrant, patiently. ``seconds`` holds what each phase took."""

    def __init__(self, bulk: VectorBulk, admin: VectorAdmin, patient: Patient, progress: Progress) -> None:
        self._bulk = bulk
        self._admin = admin
        self._progress = progress
        self.patient = patient
        self.seconds: dict[str, float] = {}
        self.fast = False
        self.fast_problem = ""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        clock = self.patient.deadline.clock
        began = clock()
        yield
        self.seconds[phase] = round(self.seconds.get(phase, 0.0) + clock() - began, 3)

    def look(self, collection: str, facts: VectorFacts) -> There:
        """What there is under the name that is wanted."""
        if collection not in self.patient(self._admin.collections):
            return There()
        counted = None
        if self.patient(lambda deadline: self._bulk.count(collection, deadline)) == facts.points:
            counted = count_collection(self._bulk, collection, self.patient, total=facts.points)
        return There(
            exists=True,
            in_use=collection in self.patient(self._bulk.aliases).values(),
            finished=self._has_reserved(collection) or not facts.statistics,
            same=counted is not None and not counted.difference(facts),
        )

    def _has_reserved(self, collection: str) -> bool:
        page = self.patient(lambda deadline: self._bulk.read(collection, deadline, limit=1))
        return bool(page.points) and page.points[0].id == STATISTICS_ID

    def drop(self, collection: str) -> None:
        self.patient(lambda deadline: self._admin.drop(collection, deadline))

    def create(self, collection: str, facts: VectorFacts) -> None:
        setup = facts.setup
        self.patient(lambda deadline: self._bulk.create(collection, setup, deadline))
        self.patient(lambda deadline: self._bulk.index(collection, setup, deadline))

    @contextmanager
    def probe(self, name: str, facts: VectorFacts) -> Iterator[str]:
        """An empty collection, for as long as the context lasts."""
        self.create(name, facts)
        try:
            yield name
        finally:
            self.drop(name)

    def write(self, collection: str, points: Iterable[PackedPoint], total: int) -> int:
        """Write the points in bounded batches, the reserved one last; how many were written."""
        reserved: list[PackedPoint] = []
        written = 0
        found = batches(
            _without_reserved(points, reserved), _weight, most=BATCH_POINTS, most_weight=BATCH_BYTES
        )
        for size in self._write_batches(collection, found):
            written += size
            self._progress("restoring points", written, total)
        self._write_batch(collection, reserved)
        return written + len(reserved)

    def _write_batches(self, collection: str, found: Iterable[list[PackedPoint]]) -> Iterator[int]:
        """The size of each batch, in their order, once it is written; :data:`IN_FLIGHT` at a time."""
        sent: deque[tuple[int, Future[None]]] = deque()

        def arrived() -> int:
            size, answer = sent.popleft()
            answer.result()
            return size

        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="upsert") as pool:
            for batch in found:
                sent.append((len(batch), pool.submit(self._write_batch, collection, batch)))
                if len(sent) > IN_FLIGHT:
                    yield arrived()
            while sent:
                yield arrived()

    def _write_batch(self, collection: str, batch: list[PackedPoint]) -> None:
        self.patient(lambda deadline: self._bulk.write(collection, batch, deadline))

    def compare(self, collection: str, facts: VectorFacts) -> None:
        counted = count_collection(self._bulk, collection, self.patient, self._progress, total=facts.points)
        difference = counted.difference(facts)
        if difference:
            raise Corrupt(
                SERVICE,
                f"restore of {collection}",
                f"it reads back with {difference}; readers still see what they saw before",
                hint="Restore again. If that fails, too, look at the cluster's health and its version.",
            )

    def switch(self, aliases: Iterable[str], collection: str) -> None:
        for alias in aliases:
            self._switch(alias, collection)

    def _switch(self, alias: str, collection: str) -> None:
        self.patient(lambda deadline: self._admin.switch_alias(alias, collection, deadline))

    def leftovers(self, collection: str) -> list[str]:
        """Collections that an earlier restore made beside this one, to which no alias points."""
        names = self.patient(self._admin.collections)
        used = set(self.patient(self._bulk.aliases).values())
        beside = [name for name in names if _BESIDE.fullmatch(name.removeprefix(collection))]
        return [name for name in beside if name not in used]


def _without_reserved(points: Iterable[PackedPoint], reserved: list[PackedPoint]) -> Iterator[PackedPoint]:
    for point in points:
        if point.id == STATISTICS_ID:
            reserved.append(point)
        else:
            yield point


def _weight(point: PackedPoint) -> int:
    vectors = sum(
        len(each.indices) + len(each.values) if isinstance(each, PackedSparse) else len(each)
        for each in point.vectors.values()
    )
    return _SPELLED * vectors + len(msgspec.json.encode(point.payload))
