"""The fast tier of vectors: snapshots that each node makes itself, kept beside the export.

They come back faster, with their indexes built, but only on a cluster of as many nodes and the same minor
version. So they are an addition: the export is what a point is restored from where they do not fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from shared.errors import Corrupt, DependencyError, Missing, PreconditionFailed
from shared.ports import ObjectStore
from shared.ports.snapshots import Snapshot, VectorSnapshots
from shared.recovery.crypto import PointCipher
from shared.recovery.patience import Patient
from shared.recovery.point import SERVICE, ObjectEntry, PartRecord
from shared.recovery.streams import part_reader, part_writer

_PIECE = 1 << 20
_LEVEL = 1
_TRIES = 3

Name = Callable[[str], str]
"""The object's whole name, from the name inside of the attempt."""


class SnapshotEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in the bucket: of which node it is, in which ``object`` it lies, what the server called it,
    its size and SHA-256 as the server made it, and the server's version.
    """

    node: int
    object: str
    name: str
    bytes: int
    sha256: str
    version: str


@dataclass(frozen=True, slots=True)
class _Made:
    """A snapshot that lies on a node."""

    node: VectorSnapshots
    number: int
    collection: str
    snapshot: Snapshot

    def copy(self, write: Callable[[bytes], object], patient: Patient) -> None:
        """Download it through ``write``."""
        made, digest, size = self.snapshot, hashlib.sha256(), 0
        with self.node.download(self.collection, made.name, patient.deadline) as read:
            while piece := read(_PIECE):
                digest.update(piece)
                size += len(piece)
                write(piece)
        if size != made.size or made.sha256 not in {"", digest.hexdigest()}:
            raise Corrupt("qdrant", f"download of {made.name}", "it is not what the server made (SHA-256)")

    def entry(self, target: str) -> SnapshotEntry:
        """How it is recorded, as the object ``target``."""
        made = self.snapshot
        return SnapshotEntry(
            node=self.number,
            object=target,
            name=made.name,
            bytes=made.size,
            sha256=made.sha256,
            version=made.version,
        )


class SnapshotTier:
    """Takes the snapshots of ``nodes``, and gives them back to as many."""

    def __init__(
        self, nodes: Sequence[VectorSnapshots], store: ObjectStore, cipher: PointCipher | None
    ) -> None:
        self._nodes = nodes
        self._store = store
        self._cipher = cipher

    def take(self, collection: str, name: Name, patient: Patient) -> list[tuple[SnapshotEntry, ObjectEntry]]:
        """Let each node make one, and store it; nothing where the engine makes none. They are removed from
        the nodes again. Errors: those of the ports; ``Corrupt`` for a download that is not what was made.
        """
        taken = []
        for number, node in enumerate(self._nodes):
            try:
                made = node.create(collection, patient.deadline)
            except Missing:
                return []
            try:
                taken.append(self._stored(_Made(node, number, collection, made), name, patient))
            finally:
                with suppress(DependencyError):  # what is left on the node harms nothing but its disk
                    node.delete(collection, made.name, patient.step())
        return taken

    def _stored(self, made: _Made, name: Name, patient: Patient) -> tuple[SnapshotEntry, ObjectEntry]:
        """Downloaded into the bucket; from the start again when the line is cut."""
        for trial in range(1, _TRIES + 1):
            end = ".snapshot.zst.enc" if self._cipher else ".snapshot.zst"
            target = name(f"node-{made.number}-{trial}{end}")
            try:
                with part_writer(self._store, target, self._cipher, patient.deadline, level=_LEVEL) as out:
                    made.copy(out.write, patient)
            except DependencyError as error:
                if trial == _TRIES or not error.retryable:
                    raise
            else:
                return made.entry(target), out.entry
        raise AssertionError("unreachable")

    def check(self, entries: Sequence[SnapshotEntry], probe: str, patient: Patient) -> None:
        """Raise ``PreconditionFailed`` unless the snapshots fit the nodes and the nodes see the collection
        ``probe``, which was made for this in the cluster that is restored: nodes of another cluster, such as
        production's during a drill, are so left alone.
        """
        operation = "recovery from snapshots"
        if len(entries) != len(self._nodes):
            detail = f"the point has snapshots of {len(entries)} nodes, there are {len(self._nodes)}"
            raise PreconditionFailed(SERVICE, operation, detail)
        for number, node in enumerate(self._nodes):
            if not node.sees(probe, patient.step()):
                detail = f"node {number} belongs to another cluster than the one that is restored"
                raise PreconditionFailed(SERVICE, operation, detail)

    def give_back(
        self, entries: Sequence[SnapshotEntry], record: PartRecord, collection: str, patient: Patient
    ) -> None:
        """Make the collection from the snapshots, after :meth:`check`. Errors: ``Rejected`` by a server of
        another version, ``Corrupt``, and those of the ports.
        """
        objects = {entry.name: entry for entry in record.objects}
        for entry, node in zip(sorted(entries, key=lambda one: one.node), self._nodes, strict=True):
            snapshot = Snapshot(entry.name, entry.bytes, entry.sha256, entry.version)
            blocks = part_reader(self._store, objects[entry.object], self._cipher, patient.deadline)
            node.recover(collection, snapshot, blocks, patient.deadline)
