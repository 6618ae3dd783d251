"""Small recovery points for tests of what happens to points: real objects, real manifests, no services."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from shared.ports import ObjectStore, PackedPoint
from shared.ports.database import Catalog, TableShape
from shared.recovery import sealed
from shared.recovery.crypto import PointCipher
from shared.recovery.lines import FORMAT as LINES
from shared.recovery.lines import Head, LinesWriter
from shared.recovery.neon_part import NeonFacts, StoredTable
from shared.recovery.patience import Patient
from shared.recovery.point import FORMAT, Manifest, PartName, PartRecord, manifest_name, object_name, point_id
from shared.recovery.streams import PartWriter, part_writer
from shared.recovery.vectors import VectorFacts
from shared.resilience.deadline import Deadline
from shared.retrieval.digest import RunningDigest

START = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


def soon() -> Deadline:
    return Deadline.after(30)


def patient(seconds: float = 60.0) -> Patient:
    """Patience that does not sleep."""
    return Patient(Deadline.after(seconds), jitter=random.Random(7), sleep=lambda _seconds: None)


def day(number: int) -> datetime:
    """The time of the point of a day; 0 is the first of November."""
    return START + timedelta(days=number)


def cut_part(
    store: ObjectStore,
    at: datetime,
    part: PartName,
    *,
    cipher: PointCipher | None = None,
    rows: int = 3,
    objects: int = 1,
) -> PartRecord:
    """Write one part: a table of ``rows`` rows, or as many points in each of ``objects`` objects."""
    point = point_id(at)
    entries = []
    digest = RunningDigest()
    for number in range(objects):
        name = object_name(point, part, "a-1", f"rows-{number}")
        with part_writer(store, name, cipher, soon()) as writer:
            if part == "qdrant":
                digest.add_part(_write_points(writer, number * rows, rows, last=number == objects - 1))
            else:
                _write_rows(writer, rows)
        entries.append(writer.entry)
    facts = _vectors(rows * objects, digest.text) if part == "qdrant" else _table(entries[0].name)
    return PartRecord(
        part=part,
        point=point,
        attempt="a-1",
        ledger_version=7,
        snapshot_at=at,
        finished_at=at,
        objects=tuple(entries),
        details=msgspec.to_builtins(facts),
    )


def _write_rows(writer: PartWriter, rows: int) -> None:
    writer.write(b"".join(b"row %d\n" % n for n in range(rows)))
    writer.rows = rows


def _write_points(writer: PartWriter, start: int, points: int, *, last: bool) -> str:
    ids = [str(UUID(int=n + 1)) for n in range(start, start + points + 1)]
    lines = LinesWriter(writer.write, Head("points", LINES, "lectern-g0001", ids[0] if start else None, {}))
    lines.add(PackedPoint(each, {}, {"text": f"point {each}"}) for each in ids[:-1])
    writer.points = points
    return lines.end(None if last else ids[-1]).digest


def _table(name: str) -> NeonFacts:
    shape = TableShape("public", "rows", ("line",), "CREATE TABLE public.rows (line text)")
    catalog = Catalog("17.0", "f" * 64, (shape,), (), (), (), ())
    return NeonFacts(catalog, (StoredTable("public", "rows", name),), "")


def _vectors(points: int, digest: str) -> VectorFacts:
    return VectorFacts(alias="lectern-live", collection="lectern-g0001", points=points, digest=digest)


def cut_point(
    store: ObjectStore, at: datetime, *, cipher: PointCipher | None = None, rows: int = 3
) -> Manifest:
    """Write a whole point."""
    parts = {name: cut_part(store, at, name, cipher=cipher, rows=rows) for name in ("neon", "qdrant")}
    return commit_point(store, at, parts, cipher)


def commit_point(
    store: ObjectStore, at: datetime, parts: dict[str, PartRecord], cipher: PointCipher | None = None
) -> Manifest:
    """Write the manifest of these parts."""
    manifest = Manifest(
        format=FORMAT,
        id=point_id(at),
        committed_at=at + timedelta(minutes=5),
        ledger_version=7,
        parts=parts,
        key_id=cipher.key_id if cipher else "",
    )
    for record in parts.values():
        sealed.write_record(store, record, cipher, soon())
    data = sealed.encode(manifest, cipher, soon())
    store.put(manifest_name(manifest.id), data, soon(), if_generation_match=0)
    return manifest
