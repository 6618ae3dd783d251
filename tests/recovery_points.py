"""Small recovery points for tests of what happens to points: real objects, real manifests, no services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.ports import ObjectStore
from shared.recovery import sealed
from shared.recovery.crypto import PointCipher
from shared.recovery.point import FORMAT, Manifest, PartName, PartRecord, manifest_name, object_name, point_id
from shared.recovery.streams import part_writer
from shared.resilience.deadline import Deadline

START = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


def soon() -> Deadline:
    return Deadline.after(30)


def day(number: int) -> datetime:
    """The time of the point of a day; 0 is the first of November."""
    return START + timedelta(days=number)


def cut_part(
    store: ObjectStore, at: datetime, part: PartName, *, cipher: PointCipher | None = None, rows: int = 3
) -> PartRecord:
    """Write one part with one object of ``rows`` lines."""
    point = point_id(at)
    with part_writer(store, object_name(point, part, "a-1", "rows"), cipher, soon()) as writer:
        writer.write(b"".join(b"row %d of %s\n" % (n, part.encode()) for n in range(rows)))
        writer.rows, writer.points = (rows, 0) if part == "neon" else (0, rows)
    return PartRecord(
        part=part,
        point=point,
        attempt="a-1",
        ledger_version=7,
        snapshot_at=at,
        finished_at=at,
        objects=(writer.entry,),
    )


def cut_point(
    store: ObjectStore, at: datetime, *, cipher: PointCipher | None = None, rows: int = 3
) -> Manifest:
    """Write a whole point."""
    parts = {name: cut_part(store, at, name, cipher=cipher, rows=rows) for name in ("neon", "qdrant")}
    manifest = Manifest(
        format=FORMAT,
        id=point_id(at),
        committed_at=at + timedelta(minutes=5),
        ledger_version=7,
        parts=parts,
        key_id=cipher.key_id if cipher else "",
    )
    for record in parts.values() if cipher else ():  # without one nobody asks for them
        sealed.write_record(store, record, cipher, soon())
    data = sealed.encode(manifest, cipher, soon())
    store.put(manifest_name(manifest.id), data, soon(), if_generation_match=0)
    return manifest
