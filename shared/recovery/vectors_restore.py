"""The vectors of a recovery point, written into a collection of their own, compared, then switched to.

Readers see the collection that they saw before until the new one was read back and found to be what was
recorded. The reserved point is written last: a collection without it was never finished, and is made again.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.errors import DependencyError, PreconditionFailed
from shared.ports import ObjectStore, VectorAdmin, VectorBulk
from shared.ports.snapshots import VectorSnapshots
from shared.recovery.collection_work import CollectionWork, There
from shared.recovery.crypto import PointCipher
from shared.recovery.patience import Patient
from shared.recovery.point import SERVICE, PartRecord
from shared.recovery.vector_snapshots import SnapshotTier
from shared.recovery.vectors import Progress, VectorFacts, nothing
from shared.recovery.vectors_check import check_vectors, recorded_points
from shared.retrieval.layout import collection_name

Action = Literal["create", "again", "keep", "beside", "refuse"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore of vectors did. ``collection`` is empty when the point holds no index; ``written`` is
    how many points were sent (0 when the collection was there already, as recorded). ``fast`` says whether
    it came from snapshots, ``fast_problem`` why it did not although there are some.
    """

    collection: str
    alias: str
    points: int
    written: int
    digest: str
    seconds: dict[str, float] = field(default_factory=dict)
    fast: bool = False
    fast_problem: str = ""


def decide(there: There, *, replace: bool) -> Action:
    """What to do about a collection of the wanted name.

    ``create`` when there is none; ``keep`` one that holds what was recorded; make one ``again`` that was
    never finished, or that may be replaced and that nobody reads; make another ``beside`` one that is read,
    so that there always is one to read; ``refuse`` the rest.
    """
    if not there.exists:
        return "create"
    if there.same:
        return "keep"
    if not there.in_use and (replace or not there.finished):
        return "again"
    return "beside" if replace else "refuse"


class VectorRestore:
    """Restores into the Qdrant of ``bulk`` and ``admin``, behind ``alias``.

    The caller holds the ingestion lease. Errors: those of the ports; ``Corrupt`` for a part that is not what
    its record says (nothing was written then) and for a collection that does not read back as recorded;
    ``PreconditionFailed`` when there is a collection in the way, or readers are answered from another
    generation, and ``replace`` is not given.
    """

    def __init__(
        self,
        bulk: VectorBulk,
        admin: VectorAdmin,
        store: ObjectStore,
        cipher: PointCipher | None,
        *,
        alias: str,
        nodes: Sequence[VectorSnapshots] = (),
    ) -> None:
        self._bulk = bulk
        self._admin = admin
        self._store = store
        self._cipher = cipher
        self._alias = alias
        self._tier = SnapshotTier(nodes, store, cipher) if nodes else None

    def run(
        self,
        record: PartRecord,
        patient: Patient,
        progress: Progress = nothing,
        *,
        replace: bool = False,
        checked: bool = False,
    ) -> Restored:
        """Restore the part. ``checked``: the caller has called :func:`check_vectors` just now."""
        facts = record.facts(VectorFacts)
        work = CollectionWork(self._bulk, self._admin, patient, progress)
        if not facts.collection:
            return Restored("", self._alias, 0, 0, facts.digest)
        if not checked:
            with work.timed("check"):
                check_vectors(record, self._store, self._cipher, patient, progress)
        collection = self.collection(facts)
        if not replace:
            self.refuse_another(record, patient)
        written = self._make(collection, record, facts, work, replace=replace)
        work.switch([self._alias, *self._others(facts)], collection)
        for name in work.leftovers(collection):
            work.drop(name)
        return Restored(
            collection,
            self._alias,
            facts.points,
            written,
            facts.digest,
            work.seconds,
            work.fast and not work.fast_problem,
            work.fast_problem,
        )

    def refuse_another(self, record: PartRecord, patient: Patient) -> None:
        """Raise PreconditionFailed when readers are answered from another generation that holds points."""
        facts = record.facts(VectorFacts)
        live = patient(self._bulk.aliases).get(self._alias, "")
        own = self.collection(facts)
        # Without an index in the point nothing is switched. A run that was killed may have left `beside`.
        if not facts.collection or live in {"", own, _beside(own, record)}:
            return
        points = patient(lambda deadline: self._bulk.count(live, deadline))
        if points:
            what = f"readers are answered from {live}, another generation, which holds {points} points"
            raise _refused(own, what)

    def collection(self, facts: VectorFacts) -> str:
        """Where the points go: the collection that the ledger means by the generation."""
        return collection_name(self._alias, facts.generation) if facts.generation else facts.collection

    def _others(self, facts: VectorFacts) -> list[str]:
        """The other aliases of the collection, where it comes back under its own."""
        if facts.alias != self._alias:
            return []
        return sorted(
            alias
            for alias, collection in facts.aliases.items()
            if collection == facts.collection and alias != facts.alias
        )

    def _make(
        self, collection: str, record: PartRecord, facts: VectorFacts, work: CollectionWork, *, replace: bool
    ) -> int:
        action = decide(work.look(collection, facts), replace=replace)
        if action == "keep":
            return 0
        if action == "refuse":
            raise _refused(collection, "it exists and holds something else than the recovery point")
        if action == "beside":
            beside = _beside(collection, record)
            self._fill(beside, record, facts, work)
            work.switch([self._alias], beside)
        return self._fill(collection, record, facts, work)

    def _fill(self, collection: str, record: PartRecord, facts: VectorFacts, work: CollectionWork) -> int:
        """Make the collection with the recorded points, and read them back."""
        if self._tier and facts.snapshots and self._recover(self._tier, collection, record, facts, work):
            return facts.points
        with work.timed("write"):
            work.drop(collection)
            work.create(collection, facts)
            points = recorded_points(record, self._store, self._cipher, work.patient)
            written = work.write(collection, points, facts.points)
        with work.timed("compare"):
            work.compare(collection, facts)
        return written

    @staticmethod
    def _recover(
        tier: SnapshotTier, collection: str, record: PartRecord, facts: VectorFacts, work: CollectionWork
    ) -> bool:
        """Whether the snapshots gave the collection back as recorded; else there is none afterwards."""
        try:
            with work.timed("recover"):
                with work.probe(f"{collection}-probe-{secrets.token_hex(4)}", facts) as probe:
                    tier.check(facts.snapshots, probe, work.patient)
                work.drop(collection)
                tier.give_back(facts.snapshots, record, collection, work.patient)
            with work.timed("compare"):
                work.compare(collection, facts)
        except DependencyError as error:
            work.fast_problem = str(error)
            work.drop(collection)
            return False
        work.fast = True
        return True


def _beside(collection: str, record: PartRecord) -> str:
    """Where the points are while the collection that readers see is made again."""
    return f"{collection}-{record.point.lower()}"


def _refused(collection: str, why: str) -> PreconditionFailed:
    return PreconditionFailed(
        SERVICE,
        f"restore of {collection}",
        why,
        hint="Add --replace to put the recovery point in its place, or try `lectern repair` first.",
    )
