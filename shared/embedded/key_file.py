"""The key of recovery points in a file on this machine."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.errors import AccessDenied, Corrupt, SettingsError
from shared.resilience.deadline import Deadline

SERVICE = "key-file"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFile:
    """Implements :class:`~shared.ports.KeyWrapper` with AES-256-GCM.

    A line of the file is a key: 32 random bytes in base64. The first one wraps, any of them unwraps, so a new
    key is put on top and old points stay readable. ``random`` gives n random bytes.

    Raises :class:`~shared.errors.SettingsError` for a file that is missing, open to others or holds no key.
    """

    def __init__(self, path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
        self._path = path
        self._random = random
        self._keys = {_id(key): key for key in _read(path)}

    @property
    def key_id(self) -> str:
        return next(iter(self._keys))

    def wrap(self, data_key: bytes, context: str, deadline: Deadline) -> bytes:  # noqa: ARG002 - nothing is called
        nonce = self._random(_NONCE_BYTES)
        return nonce + AESGCM(self._keys[self.key_id]).encrypt(nonce, data_key, context.encode())

    def unwrap(self, wrapped: bytes, key_id: str, context: str, deadline: Deadline) -> bytes:  # noqa: ARG002
        key = self._keys.get(key_id)
        if key is None:
            raise AccessDenied(
                SERVICE,
                "decrypt",
                f"{context} is encrypted with key {key_id}; {self._path} holds {', '.join(self._keys)}",
                hint="Add the key that it was made with as a further line of the file.",
            )
        try:
            return AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError):
            raise Corrupt(
                SERVICE,
                "decrypt",
                f"the data key in {context} was changed, or belongs to another recovery point",
                hint="Use another recovery point, or another copy of this one.",
            ) from None


def make_key_file(path: Path, random: Callable[[int], bytes] = os.urandom) -> None:
    """Write a file with a new key, readable by its owner alone. Raises SettingsError when it exists."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SettingsError([f"backup_key_file: {path} cannot be made ({error.strerror})"]) from error
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(random(_KEY_BYTES)) + b"\n")


def _id(key: bytes) -> str:
    """A name that tells keys apart and gives nothing of them away."""
    return "file:" + hashlib.sha256(b"lectern key id " + key).hexdigest()[:16]


def _read(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read(65_536).split()
    except OSError as error:
        raise SettingsError([f"backup_key_file: {path} cannot be read ({error.strerror})"]) from error
    if mode & _OTHERS:
        raise SettingsError([f"backup_key_file: {path} is open to others; run: chmod 600 {path}"])
    if not lines:
        raise SettingsError([f"backup_key_file: {path} holds no key"])
    return [_key(path, number, line) for number, line in enumerate(lines, 1)]


def _key(path: Path, number: int, line: bytes) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError([f"backup_key_file: {path}, line {number}: not 32 bytes in base64"])
    return key
