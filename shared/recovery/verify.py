"""Reads a whole recovery point without writing a row: every object is authenticated, decrypted and digested,
and what the objects hold together is compared with the records: the rows of each table, the points of the
index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from shared.errors import Corrupt, Interrupted, LecternError, Missing
from shared.ports import ObjectStore
from shared.recovery.crypto import PointCipher, corrupt
from shared.recovery.neon_part import stored_tables
from shared.recovery.patience import Patient
from shared.recovery.point import SERVICE, Manifest, ObjectEntry, PartRecord
from shared.recovery.progress import Meter, Watch, nobody
from shared.recovery.streams import check_object, part_reader
from shared.recovery.vectors import VectorFacts
from shared.recovery.vectors_check import check_vectors
from shared.resilience.deadline import Clock

THREADS = 2
"""Digests, decryption and decompression run outside of Python's lock: two processors are kept busy."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What was read of one part."""

    objects: int
    bytes: int
    rows: int
    points: int


@dataclass(frozen=True, slots=True)
class Verified:
    """The result. ``problems`` names each object that is not what was written, and each record that does not
    fit what its objects hold; empty when the point is whole.

    ``empty`` says that the point holds no row and no vector, and that its manifest says so, too.
    ``passed_over`` has a line for each newer point that cannot even be read, when the newest was asked for.
    """

    point: str
    parts: Mapping[str, PartSummary]
    encrypted: bool
    seconds: float
    problems: tuple[str, ...]
    passed_over: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.problems

    @property
    def empty(self) -> bool:
        return not any(part.rows or part.points for part in self.parts.values())


def verify_point(
    store: ObjectStore,
    manifest: Manifest,
    cipher: PointCipher | None,
    patient: Patient,
    *,
    clock: Clock,
    watch: Watch = nobody,
) -> Verified:
    """Read every object of every part to its end, once, and compare it with what the part's record says.

    An object that is missing or was changed, and a record of other rows or points, are problems of the
    result; errors that say nothing of the point (no key, a bucket that cannot be reached, no time left) are
    raised.
    """
    started = clock()
    problems = [] if manifest.parts else [f"{manifest.id} has no part"]
    meter = Meter("verify", manifest.bytes, watch)
    reading = _Reading(store, cipher, patient, meter)
    # The points first: they are read one after another, and the rest beside them.
    records = sorted(manifest.parts.values(), key=lambda record: record.part != "qdrant")
    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        tasks = [task for record in records for task in reading.tasks(record)]
        for found in pool.map(lambda task: task(), tasks):
            problems += found
    meter.end()
    return Verified(
        point=manifest.id,
        parts={name: _summary(record.objects) for name, record in sorted(manifest.parts.items())},
        encrypted=bool(manifest.key_id),
        seconds=round(clock() - started, 3),
        problems=tuple(problems),
    )


def require_whole(verified: Verified) -> None:
    """Raise :class:`~shared.errors.Corrupt`, naming what is broken, unless the point is whole."""
    if verified.problems:
        detail = f"{verified.point} is not whole: {'; '.join(verified.problems[:3])}"
        hint = "Use another point (`lectern backups`), or the copy in the second bucket."
        raise Corrupt(SERVICE, "verify", detail, hint=hint)


Task = Callable[[], list[str]]
"""Reads something, and returns its problems."""


@dataclass(frozen=True, slots=True)
class _Reading:
    store: ObjectStore
    cipher: PointCipher | None
    patient: Patient
    meter: Meter

    def tasks(self, record: PartRecord) -> list[Task]:
        """What has to be read of a part."""
        if record.part == "neon":
            return self._of_tables(record)
        if record.part == "qdrant":
            return self._of_vectors(record)
        return [self._object(entry) for entry in record.objects]

    def _of_tables(self, record: PartRecord) -> list[Task]:
        try:
            tables = {entry.name for _, entry in stored_tables(record)}
        except Corrupt as error:
            return self._not_understood(record, error)
        return [
            self._table(entry) if entry.name in tables else self._object(entry) for entry in record.objects
        ]

    def _of_vectors(self, record: PartRecord) -> list[Task]:
        try:
            snapshots = {entry.object for entry in record.facts(VectorFacts).snapshots}
        except Corrupt as error:
            return self._not_understood(record, error)
        points = [entry for entry in record.objects if entry.name not in snapshots]
        rest = [self._object(entry) for entry in record.objects if entry.name in snapshots]
        return [lambda: self._vectors(record, points), *rest]

    def _not_understood(self, record: PartRecord, error: Corrupt) -> list[Task]:
        problem = _words(error)
        return [lambda: [problem], *(self._object(entry) for entry in record.objects)]

    def _vectors(self, record: PartRecord, entries: list[ObjectEntry]) -> list[str]:
        """The points in their order. Only where that fails is each object read by itself, to name all."""
        share = _Share(self.meter, sum(entry.bytes for entry in entries))
        problem = _problem(
            lambda: check_vectors(record, self.store, self.cipher, self.patient, progress=share.told)
        )
        share.end()
        if not problem:
            return []
        broken = [_problem(partial(self._read, entry)) for entry in entries]
        return [each for each in broken if each] or [problem]

    def _table(self, entry: ObjectEntry) -> Task:
        return self._task(entry, partial(self._count_rows, entry))

    def _object(self, entry: ObjectEntry) -> Task:
        return self._task(entry, partial(self._read, entry))

    def _task(self, entry: ObjectEntry, read: Callable[[], object]) -> Task:
        def task() -> list[str]:
            problem = _problem(read)
            self.meter.add(entry.bytes)
            return [problem] if problem else []

        return task

    def _read(self, entry: ObjectEntry) -> None:
        check_object(self.store, entry, self.cipher, self.patient.deadline)

    def _count_rows(self, entry: ObjectEntry) -> None:
        """COPY text has a line for each row: line ends in values are escaped.

        https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
        """
        blocks = part_reader(self.store, entry, self.cipher, self.patient.deadline)
        rows = sum(block.count(b"\n") for block in blocks)
        if rows != entry.rows:
            raise corrupt(entry.name, f"it holds {rows} rows, {entry.rows} are recorded")


class _Share:
    """Points that were read, told as bytes of the whole."""

    def __init__(self, meter: Meter, size: int) -> None:
        self._meter = meter
        self._size = size
        self._told = 0

    def told(self, _phase: str, done: int, total: int) -> None:
        self._until(self._size * min(done, total) // total if total else 0)

    def end(self) -> None:
        self._until(self._size)

    def _until(self, size: int) -> None:
        if size > self._told:  # a second try begins at the start again
            self._meter.add(size - self._told)
            self._told = size


def _problem(read: Callable[[], object]) -> str:
    """What is wrong with something that is read; empty when nothing is."""
    for last in (False, True):
        try:
            read()
        except (
            Interrupted
        ) as error:  # a cut line, or an object that was cut: the second time it is the object
            if last:
                return _words(error)
        except (Corrupt, Missing) as error:
            return _words(error)
        else:
            break
    return ""


def _words(error: LecternError) -> str:
    return error.message.removeprefix(f"{SERVICE}: read failed: ")


def _summary(objects: tuple[ObjectEntry, ...]) -> PartSummary:
    return PartSummary(
        objects=len(objects),
        bytes=sum(entry.bytes for entry in objects),
        rows=sum(entry.rows for entry in objects),
        points=sum(entry.points for entry in objects),
    )
