"""What every object store shares: the rule for names, Cloud Storage's checksum, a checked reader."""

from __future__ import annotations

import base64
from collections.abc import Callable

import google_crc32c

from shared.errors import Corrupt, Interrupted, Rejected
from shared.ports import ObjectInfo

MAX_NAME_BYTES = 1024
_FIRST_PRINTABLE, _DELETE = 0x20, 0x7F


def name_problem(name: str) -> str:
    """Why ``name`` cannot be an object's name; empty when it can.

    Stricter than Cloud Storage (https://cloud.google.com/storage/docs/objects#naming): a name is
    also a relative path, so that it means the same in a bucket and in a folder.
    """
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if not raw or len(raw) > MAX_NAME_BYTES:
        return f"it must have 1 to {MAX_NAME_BYTES} bytes, not {len(raw)}"
    if any(byte < _FIRST_PRINTABLE or byte == _DELETE for byte in raw) or "\\" in name:
        return "it contains a backslash or a control character"
    if any(part in {"", ".", ".."} for part in name.split("/")):
        return "a part between slashes is empty, '.' or '..'"
    return ""


def check_name(service: str, operation: str, name: str) -> None:
    """Raise :class:`~shared.errors.Rejected` when ``name`` cannot be an object's name."""
    problem = name_problem(name)
    if problem:
        shown = ascii(name[:80])
        raise Rejected(service, operation, f"{shown} is no object name: {problem}", hint="Rename the object.")


class Crc32c:
    """A running CRC32C (RFC 3720, section 12.1)."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = int(google_crc32c.extend(self._value, data))

    def text(self) -> str:
        """The base64 text of the big-endian value, as Cloud Storage writes it."""
        return base64.b64encode(self._value.to_bytes(4, "big")).decode("ascii")


def crc32c(data: bytes) -> str:
    """CRC32C of ``data`` as :meth:`Crc32c.text`."""
    checksum = Crc32c()
    checksum.update(data)
    return checksum.text()


class CheckedReader:
    """Implements :class:`~shared.ports.ObjectReader` over ``pull(n)``: at most n bytes, empty at the end.

    The read that would complete the object raises :class:`~shared.errors.Corrupt` instead of
    returning when the bytes do not match the checksum; one that ends early raises
    :class:`~shared.errors.Interrupted`. An object without a checksum is checked by size alone.
    """

    _BLOCK = 1 << 20

    def __init__(self, service: str, info: ObjectInfo, pull: Callable[[int], bytes]) -> None:
        self._service = service
        self._info = info
        self._pull = pull
        self._checksum = Crc32c()
        self._position = 0
        self._checked = False

    @property
    def info(self) -> ObjectInfo:
        return self._info

    def read(self, size: int = -1) -> bytes:
        if size >= 0:
            return self._take(size)
        parts = []
        while block := self._take(self._BLOCK):
            parts.append(block)
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        left = self._info.size - self._position
        block = self._pull(min(size, left)) if size and left else b""
        if size and left and not block:
            detail = f"{self._info.name} ended at byte {self._position} of {self._info.size}"
            raise Interrupted(self._service, "read", detail, hint="Read it again.")
        self._checksum.update(block)
        self._position += len(block)
        if self._position == self._info.size and not self._checked:
            self._check()
        return block

    def _check(self) -> None:
        found, expected = self._checksum.text(), self._info.crc32c
        excess = self._pull(1)
        if excess or (expected and found != expected):
            what = "is longer than recorded" if excess else f"has CRC32C {found} instead of {expected}"
            raise Corrupt(
                self._service,
                "read",
                f"{self._info.name} (generation {self._info.generation}) {what}",
                hint="Use another version or backup of it.",
            )
        self._checked = True
