"""How two functions that know nothing of each other make one recovery point.

Each writes the record of its part, then looks for the other's. Whoever finds both, cut at the same version of
the ledger, writes the manifest, on condition that there is none. A listing shows what was written before it,
so of two that finish together at least one sees both records; and one manifest alone is ever written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.errors import Corrupt, Missing, PreconditionFailed
from shared.ports import ObjectStore
from shared.recovery import sealed
from shared.recovery.crypto import PointCipher, corrupt
from shared.recovery.point import FORMAT, Manifest, PartName, PartRecord, manifest_name
from shared.resilience.deadline import Deadline

TWO: tuple[PartName, PartName] = ("neon", "qdrant")
"""The parts without which there is no recovery point."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What cuts the point: goes into the manifest."""

    code_revision: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a point is.

    ``committed``: it is whole (``manifest``). ``waiting``: the part ``needs`` is missing. ``differs``: the
    part ``needs`` was cut at an older version of the ledger and must be cut again. ``reason`` says it in
    words.
    """

    state: Literal["committed", "waiting", "differs"]
    reason: str
    manifest: Manifest | None = None
    needs: PartName | None = None


def judge(
    neon: Sequence[PartRecord], qdrant: Sequence[PartRecord]
) -> Outcome | tuple[PartRecord, PartRecord]:
    """The newest two records that belong together, or why there are none."""
    for part, found in zip(TWO, (neon, qdrant), strict=True):
        if not found:
            return Outcome("waiting", f"part {part} is not there yet", needs=part)
    by_version = {record.ledger_version: record for record in sorted(qdrant, key=_age)}
    for record in sorted(neon, key=_age, reverse=True):
        if other := by_version.get(record.ledger_version):
            return record, other
    older, newer = sorted((max(neon, key=_age), max(qdrant, key=_age)), key=lambda one: one.ledger_version)
    reason = (
        f"part {older.part} was cut at version {older.ledger_version} of the ledger, part {newer.part} at "
        f"version {newer.ledger_version}: {older.part} must be cut again"
    )
    return Outcome("differs", reason, needs=older.part)


def settle(
    store: ObjectStore,
    point: str,
    cipher: PointCipher | None,
    deadline: Deadline,
    *,
    now: datetime,
    provenance: Provenance,
) -> Outcome:
    """Commit the point if its parts are there and belong together; say how far it is.

    ``cipher`` seals the manifest. What others wrote is read without it, by its SHA-256 alone: cutting a point
    needs no right to decrypt, and whoever verifies or restores it checks every seal. Records whose objects
    are not all there (any more) count as not written. Idempotent. Errors: those of the store and of the key;
    Corrupt for records that were changed.
    """
    if manifest := committed(store, point, deadline):
        return Outcome("committed", f"recovery point {point} is whole", manifest)
    neon, qdrant = (whole_records(store, point, part, deadline) for part in TWO)
    found = judge(neon, qdrant)
    if isinstance(found, Outcome):
        return found
    parts: dict[str, PartRecord] = {record.part: record for record in found}
    parts |= {record.part: record for record in whole_records(store, point, "config", deadline)[-1:]}
    manifest = Manifest(
        format=FORMAT,
        id=point,
        committed_at=now,
        ledger_version=found[0].ledger_version,
        parts=parts,
        key_id=cipher.key_id if cipher else "",
        code_revision=provenance.code_revision,
        release=provenance.release,
    )
    return Outcome(
        "committed", f"recovery point {point} is whole", _commit(store, manifest, cipher, deadline)
    )


def committed(store: ObjectStore, point: str, deadline: Deadline) -> Manifest | None:
    """The manifest of a point, None when there is none yet. Its seal is not checked."""
    try:
        return sealed.read_manifest(store, point, None, deadline)
    except Missing:
        return None


def whole_records(store: ObjectStore, point: str, part: PartName, deadline: Deadline) -> list[PartRecord]:
    """The records of a part whose objects are all there, in their size; the latest at the end."""
    found = sealed.records(store, point, part, None, deadline)
    return [record for record in found if _is_whole(store, record, deadline)]


def _is_whole(store: ObjectStore, record: PartRecord, deadline: Deadline) -> bool:
    try:
        return all(store.stat(entry.name, deadline).size == entry.bytes for entry in record.objects)
    except (Missing, Corrupt):
        return False


def _commit(
    store: ObjectStore, manifest: Manifest, cipher: PointCipher | None, deadline: Deadline
) -> Manifest:
    """Write the manifest, or return the one that somebody else has just written."""
    data = sealed.encode(manifest, cipher, deadline)
    name = manifest_name(manifest.id)
    try:
        store.put(name, data, deadline, if_generation_match=0)
    except PreconditionFailed:
        found = committed(store, manifest.id, deadline)
        if found is None:
            raise corrupt(name, "it is there and cannot be read") from None
        return found
    return manifest


def _age(record: PartRecord) -> tuple[int, datetime]:
    return record.ledger_version, record.snapshot_at
