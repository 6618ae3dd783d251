"""The vectors of a recovery point: the live generation, exported from Qdrant into the bucket.

The export is a scroll with vectors, which any engine and version reads back. It is whole because nothing
writes meanwhile: the caller holds a backup lease. The order of ids cuts it into objects of bounded size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from shared.errors import DependencyError, PreconditionFailed
from shared.ports import (
    CollectionFacts,
    CollectionSpec,
    ObjectStore,
    PackedPage,
    PackedPoint,
    Point,
    VectorBulk,
)
from shared.ports.snapshots import VectorSnapshots
from shared.recovery.crypto import PointCipher
from shared.recovery.lines import FORMAT, Head, LinesWriter
from shared.recovery.marks import Mark, State, attempts, save_mark, usable
from shared.recovery.patience import Patient
from shared.recovery.point import SERVICE, ObjectEntry, PartRecord, object_name
from shared.recovery.streams import part_writer
from shared.recovery.vector_snapshots import SnapshotEntry, SnapshotTier
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.digest import RunningDigest, point_digest
from shared.retrieval.layout import Facts, read_statistics

PAGE_POINTS = 256
OBJECT_BYTES = 64 << 20
"""An object is ended once it holds so many bytes before compression."""
_LEVEL = 1
"""Of zstd: vectors hardly get smaller, so a higher level would take twice the time for one byte in 25."""
_TRIES = 3

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many points are done of how many."""


def nothing(_phase: str, _done: int, _total: int) -> None:
    """Nobody watches."""


class VectorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the record of the part says of the vectors.

    ``collection`` is empty when nothing was indexed yet. ``aliases`` are all that there were. ``generation``,
    ``fingerprint``, ``model`` and ``dimensions`` are from the reserved point, ``statistics`` is that point's
    digest (empty without one). ``config`` and ``indexes`` are in Qdrant's words. ``digest`` is order-free.
    ``snapshots`` are those of the fast tier; ``snapshots_problem`` says why they are not there, where they
    were asked for.
    """

    alias: str
    collection: str = ""
    aliases: dict[str, str] = {}
    generation: str = ""
    fingerprint: str = ""
    model: str = ""
    dimensions: int = 0
    statistics: str = ""
    dense: dict[str, int] = {}
    sparse: tuple[str, ...] = ()
    config: dict[str, Any] = {}
    indexes: dict[str, dict[str, Any] | str] = {}
    points: int = 0
    digest: str = RunningDigest().text
    snapshots: tuple[SnapshotEntry, ...] = ()
    snapshots_problem: str = ""

    @property
    def setup(self) -> CollectionFacts:
        """How to make the collection again."""
        spec = CollectionSpec(self.dense, self.sparse, tuple(sorted(self.indexes)))
        return CollectionFacts(spec, self.config, self.indexes)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which point the part is of, at what version of the ledger, and since when (in UTC).

    ``attempt`` is new with each run; a run that goes on with an earlier attempt keeps that one's name.
    """

    point: str
    ledger_version: int
    snapshot_at: datetime
    attempt: str


