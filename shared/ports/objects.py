"""A bucket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object. ``generation`` grows with each write; ``crc32c`` is the
    base64 text that Cloud Storage uses; ``updated`` is in Unix seconds.
    """

    name: str
    size: int
    generation: int
    crc32c: str
    updated: float
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectWriter(Protocol):
    """An upload under way.

    Leaving its context without an exception commits the object; with one, no object appears.
    """

    def write(self, data: bytes) -> None: ...

    @property
    def info(self) -> ObjectInfo:
        """The committed object; only after the context was left."""
        ...


class ObjectReader(Protocol):
    """A download under way."""

    @property
    def info(self) -> ObjectInfo: ...

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes (all of the rest when negative); empty at the end.

        Raises :class:`~shared.errors.Interrupted` when the object ends before its size and
        :class:`~shared.errors.Corrupt` when a whole read does not match its checksum.
        """
        ...


class ObjectStore(Protocol):
    """A bucket: Cloud Storage, or a folder on this machine.

    Names are ``/``-separated, relative, without ``.`` or ``..`` parts. Writes are atomic: an
    object is there whole, with its checksum, or not at all. ``if_generation_match``: 0 means
    "must not exist", n means "must be at generation n", None means no condition.

    Errors: ``Missing``, ``PreconditionFailed``, ``Corrupt``, ``Interrupted``, ``AccessDenied``,
    ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``; ``Rejected`` for a bad name, a held
    or retained object, or a full disk.
    """

    def put(
        self,
        name: str,
        data: bytes,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write a small object whole."""
        ...

    def open_write(
        self,
        name: str,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ObjectWriter]:
        """Stream an object of unknown length; memory stays bounded by one chunk."""
        ...

    def get(self, name: str, deadline: Deadline) -> tuple[bytes, ObjectInfo]:
        """A small object whole, checked against its checksum."""
        ...

    def open_read(
        self, name: str, deadline: Deadline, *, generation: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Stream an object, or a version of it."""
        ...

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        """The live version's facts."""
        ...

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        """Live objects whose name starts with ``prefix``, by name; with ``versions`` the old ones too."""
        ...

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        """Remove the live version."""
        ...
