"""Records and manifests in the bucket: small JSON files in which every changed byte is noticed.

A file holds ``body``, the SHA-256 of the body's bytes and, when there is a key, an HMAC of them under the
data key: the seal. Who has a key takes nothing without a seal, unless asked to: a file that others can write
must not say of itself that it needs none. It has one spelling: what decodes but would be written otherwise is
not accepted either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from shared.errors import AccessDenied, Corrupt, Missing
from shared.ports import ObjectStore
from shared.recovery.crypto import PointCipher, WrappedKey, corrupt
from shared.recovery.point import (
    FORMAT,
    PREFIX,
    SERVICE,
    Manifest,
    PartName,
    PartRecord,
    manifest_name,
    part_prefix,
    record_name,
)
from shared.resilience.deadline import Deadline

S = TypeVar("S", PartRecord, Manifest)
_UNSEALED = (
    "Use another recovery point. If this one was made before there was a key, and nobody else can write to "
    "the bucket, say --unsealed (or LECTERN_BACKUP_UNSEALED=true)."
)


class NewerFormat(AccessDenied):
    """A manifest that this release is too old for."""


class Unsealed(Corrupt):
    """A file without a seal, although there is a key: forged, or from before there was one."""


class _File(msgspec.Struct):
    body: msgspec.Raw
    sha256: str
    mac: str = ""
    key: WrappedKey | None = None


def encode(value: PartRecord | Manifest, cipher: PointCipher | None, deadline: Deadline) -> bytes:
    """The file of ``value``."""
    body = msgspec.json.encode(value, order="deterministic")
    file = _File(msgspec.Raw(body), hashlib.sha256(body).hexdigest())
    if cipher:
        file.mac, file.key = cipher.mac(body, deadline)
    return msgspec.json.encode(file)


def decode(name: str, data: bytes, kind: type[S], cipher: PointCipher | None, deadline: Deadline) -> S:
    """The value in the file ``name``. Without a cipher its seal is not checked, its SHA-256 is; with one a
    file without a seal is corrupt, unless :class:`~shared.recovery.crypto.PointCipher` is told otherwise.

    Raises :class:`~shared.errors.Corrupt`, and what :class:`~shared.ports.KeyWrapper` raises.
    """
    try:
        file = msgspec.json.decode(data, type=_File)
        value = msgspec.json.decode(file.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise corrupt(name, f"it is not understood ({error})") from None
    if msgspec.json.encode(file) != data or hashlib.sha256(file.body).hexdigest() != file.sha256:
        raise corrupt(name, "it was changed (SHA-256)")
    if cipher and file.key:
        cipher.check_mac(name, bytes(file.body), file.mac, file.key, deadline)
    elif cipher and (value.encrypted or not cipher.unsealed):
        raise Unsealed(SERVICE, "read", f"{name}: its seal is missing", hint=_UNSEALED)
    return value


def write_record(
    store: ObjectStore, record: PartRecord, cipher: PointCipher | None, deadline: Deadline
) -> None:
    """Write a part's record. Raises PreconditionFailed when its attempt has one."""
    name = record_name(record.point, record.part, record.attempt)
    store.put(name, encode(record, cipher, deadline), deadline, if_generation_match=0)


def read_record(
    store: ObjectStore,
    point: str,
    part: PartName,
    attempt: str,
    *,
    cipher: PointCipher | None,
    deadline: Deadline,
) -> PartRecord:
    """The record of an attempt. Raises Missing, Corrupt, and what the store and the key raise."""
    name = record_name(point, part, attempt)
    data, _ = store.get(name, deadline)
    record = decode(name, data, PartRecord, cipher, deadline)
    if (record.point, record.part, record.attempt) != (point, part, attempt):
        raise corrupt(name, "it is the record of another part")
    return record


def records(
    store: ObjectStore, point: str, part: PartName, cipher: PointCipher | None, deadline: Deadline
) -> list[PartRecord]:
    """Every record of a part, oldest ledger version first. More than one, when it was exported again."""
    prefix = part_prefix(point, part)
    names = [info.name.removeprefix(prefix).split("/") for info in store.list(prefix, deadline)]
    attempts = [attempt for attempt, *rest in names if rest == ["part.json"]]
    found = [
        read_record(store, point, part, attempt, cipher=cipher, deadline=deadline) for attempt in attempts
    ]
    return sorted(found, key=lambda record: (record.ledger_version, record.snapshot_at))


def read_manifest(store: ObjectStore, point: str, cipher: PointCipher | None, deadline: Deadline) -> Manifest:
    """The manifest of a point. With a cipher its seal is checked, and those of the records that went into it:
    whoever commits a point takes them as they are, because it has no right to decrypt.

    Raises Missing when the point was never committed, Corrupt, NewerFormat, AccessDenied, and the store's
    errors.
    """
    name = manifest_name(point)
    try:
        data, _ = store.get(name, deadline)
    except Missing as error:
        raise Missing(
            SERVICE,
            "read",
            f"there is no recovery point {point}",
            hint="`lectern backups` lists them; a point without a manifest was never finished.",
        ) from error
    manifest = decode(name, data, Manifest, cipher, deadline)
    if manifest.id != point:
        raise corrupt(name, f"it is the manifest of {manifest.id}")
    if manifest.format > FORMAT:
        raise NewerFormat(
            SERVICE,
            "read",
            f"{name} has format {manifest.format}, this release reads up to {FORMAT}",
            hint=f"Use the release that wrote it ({manifest.code_revision or 'a newer one'}).",
        )
    if cipher:
        _check_records(store, manifest, cipher, deadline)
    return manifest


def _check_records(store: ObjectStore, manifest: Manifest, cipher: PointCipher, deadline: Deadline) -> None:
    for record in manifest.parts.values():
        name = record_name(manifest.id, record.part, record.attempt)
        try:
            data, _ = store.get(name, deadline)
        except Missing:
            raise corrupt(name, "the record is missing") from None
        found = decode(name, data, PartRecord, cipher, deadline)
        if _spelled(found) != _spelled(record):
            raise corrupt(name, "the manifest says something else of this part")


def _spelled(record: PartRecord) -> bytes:
    return msgspec.json.encode(record, order="deterministic")


def committed_points(store: ObjectStore, deadline: Deadline) -> Iterator[str]:
    """Ids of the points that have a manifest, oldest id first."""
    for info in store.list(PREFIX, deadline):
        _, point, *rest = info.name.split("/")
        if rest == ["manifest.json"]:
            yield point
