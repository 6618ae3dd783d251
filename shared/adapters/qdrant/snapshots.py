"""Snapshots of one Qdrant node, streamed both ways; qdrant-client can neither download nor upload them.

Protocol: https://qdrant.tech/documentation/concepts/snapshots/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from ssl import SSLContext
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from shared.adapters.qdrant import errors, validate
from shared.adapters.qdrant.wire import Wire
from shared.ports.snapshots import Snapshot
from shared.resilience.deadline import Deadline

_BOUNDARY = "lectern-snapshot-7d1c0f5e"
_WAIT = {"wait": "true"}


class _Description(msgspec.Struct):
    name: str
    size: int
    checksum: str | None = None


class _Exists(msgspec.Struct):
    exists: bool


class _Root(msgspec.Struct):
    version: str


class QdrantSnapshots:
    """:class:`~shared.ports.snapshots.VectorSnapshots` of the node at ``url``."""

    def __init__(
        self,
        url: str,
        api_key: str = "",
        *,
        most_seconds: float = 3600.0,
        verify: SSLContext | None = None,
    ) -> None:
        self._wire = Wire(url, api_key, most_seconds=most_seconds, verify=verify)

    def close(self) -> None:
        """End the kept connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sees(self, collection: str, deadline: Deadline) -> bool:
        """One ``GET /collections/{collection}/exists``."""
        operation = f"look for {collection}"
        validate.check_name(operation, collection)
        path = f"/collections/{quote(collection, safe='')}/exists"
        return self._wire.send(operation, "GET", path, form=_Exists, deadline=deadline).exists

    def create(self, collection: str, deadline: Deadline) -> Snapshot:
        """One ``POST /collections/{collection}/snapshots``, and one ``GET /`` for the version."""
        operation = f"snapshot of {collection}"
        path = _path(operation, collection)
        made = self._wire.send(
            operation, "POST", path, form=_Description, deadline=deadline, body=b"", query=_WAIT
        )
        return Snapshot(made.name, made.size, made.checksum or "", self._version(operation, deadline))

    def _version(self, operation: str, deadline: Deadline) -> str:
        content = self._wire.content(operation, "GET", "/", deadline=deadline)
        try:
            return msgspec.json.decode(content, type=_Root).version
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.garbled(operation, error) from None

    def download(
        self, collection: str, name: str, deadline: Deadline
    ) -> AbstractContextManager[Callable[[int], bytes]]:
        """One ``GET /collections/{collection}/snapshots/{name}``."""
        operation = f"download of snapshot {name}"
        return self._wire.stream(operation, "GET", _path(operation, collection, name), deadline=deadline)

    def delete(self, collection: str, name: str, deadline: Deadline) -> None:
        """One ``DELETE /collections/{collection}/snapshots/{name}``."""
        operation = f"deletion of snapshot {name}"
        path = _path(operation, collection, name)
        self._wire.send(operation, "DELETE", path, form=bool, deadline=deadline, query=_WAIT)

    def recover(
        self, collection: str, snapshot: Snapshot, blocks: Iterable[bytes], deadline: Deadline
    ) -> None:
        """One ``POST /collections/{collection}/snapshots/upload``.

        With the priority ``snapshot``: without it a collection with replicas would take its own state for
        the newer one and quietly stay as it is.
        """
        operation = f"recovery of {collection} from a snapshot"
        query = {**_WAIT, "priority": "snapshot"}
        if snapshot.sha256:
            query["checksum"] = snapshot.sha256
        head, tail = _around(snapshot.name)
        self._wire.send(
            operation,
            "POST",
            _path(operation, collection, "upload"),
            form=bool,
            deadline=deadline,
            body=_joined(head, blocks, tail),
            query=query,
            headers={
                "content-type": f"multipart/form-data; boundary={_BOUNDARY}",
                "content-length": str(len(head) + snapshot.size + len(tail)),
            },
        )


def _path(operation: str, collection: str, name: str = "") -> str:
    validate.check_name(operation, collection)
    rest = f"/{quote(name, safe='')}" if name else ""
    return f"/collections/{quote(collection, safe='')}/snapshots{rest}"


def _around(name: str) -> tuple[bytes, bytes]:
    """What stands before and after the file in the form (RFC 7578)."""
    file = quote(name)
    head = (
        f"--{_BOUNDARY}\r\n"
        f'Content-Disposition: form-data; name="snapshot"; filename="{file}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{_BOUNDARY}--\r\n".encode()


def _joined(head: bytes, blocks: Iterable[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    yield from blocks
    yield tail
