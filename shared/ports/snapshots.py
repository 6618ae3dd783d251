"""Snapshots that Qdrant makes itself, of the part of a collection that lies on one node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as it lies on the node: ``size`` in bytes, ``sha256`` in hexadecimal (empty where an old
    server does not say it), ``version`` of the server that made it.
    """

    name: str
    size: int
    sha256: str
    version: str


class VectorSnapshots(Protocol):
    """The snapshots of one node.

    Errors: those of :class:`~shared.ports.vectors.VectorSearch`; ``Missing`` also from an engine that makes
    no snapshots, such as the embedded one.
    """

    def sees(self, collection: str, deadline: Deadline) -> bool:
        """Whether the node's cluster has the collection."""
        ...

    def create(self, collection: str, deadline: Deadline) -> Snapshot:
        """Make one of the collection as it is now."""
        ...

    def download(
        self, collection: str, name: str, deadline: Deadline
    ) -> AbstractContextManager[Callable[[int], bytes]]:
        """Its bytes: the function gives at most so many, none at the end."""
        ...

    def delete(self, collection: str, name: str, deadline: Deadline) -> None:
        """Remove it from the node."""
        ...

    def recover(
        self, collection: str, snapshot: Snapshot, blocks: Iterable[bytes], deadline: Deadline
    ) -> None:
        """Make the collection, or the part of it on this node, what the snapshot holds.

        Raises ``Rejected`` when the server does not take it (another version, other bytes than its SHA-256).
        """
        ...