class VectorExport:
    """Exports the collection behind ``alias``. ``cipher`` None leaves it plain; ``now`` is the time in UTC.

    Errors: those of :class:`~shared.ports.VectorBulk`, :class:`~shared.ports.ObjectStore` and
    :class:`~shared.ports.KeyWrapper`; ``PreconditionFailed`` when the collection changes meanwhile, or
    another run exports the same.
    """

    def __init__(
        self,
        source: VectorBulk,
        store: ObjectStore,
        cipher: PointCipher | None,
        *,
        alias: str,
        now: Callable[[], datetime],
        object_bytes: int = OBJECT_BYTES,
        nodes: Sequence[VectorSnapshots] = (),
    ) -> None:
        self._source = source
        self._store = store
        self._cipher = cipher
        self._alias = alias
        self._now = now
        self._object_bytes = object_bytes
        self._tier = SnapshotTier(nodes, store, cipher)

    def run(self, cut: Cut, patient: Patient, progress: Progress = nothing) -> PartRecord:
        """Make the part, or go on with what an earlier run left; its record, which the caller writes."""
        clock = patient.deadline.clock
        began = clock()
        aliases = patient(self._source.aliases)
        collection = aliases.get(self._alias, "")
        attempt = cut.attempt
        marks: list[Mark] = []
        if collection:
            attempt, marks = self._objects(cut, collection, patient, progress)
        facts = self._facts(collection, aliases, marks, patient)
        exported = clock()
        taken, problem = self._snapshots(cut, attempt, collection, patient)
        facts = msgspec.structs.replace(
            facts, snapshots=tuple(entry for entry, _ in taken), snapshots_problem=problem
        )
        return PartRecord(
            part="qdrant",
            point=cut.point,
            attempt=attempt,
            ledger_version=cut.ledger_version,
            snapshot_at=cut.snapshot_at,
            finished_at=self._now(),
            objects=(*(mark.entry for mark in marks), *(entry for _, entry in taken)),
            details=msgspec.to_builtins(facts),
            seconds={"export": round(exported - began, 3), "snapshots": round(clock() - exported, 3)},
        )

    def _snapshots(
        self, cut: Cut, attempt: str, collection: str, patient: Patient
    ) -> tuple[list[tuple[SnapshotEntry, ObjectEntry]], str]:
        """Those of the fast tier. The export is whole without them, so what fails here is only told."""
        if not collection:
            return [], ""

        def name(file: str) -> str:
            return object_name(cut.point, "qdrant", attempt, f"{cut.attempt}-{file}")

        try:
            return self._tier.take(collection, name, patient), ""
        except DependencyError as error:
            return [], str(error)

    # ------------------------------------------------------------ facts

    def _facts(
        self, collection: str, aliases: dict[str, str], marks: list[Mark], patient: Patient
    ) -> VectorFacts:
        if not collection:
            return VectorFacts(alias=self._alias, aliases=aliases)
        setup = patient(lambda deadline: self._source.facts(collection, deadline))
        reserved = self._reserved(collection, patient)
        own = _own_facts(reserved)
        digest = RunningDigest()
        for mark in marks:
            digest.add_part(mark.end.digest)
        return VectorFacts(
            alias=self._alias,
            collection=collection,
            aliases=aliases,
            generation=own.generation,
            fingerprint=own.fingerprint,
            model=own.model,
            dimensions=own.dimensions,
            statistics=point_digest(reserved).hex() if reserved else "",
            dense=dict(setup.spec.dense),
            sparse=setup.spec.sparse,
            config=dict(setup.config),
            indexes={
                key: each if isinstance(each, str) else dict(each) for key, each in setup.indexes.items()
            },
            points=sum(mark.end.points for mark in marks),
            digest=digest.text,
        )

    def _reserved(self, collection: str, patient: Patient) -> PackedPoint | None:
        first = patient(lambda deadline: self._source.read(collection, deadline, limit=1)).points
        return first[0] if first and first[0].id == STATISTICS_ID else None

    # ------------------------------------------------------------ objects

    def _objects(
        self, cut: Cut, collection: str, patient: Patient, progress: Progress
    ) -> tuple[str, list[Mark]]:
        """The attempt that the objects are of, and their marks."""
        total = patient(lambda deadline: self._source.count(collection, deadline))
        state = State(collection, total, cut.ledger_version)
        attempt, marks = self._begun(cut, state, patient)
        watch = _Watch(progress, total, sum(mark.end.points for mark in marks))
        while not marks or marks[-1].end.next is not None:
            first = marks[-1].end.next if marks else None
            mark = self._next_object(cut, attempt, _Place(state, len(marks), first), patient, watch)
            self._keep(mark, cut.point, attempt, patient)
            marks.append(mark)
        self._check_unchanged(collection, watch.done, patient)
        return attempt, marks

    def _keep(self, mark: Mark, point: str, attempt: str, patient: Patient) -> None:
        patient(lambda deadline: save_mark(self._store, point, attempt, mark, deadline))

    def _begun(self, cut: Cut, state: State, patient: Patient) -> tuple[str, list[Mark]]:
        """The attempt that came farthest, or a new one."""
        best: tuple[str, list[Mark]] = (cut.attempt, [])
        for attempt, marks in attempts(self._store, cut.point, patient.step()):
            good = usable(self._store, marks, state, patient.step())
            as_now = all(bool(mark.entry.key_id) == bool(self._cipher) for mark in good)
            if as_now and len(good) == len(marks) and len(good) > len(best[1]):
                best = (attempt, good)
        return best

    def _check_unchanged(self, collection: str, exported: int, patient: Patient) -> None:
        there = patient(lambda deadline: self._source.count(collection, deadline))
        behind = patient(self._source.aliases).get(self._alias, "")
        if there != exported or behind != collection:
            raise PreconditionFailed(
                SERVICE,
                f"export of {collection}",
                f"it changed meanwhile: {exported} points were read, {there} are there, "
                f"and {self._alias} points at {behind or 'nothing'}",
                hint="Keep others than Lectern from writing to it, and run the backup again.",
            )

    def _next_object(self, cut: Cut, attempt: str, place: _Place, patient: Patient, watch: _Watch) -> Mark:
        """One object, tried again when the bucket fails; Qdrant's failures were tried again already."""
        for trial in range(1, _TRIES + 1):
            end = ".jsonl.zst.enc" if self._cipher else ".jsonl.zst"
            file = f"points-{place.index:05d}-{cut.attempt}-{trial}{end}"
            before = watch.done
            try:
                return self._object(
                    cut, object_name(cut.point, "qdrant", attempt, file), place, patient, watch
                )
            except DependencyError as error:
                if trial == _TRIES or not error.retryable or error.service == "qdrant":
                    raise
                watch.done = before
        raise AssertionError("unreachable")

    def _object(self, cut: Cut, name: str, place: _Place, patient: Patient, watch: _Watch) -> Mark:
        setup = patient(lambda deadline: self._source.facts(place.collection, deadline))
        with part_writer(self._store, name, self._cipher, patient.deadline, level=_LEVEL) as out:
            lines = LinesWriter(out.write, _head(place, setup.spec))
            end = lines.end(self._copy(lines, place, patient, watch))
            out.points = end.points
        stored = patient(lambda deadline: self._store.stat(name, deadline))
        return Mark(
            collection=place.collection,
            total=place.state.total,
            ledger_version=cut.ledger_version,
            index=place.index,
            first=place.first,
            end=end,
            entry=out.entry,
            crc32c=stored.crc32c,
        )

    def _copy(self, lines: LinesWriter, place: _Place, patient: Patient, watch: _Watch) -> str | None:
        """Pages until the object is full; the id that comes next."""
        offset = place.first
        while True:
            page = self._page(place.collection, offset, patient)
            lines.add(page.points)
            watch.add(len(page.points))
            offset = page.next_offset
            if offset is None or lines.plain_bytes >= self._object_bytes:
                return offset

    def _page(self, collection: str, offset: str | None, patient: Patient) -> PackedPage:
        return patient(
            lambda deadline: self._source.read(collection, deadline, offset=offset, limit=PAGE_POINTS)
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a collection an object begins, and which one it is."""

    state: State
    index: int
    first: str | None

    @property
    def collection(self) -> str:
        return self.state.collection


class _Watch:
    def __init__(self, progress: Progress, total: int, done: int) -> None:
        self._progress = progress
        self._total = total
        self.done = done
        self.add(0)

    def add(self, points: int) -> None:
        self.done += points
        self._progress("exporting points", self.done, max(self._total, self.done))


def _head(place: _Place, spec: CollectionSpec) -> Head:
    vectors = {name: f"{size} float32, little-endian" for name, size in spec.dense.items()}
    vectors |= dict.fromkeys(spec.sparse, "sparse: indices uint32, values float32, little-endian")
    return Head("points", FORMAT, place.collection, place.first, vectors)


def _own_facts(reserved: PackedPoint | None) -> Facts:
    if reserved is None:
        return Facts("", "")
    return read_statistics(Point(reserved.id, {}, reserved.payload))[1]
