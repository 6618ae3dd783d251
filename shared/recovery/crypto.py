"""Objects of a recovery point, encrypted on the client.

An encrypted object is one line of JSON (the header) and a sequence of chunks, each sealed with AES-256-GCM.
This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015) in the form of the age format (https://c2sp.org/age#payload): the nonce is
the chunk's number (11 bytes) and whether it is the last (1 byte), under a key of the object's own, made by
HKDF of the run's data key and the header's salt. Header and object name, which holds the point's id, are
authenticated with every chunk. So a chunk that was changed, moved, left out or taken from another object does
not open, and neither does an object that was cut.

The data key is made anew by each run that writes, and lies in the header, wrapped by the operator's key
(:class:`~shared.ports.KeyWrapper`): writing needs no right to decrypt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.errors import Corrupt
from shared.ports import KeyWrapper
from shared.recovery.point import PREFIX, SERVICE
from shared.resilience.deadline import Deadline

CHUNK_BYTES = 1 << 20
KEY_BYTES = 32
_TAG_BYTES = 16
_SALT_BYTES = 16
_MOST_HEADER_BYTES = 8192
_MOST_CHUNK_BYTES = 16 << 20
_CIPHER = "AES-256-GCM"
_HINT = "Use another recovery point, or another copy of this one; `lectern verify` says which are whole."

Pull = Callable[[int], bytes]
"""At most n bytes; empty at the end."""


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it lies in the bucket; ``key_id`` names the key that wraps it."""

    key_id: str
    wrapped: str


class Header(msgspec.Struct, frozen=True):
    """The first line of an encrypted object. ``salt`` and ``key.wrapped`` are base64."""

    lectern: int
    cipher: str
    chunk: int
    salt: str
    key: WrappedKey


class _DataKey(NamedTuple):
    key: bytes
    wrapped: WrappedKey


class PointCipher:
    """Encrypts and decrypts the objects of one recovery point. Safe to share among threads.

    ``random`` gives n random bytes. With ``unsealed``, records and manifests that carry no seal are taken as
    well, as they were made before there was a key. Errors: those of :class:`~shared.ports.KeyWrapper`, and
    :class:`~shared.errors.Corrupt` for what does not open.
    """

    def __init__(
        self,
        keys: KeyWrapper,
        point: str,
        random: Callable[[int], bytes] = os.urandom,
        *,
        unsealed: bool = False,
    ) -> None:
        self.unsealed = unsealed
        self._keys = keys
        self._context = f"{PREFIX}{point}"
        self._random = random
        self._lock = threading.Lock()
        self._own: _DataKey | None = None
        self._opened: dict[WrappedKey, bytes] = {}

    @property
    def key_id(self) -> str:
        """Which key wraps what is written."""
        return self._keys.key_id

    def encryptor(self, name: str, deadline: Deadline) -> Encryptor:
        """What encrypts the object ``name``."""
        own = self._data_key(deadline)
        salt = self._random(_SALT_BYTES)
        header = Header(1, _CIPHER, CHUNK_BYTES, _text(salt), own.wrapped)
        line = msgspec.json.encode(header) + b"\n"
        return Encryptor(AESGCM(_derived(own.key, salt, b"object")), line, line + name.encode())

    def decrypted(self, name: str, pull: Pull, deadline: Deadline) -> Iterator[bytes]:
        """The plain chunks of the object ``name``, whose bytes come from ``pull``. Each is authenticated."""
        line, rest = _header_line(name, pull)
        header = _header(name, line)
        key = self._unwrapped(header.key, deadline)
        box = AESGCM(_derived(key, _bytes(name, header.salt), b"object"))
        return _opened(box, name, line + name.encode(), header.chunk, _chained(rest, pull))

    def mac(self, body: bytes, deadline: Deadline) -> tuple[str, WrappedKey]:
        """A seal of ``body``: HMAC-SHA256 in hexadecimal, and the key to check it with."""
        own = self._data_key(deadline)
        return _mac(own.key, body), own.wrapped

    def check_mac(self, name: str, body: bytes, mac: str, key: WrappedKey, deadline: Deadline) -> None:
        """Raise :class:`~shared.errors.Corrupt` unless ``mac`` seals ``body``."""
        if not hmac.compare_digest(_mac(self._unwrapped(key, deadline), body), mac):
            raise corrupt(name, "its seal does not fit")

    def _data_key(self, deadline: Deadline) -> _DataKey:
        with self._lock:
            if self._own is None:
                key = self._random(KEY_BYTES)
                wrapped = self._keys.wrap(key, self._context, deadline)
                self._own = _DataKey(key, WrappedKey(self._keys.key_id, _text(wrapped)))
                self._opened[self._own.wrapped] = key
            return self._own

    def _unwrapped(self, key: WrappedKey, deadline: Deadline) -> bytes:
        with self._lock:
            if key not in self._opened:
                wrapped = _bytes(self._context, key.wrapped)
                self._opened[key] = self._keys.unwrap(wrapped, key.key_id, self._context, deadline)
            return self._opened[key]


