"""Copies a recovery point to another bucket, so that it outlives its region."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import Corrupt, Missing, PreconditionFailed
from shared.ports import ObjectInfo, ObjectStore
from shared.recovery.catalogue import MARK_KINDS
from shared.recovery.point import PREFIX, SERVICE, Manifest, manifest_name, record_name
from shared.recovery.sealed import read_manifest
from shared.resilience.deadline import Deadline

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Copied:
    """Objects and bytes that were sent, and objects that were there already."""

    objects: int
    bytes: int
    present: int


def copy_point(
    source: ObjectStore,
    target: ObjectStore,
    point: str,
    deadline: Deadline,
    progress: Callable[[str], None] = lambda _line: None,
) -> Copied:
    """Copy every object of a committed point, the manifest last; what is there already is not sent again.

    What is sent is held against the manifest's SHA-256 on its way, and what arrived against the CRC32C that
    the other bucket computed. Raises :class:`~shared.errors.Corrupt` where they differ, and the stores'
    errors; a copy that was cut off has no manifest and is finished by the next call.
    """
    manifest = read_manifest(source, point, None, deadline)
    expected = _digests(manifest)
    infos = list(source.list(f"{PREFIX}{point}/", deadline))
    records = {record_name(point, record.part, record.attempt) for record in manifest.parts.values()}
    wanted = [info for info in infos if info.name in expected or info.name in records]
    last = [info for info in infos if info.name == manifest_name(point)]
    sent = size = 0
    for info in [*wanted, *last]:
        if _is_there(target, info, deadline):
            continue
        progress(f"copying {info.name}")
        _send(source, target, info, expected.get(info.name, ""), deadline)
        sent, size = sent + 1, size + info.size
    return Copied(sent, size, len(wanted) + len(last) - sent)


def copy_marks(source: ObjectStore, target: ObjectStore, deadline: Deadline) -> int:
    """Copy what is known of the points that lie in both buckets: holds, verifications, drills; the number of
    marks. Without them retention in the other bucket would let go of a point that is on hold here. Errors:
    those of the stores.
    """
    there = {info.name for info in target.list(PREFIX, deadline)}
    missing = [info.name for info in source.list(PREFIX, deadline) if info.name not in there]
    wanted = [name for name in missing if _is_mark(name) and manifest_name(name.split("/")[1]) in there]
    for name in wanted:
        # What is gone by now, or was copied by another run, needs no copy.
        with suppress(Missing, PreconditionFailed):
            target.put(name, source.get(name, deadline)[0], deadline, if_generation_match=0)
    return len(wanted)


def _is_mark(name: str) -> bool:
    kind, *rest = name.removeprefix(PREFIX).split("/")[1:]
    return kind in MARK_KINDS and len(rest) == 1


def _digests(manifest: Manifest) -> dict[str, str]:
    return {entry.name: entry.sha256 for record in manifest.parts.values() for entry in record.objects}


def _is_there(target: ObjectStore, info: ObjectInfo, deadline: Deadline) -> bool:
    try:
        found = target.stat(info.name, deadline)
    except Missing:
        return False
    return found.size == info.size and found.crc32c == info.crc32c


def _send(
    source: ObjectStore, target: ObjectStore, info: ObjectInfo, sha256: str, deadline: Deadline
) -> None:
    digest = hashlib.sha256()
    try:
        with (
            source.open_read(info.name, deadline, generation=info.generation) as reader,
            target.open_write(
                info.name, deadline, if_generation_match=0, metadata=dict(info.metadata)
            ) as writer,
        ):
            while block := reader.read(_BLOCK):
                digest.update(block)
                writer.write(block)
            if sha256 and digest.hexdigest() != sha256:
                raise _changed(info.name, "was changed since it was written (SHA-256)")
    except PreconditionFailed as error:
        if _is_there(target, info, deadline):
            return  # another run, which copies the same point, was faster
        raise _changed(info.name, "is in the second bucket with another content") from error
    if writer.info.crc32c != info.crc32c or writer.info.size != info.size:
        raise _changed(info.name, f"arrived with CRC32C {writer.info.crc32c} instead of {info.crc32c}")


def _changed(name: str, what: str) -> Corrupt:
    return Corrupt(
        SERVICE, "copy", f"{name} {what}", hint="`lectern verify` says whether the point is whole."
    )
