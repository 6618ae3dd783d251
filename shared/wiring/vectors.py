"""Joins the vectors of recovery points: exported from Qdrant, restored into it."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

from shared.errors import PreconditionFailed
from shared.ports import ObjectStore
from shared.recovery.crypto import PointCipher
from shared.recovery.cutting import Export
from shared.recovery.patience import STEP_SECONDS, Patient
from shared.recovery.point import SERVICE, PartRecord
from shared.recovery.progress import Meter, Watch
from shared.recovery.vectors import Cut, Progress, VectorExport, VectorFacts, nothing
from shared.recovery.vectors_restore import Restored, VectorRestore
from shared.resilience.deadline import Deadline
from shared.wiring.parts import Parts


def patient(deadline: Deadline) -> Patient:
    """Calls within ``deadline``, tried again where that may help."""
    return Patient(deadline, jitter=random.Random(), sleep=time.sleep)  # noqa: S311 - spreads retries


def export(parts: Parts, cipher: PointCipher | None, progress: Progress = nothing) -> Export:
    """What cuts the part ``qdrant`` of a recovery point; see :class:`~shared.recovery.cutting.Cutting`."""
    made = VectorExport(
        parts.vector_bulk,
        parts.point_store,
        cipher,
        alias=parts.settings.qdrant_alias,
        now=lambda: datetime.now(UTC),
        nodes=parts.snapshot_nodes,
    )

    def cut(point: str, attempt: str, deadline: Deadline) -> PartRecord:
        version = parts.ledger_clock.version(deadline.within(STEP_SECONDS))
        return made.run(Cut(point, version, datetime.now(UTC), attempt), patient(deadline), progress)

    return cut


def restore(
    parts: Parts,
    store: ObjectStore,
    record: PartRecord,
    cipher: PointCipher | None,
    deadline: Deadline,
    *,
    progress: Progress = nothing,
    replace: bool = False,
    checked: bool = False,
) -> Restored:
    """Restore the part ``qdrant`` from ``store`` behind the alias that the settings of ``parts`` name.

    The caller holds the ingestion lease, where there is a ledger. See
    :meth:`~shared.recovery.vectors_restore.VectorRestore.run`.
    """
    work = restoring(parts, store, cipher)
    return work.run(record, patient(deadline), progress, replace=replace, checked=checked)


def restoring(parts: Parts, store: ObjectStore, cipher: PointCipher | None) -> VectorRestore:
    """What restores the part ``qdrant`` behind the alias that the settings of ``parts`` name."""
    return VectorRestore(
        parts.vector_bulk,
        parts.vector_admin,
        store,
        cipher,
        alias=parts.settings.qdrant_alias,
        nodes=parts.snapshot_nodes,
    )


def refuse_full(parts: Parts, record: PartRecord, cipher: PointCipher | None, deadline: Deadline) -> None:
    """Raise PreconditionFailed when readers are answered from an index that is not the one of ``record``, by
    its name and number of points alone: before hours of work.
    """
    live = parts.vector_bulk.aliases(deadline).get(parts.settings.qdrant_alias)
    if not live:
        return
    restoring(parts, parts.point_store, cipher).refuse_another(record, patient(deadline))
    there = parts.vector_bulk.count(live, deadline)
    if there != record.facts(VectorFacts).points:
        raise PreconditionFailed(
            SERVICE,
            "restore",
            f"readers are answered from {live}, which holds {there} other points",
            hint="Say --replace to put the recovery point in its place, or --part neon to leave it.",
        )


def watched(watch: Watch) -> Progress:
    """Progress of vectors, told as that of tables is."""
    return _Points(watch).told


class _Points:
    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._meter: Meter | None = None
        self._phase = ""
        self._done = 0

    def told(self, phase: str, done: int, total: int) -> None:
        if phase != self._phase:
            self._meter, self._phase, self._done = Meter(phase, total, self._watch, unit="points"), phase, 0
        assert self._meter
        self._meter.add(done - self._done)
        self._done = done
        if done >= total:
            self._meter.end()
