"""Cloud KMS's REST API, as far as symmetric keys encrypt and decrypt.

After https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys: checksums in
both directions, additional authenticated data, the primary version for encryption and any enabled one for
decryption, 400 INVALID_ARGUMENT for what does not decrypt, 403 and 404 in Google's error shape.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.fakes.served import Asked, FakeApi, Refusal

_PATH = re.compile(r"/v1/(?P<key>projects/.+/cryptoKeys/[^/:]+):(?P<verb>encrypt|decrypt)$")


@dataclass
class Key:
    """Versions by number; the last one is primary. ``may`` are the verbs that the caller is allowed."""

    versions: list[bytes] = field(default_factory=lambda: [os.urandom(32)])
    disabled: set[int] = field(default_factory=set)
    may: set[str] = field(default_factory=lambda: {"encrypt", "decrypt"})

    def rotate(self) -> None:
        self.versions.append(os.urandom(32))


class FakeKms(FakeApi):
    """A server at ``url``. ``garble`` is put over the next good answer; ``calls`` are the verbs that were
    answered well.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, Key] = {}
        self.garble: dict[str, Any] = {}
        self.calls: list[str] = []
        self.url = self.endpoint

    def answer(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        name, verb = self._allowed(asked.path)
        answer = getattr(self, f"_{verb}")(name, self.keys[name], asked.body())
        self.calls.append(verb)
        garbled, self.garble = {**answer, **self.garble}, {}
        return 200, garbled

    def _allowed(self, path: str) -> tuple[str, str]:
        """Key and verb of a path."""
        found = _PATH.match(path)
        if not found or found["key"] not in self.keys:
            raise Refusal(404, "NOT_FOUND", f"CryptoKey {path} not found.")
        name, verb = found["key"], found["verb"]
        if verb not in self.keys[name].may:
            raise Refusal(403, "PERMISSION_DENIED", f"Permission 'cloudkms.useTo{verb.title()}' denied.")
        return name, verb

    def _encrypt(self, name: str, key: Key, body: dict[str, str]) -> dict[str, Any]:
        plain, bound = _sent(body, "plaintext"), _sent(body, "additionalAuthenticatedData")
        number = len(key.versions)
        if number in key.disabled:
            raise Refusal(400, "FAILED_PRECONDITION", f"{name}/cryptoKeyVersions/{number} is not enabled.")
        nonce = os.urandom(12)
        version = bytes([number])
        sealed = version + nonce + AESGCM(key.versions[-1]).encrypt(nonce, plain, version + bound)
        return {
            "name": f"{name}/cryptoKeyVersions/{number}",
            "ciphertext": base64.b64encode(sealed).decode(),
            "ciphertextCrc32c": _checksum(sealed),
            "verifiedPlaintextCrc32c": "plaintextCrc32c" in body,
            "verifiedAdditionalAuthenticatedDataCrc32c": "additionalAuthenticatedDataCrc32c" in body,
            "protectionLevel": "SOFTWARE",
        }

    def _decrypt(self, _name: str, key: Key, body: dict[str, str]) -> dict[str, Any]:
        sealed, bound = _sent(body, "ciphertext"), _sent(body, "additionalAuthenticatedData")
        try:
            version = key.versions[sealed[0] - 1]
            plain = AESGCM(version).decrypt(sealed[1:13], sealed[13:], sealed[:1] + bound)
        except (InvalidTag, ValueError, IndexError):
            message = "Decryption failed: the ciphertext is invalid."
            raise Refusal(400, "INVALID_ARGUMENT", message) from None
        return {"plaintext": base64.b64encode(plain).decode(), "plaintextCrc32c": _checksum(plain)}


def _sent(body: dict[str, str], name: str) -> bytes:
    data = base64.b64decode(body.get(name, ""))
    if f"{name}Crc32c" in body and body[f"{name}Crc32c"] != _checksum(data):
        raise Refusal(400, "INVALID_ARGUMENT", f"The checksum in field {name}_crc32c did not match.")
    return data


def _checksum(data: bytes) -> str:
    return str(int(google_crc32c.value(data)))
