"""Files and directories of :mod:`shared.embedded.folder`: names, facts, locks, durable writes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shared.errors import AccessDenied, Corrupt, DependencyError, Missing, Overloaded, Rejected, Unreachable
from shared.ports import ObjectInfo

SERVICE = "folder"
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789._-")
_PIECE = 200  # bytes of one path component; file systems allow 255
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def encode(name: str) -> str:
    """``name`` as a path that means the same on file systems that fold case or normalise Unicode."""
    return "/".join(_encode_part(part) for part in name.split("/"))


def _encode_part(part: str) -> str:
    text = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in part.encode())
    return "~/".join(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def generations(home: Path) -> list[int]:
    """Generations of an object that are in its directory, oldest first."""
    try:
        return sorted(int(version.name) for version in home.iterdir() if version.name.isdigit())
    except FileNotFoundError:
        return []


def facts(version: Path) -> ObjectInfo:
    """What is recorded of a version. Raises FileNotFoundError when the version is gone."""
    try:
        found = json.loads((version / "facts.json").read_bytes())
        return ObjectInfo(
            name=found["name"],
            size=found["size"],
            generation=int(version.name),
            crc32c=found["crc32c"],
            updated=found["updated"],
            metadata=found["metadata"],
        )
    except FileNotFoundError:
        if version.exists():  # versions come and go whole: somebody took its file away
            raise _damaged(version) from None
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(version) from error


def open_version(version: Path) -> tuple[IO[bytes], ObjectInfo]:
    """The bytes and facts of a version. Raises FileNotFoundError when the version is gone."""
    info = facts(version)
    try:
        return (version / "data").open("rb"), info
    except FileNotFoundError:
        if version.exists():
            raise _damaged(version) from None
        raise


def _damaged(version: Path) -> Corrupt:
    hint = "Restore the folder from a backup, or remove that directory."
    return Corrupt(SERVICE, "read", f"{version} is damaged", hint=hint)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file that is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Take the flock of an open file; False when another open file has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def in_use(data: Path) -> bool:
    """Whether a living process holds the flock of ``data``."""
    try:
        with data.open("rb") as file:
            return not try_lock(file.fileno())
    except FileNotFoundError:
        return False


@contextmanager
def os_errors(operation: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into one of our errors that names ``path``."""
    try:
        yield
    except OSError as error:
        raise _translate(operation, path, error) from error


def _translate(operation: str, path: Path, error: OSError) -> DependencyError:
    detail = f"{path}: {error.strerror or error}"
    if error.errno in _FULL:
        return Rejected(SERVICE, operation, detail, hint="Free space on that disk, then try again.")
    if error.errno in _REFUSED:
        return AccessDenied(SERVICE, operation, detail, hint="Give this user read and write rights there.")
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Missing(SERVICE, operation, detail, hint="List the store to see what is there.")
    if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
        return Overloaded(SERVICE, operation, detail, hint="Raise the limit on open files.")
    return Unreachable(SERVICE, operation, detail, hint="Check that disk.")
