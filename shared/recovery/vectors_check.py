"""Whether the vectors of a recovery point, or a collection, are what the point's record says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from shared.ports import ObjectStore, PackedPage, PackedPoint, VectorBulk
from shared.recovery.crypto import PointCipher, corrupt
from shared.recovery.lines import LinesReader
from shared.recovery.patience import Patient
from shared.recovery.point import ObjectEntry, PartRecord
from shared.recovery.streams import part_reader
from shared.recovery.vectors import PAGE_POINTS, Progress, VectorFacts, nothing
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.digest import RunningDigest, point_digest


@dataclass(frozen=True, slots=True)
class Counted:
    """Points that were read: how many, their order-free digest, the digest of the reserved point (empty
    without one).
    """

    points: int
    digest: str
    statistics: str

    def difference(self, facts: VectorFacts) -> str:
        """What is not as the record says, in words; empty when all of it is."""
        if self.points != facts.points:
            return f"{self.points:,} points instead of {facts.points:,}"
        if self.statistics != facts.statistics:
            return "the reserved point with the statistics is another one"
        return "" if self.digest == facts.digest else "as many points as recorded, but not the same ones"


class Counter:
    """Counts points on their way."""

    def __init__(self) -> None:
        self.points = 0
        self._digest = RunningDigest()
        self._statistics = ""

    def add(self, point: PackedPoint) -> None:
        self.see(point)
        self._digest.add(point)

    def see(self, point: PackedPoint) -> None:
        """Count a point whose digest comes with others', by :meth:`add_digest`."""
        self.points += 1
        if point.id == STATISTICS_ID:
            self._statistics = point_digest(point).hex()

    def add_digest(self, text: str) -> None:
        """The digest of points that were seen: a reader has made it already."""
        self._digest.add_part(text)

    @property
    def counted(self) -> Counted:
        return Counted(self.points, self._digest.text, self._statistics)


def recorded_points(
    record: PartRecord, store: ObjectStore, cipher: PointCipher | None, patient: Patient
) -> Iterator[PackedPoint]:
    """Every point of the part, in the order of ids.

    Raises :class:`~shared.errors.Corrupt` at what was changed, at the latest after the last point of an
    object, and when the objects do not follow one another; ``AccessDenied`` without the key.
    """
    for reader in _objects(record, store, cipher, patient):
        yield from reader


def _objects(
    record: PartRecord, store: ObjectStore, cipher: PointCipher | None, patient: Patient
) -> Iterator[LinesReader]:
    """A reader of each object, to be read to its end before the next one is asked for."""
    following: str | None = None
    objects = _of_points(record)
    for index, entry in enumerate(objects):
        reader = LinesReader(entry.name, part_reader(store, entry, cipher, patient.deadline))
        yield reader
        assert reader.head, "the reader raises for an object without its first line"
        assert reader.end, "the reader raises for an object without its last line"
        if reader.head.first != following or (index > 0 and following is None):
            raise corrupt(entry.name, "it does not begin where the object before it ends")
        if reader.end.points != entry.points:
            raise corrupt(entry.name, f"it holds {reader.end.points} points, {entry.points} are recorded")
        following = reader.end.next
    if following is not None:
        raise corrupt(objects[-1].name, "an object after it is missing")


def _of_points(record: PartRecord) -> list[ObjectEntry]:
    """The objects of the export, without those of the fast tier."""
    snapshots = {entry.object for entry in record.facts(VectorFacts).snapshots}
    return [entry for entry in record.objects if entry.name not in snapshots]


def check_vectors(
    record: PartRecord,
    store: ObjectStore,
    cipher: PointCipher | None,
    patient: Patient,
    progress: Progress = nothing,
) -> Counted:
    """Read the whole part, and raise :class:`~shared.errors.Corrupt` unless it is what its record says.

    Nothing is written. A restore calls this first, so that no point of a damaged part is ever written.
    """
    facts = record.facts(VectorFacts)
    counter = Counter()
    for reader in _objects(record, store, cipher, patient):
        for point in reader:
            counter.see(point)
            if counter.points % PAGE_POINTS == 0 or counter.points == facts.points:
                progress("checking points", counter.points, facts.points)
        assert reader.end, "the reader raises for an object without its last line"
        counter.add_digest(reader.end.digest)
    difference = counter.counted.difference(facts)
    if difference:
        raise corrupt(f"the vectors of point {record.point}", f"they hold {difference}")
    return counter.counted


def count_collection(
    source: VectorBulk, collection: str, patient: Patient, progress: Progress = nothing, *, total: int = 0
) -> Counted:
    """Read a whole collection. ``total`` is the number of points that is expected, for the progress."""
    counter = Counter()
    done = 0
    for page in pages(source, collection, patient):
        for point in page.points:
            counter.add(point)
        done += len(page.points)
        progress("comparing points", done, max(total, done))
    return counter.counted


def pages(source: VectorBulk, collection: str, patient: Patient) -> Iterator[PackedPage]:
    """A whole collection in the order of ids; the next page is on its way while one is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="scroll") as pool:
        page = _page(source, collection, None, patient)
        while page.next_offset is not None:
            following = pool.submit(_page, source, collection, page.next_offset, patient)
            yield page
            page = following.result()
        yield page


def _page(source: VectorBulk, collection: str, offset: str | None, patient: Patient) -> PackedPage:
    """One page of a collection."""
    return patient(lambda deadline: source.read(collection, deadline, offset=offset, limit=PAGE_POINTS))