class Encryptor:
    """Encrypts one object. Its bytes are ``header``, what :meth:`update` gives, what :meth:`finish` gives."""

    def __init__(self, box: AESGCM, header: bytes, bound: bytes) -> None:
        self.header = header
        self._box = box
        self._bound = bound
        self._buffer = bytearray()
        self._number = 0

    def update(self, data: bytes) -> Iterator[bytes]:
        """The chunks that are full with ``data``; one is always held back, as it may be the last."""
        self._buffer += data
        while len(self._buffer) > CHUNK_BYTES:
            chunk = bytes(memoryview(self._buffer)[:CHUNK_BYTES])
            del self._buffer[:CHUNK_BYTES]
            yield self._sealed(chunk, last=False)

    def finish(self) -> bytes:
        """The last chunk."""
        return self._sealed(bytes(self._buffer), last=True)

    def _sealed(self, chunk: bytes, *, last: bool) -> bytes:
        nonce = _nonce(self._number, last=last)
        self._number += 1
        return self._box.encrypt(nonce, chunk, self._bound)


def corrupt(name: str, why: str) -> Corrupt:
    """The error for an object that is not what was written."""
    return Corrupt(SERVICE, "read", f"{name}: {why}", hint=_HINT)


def _opened(box: AESGCM, name: str, bound: bytes, size: int, pull: Pull) -> Iterator[bytes]:
    number, chunk = 0, _filled(pull, size + _TAG_BYTES)
    while True:
        after = _filled(pull, size + _TAG_BYTES) if len(chunk) == size + _TAG_BYTES else b""
        try:
            plain = box.decrypt(_nonce(number, last=not after), chunk, bound)
        except (InvalidTag, ValueError):
            raise corrupt(name, f"chunk {number} was changed, cut, moved or swapped") from None
        yield plain
        if not after:
            return
        number, chunk = number + 1, after


def _filled(pull: Pull, size: int) -> bytes:
    parts, missing = [], size
    while missing and (block := pull(missing)):
        parts.append(block)
        missing -= len(block)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _header_line(name: str, pull: Pull) -> tuple[bytes, bytes]:
    start = _filled(pull, _MOST_HEADER_BYTES)
    line, newline, rest = start.partition(b"\n")
    if not newline:
        raise corrupt(name, "it does not begin as an encrypted object")
    return line + newline, rest


def _header(name: str, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise corrupt(name, "its header is not understood") from None
    known = header.lectern == 1 and header.cipher == _CIPHER and 0 < header.chunk <= _MOST_CHUNK_BYTES
    if not known or msgspec.json.encode(header) + b"\n" != line:
        raise corrupt(name, "its header is not understood")
    return header


def _chained(start: bytes, pull: Pull) -> Pull:
    rest = memoryview(start)

    def take(size: int) -> bytes:
        nonlocal rest
        if not rest:
            return pull(size)
        piece, rest = rest[:size], rest[size:]
        return bytes(piece)

    return take


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, b"lectern/1 " + purpose).derive(key)


def _mac(key: bytes, body: bytes) -> str:
    return hmac.new(_derived(key, b"", b"seal"), body, hashlib.sha256).hexdigest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise corrupt(name, "its header is not understood") from None
