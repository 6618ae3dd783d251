"""Cloud KMS over REST: wraps the data keys of recovery points.

Protocol: https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/encrypt
and …/decrypt. Checksums go both ways, as https://cloud.google.com/kms/docs/data-integrity-guidelines asks.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import google_crc32c
import httpx
import msgspec

from shared.adapters.access_token import TokenProvider
from shared.errors import (
    AccessDenied,
    Corrupt,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    Rejected,
    SettingsError,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.resilience.deadline import Deadline

ENDPOINT = "https://cloudkms.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/cloudkms"
SERVICE = "kms"
_MOST_SECONDS = 20.0
_NAME = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_KINDS: dict[int, type[DependencyError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: Missing,
    408: TimedOut,
    429: Throttled,
    504: TimedOut,
}
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Backups need roles/cloudkms.cryptoKeyEncrypter on the key, restores cryptoKeyDecrypter.",
    Missing: "Check LECTERN_BACKUP_KMS_KEY.",
    Rejected: "Check that the key is enabled, symmetric, and has a primary version.",
}


class CloudKms:
    """Implements :class:`~shared.ports.KeyWrapper` with one symmetric key, named
    ``projects/…/locations/…/keyRings/…/cryptoKeys/…``. ``earlier`` are further keys that unwrap; no other key
    is asked to, whatever a recovery point names. ``token`` None calls anonymously: for a stand-in.
    """

    def __init__(
        self,
        key: str,
        client: httpx.Client,
        token: TokenProvider | None = None,
        endpoint: str = ENDPOINT,
        *,
        earlier: Sequence[str] = (),
    ) -> None:
        named = [("backup_kms_key", key), *(("backup_earlier_kms_keys", name) for name in earlier)]
        wrong = [
            f"{setting}: {name!a} is not projects/…/locations/…/keyRings/…/cryptoKeys/…"
            for setting, name in named
            if not _NAME.fullmatch(name)
        ]
        if wrong:
            raise SettingsError(wrong)
        self._key = key
        self._unwrapping = {key, *earlier}
        self._client = client
        self._token = token
        self._endpoint = endpoint.rstrip("/")

    @property
    def key_id(self) -> str:
        return self._key

    def wrap(self, data_key: bytes, context: str, deadline: Deadline) -> bytes:
        body = {"plaintext": _text(data_key), "plaintextCrc32c": _checksum(data_key)}
        answer = self._call(self._key, "encrypt", body, context, deadline)
        checks = ("verifiedPlaintextCrc32c", "verifiedAdditionalAuthenticatedDataCrc32c")
        if not all(answer.get(check) for check in checks):
            raise Garbled(SERVICE, "encrypt", "the key arrived changed", hint="Try again.")
        return _checked(answer, "ciphertext", "encrypt")

    def unwrap(self, wrapped: bytes, key_id: str, context: str, deadline: Deadline) -> bytes:
        if not _NAME.fullmatch(key_id):
            raise AccessDenied(
                SERVICE,
                "decrypt",
                f"{context} is encrypted with key {key_id}, which is none of Cloud KMS",
                hint="Set LECTERN_BACKUP_KEY_FILE to the file that holds it.",
            )
        if key_id not in self._unwrapping:
            # Whoever writes to the bucket can name a key of their own there, and seal all they like with it.
            raise AccessDenied(
                SERVICE,
                "decrypt",
                f"{context} is encrypted with key {key_id}, which is none of yours",
                hint="A former key of yours goes into LECTERN_BACKUP_EARLIER_KMS_KEYS; else it is forged.",
            )
        body = {"ciphertext": _text(wrapped), "ciphertextCrc32c": _checksum(wrapped)}
        return _checked(self._call(key_id, "decrypt", body, context, deadline), "plaintext", "decrypt")

    def _call(
        self, key: str, verb: str, body: Mapping[str, str], context: str, deadline: Deadline
    ) -> dict[str, Any]:
        bound = context.encode()
        whole = {
            **body,
            "additionalAuthenticatedData": _text(bound),
            "additionalAuthenticatedDataCrc32c": _checksum(bound),
        }
        response = self._send(f"{self._endpoint}/v1/{key}:{verb}", verb, whole, deadline)
        if response.status_code != httpx.codes.OK:
            raise _refused(response, key, verb, context)
        try:
            return msgspec.json.decode(response.content, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled(SERVICE, verb, "the answer is not a JSON object", hint="Try again.") from error

    def _send(self, url: str, verb: str, body: Mapping[str, str], deadline: Deadline) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token(deadline)}"
        seconds = deadline.timeout(_MOST_SECONDS, attempted=f"Cloud KMS ({verb})")
        try:
            return self._client.post(url, content=msgspec.json.encode(body), headers=headers, timeout=seconds)
        except httpx.TimeoutException as error:
            raise TimedOut(SERVICE, verb, f"no answer within {seconds:.1f} s", hint="Try again.") from error
        except httpx.HTTPError as error:
            raise Unreachable(
                SERVICE, verb, str(error) or "no connection", hint="Check the network."
            ) from error


def _refused(response: httpx.Response, key: str, verb: str, context: str) -> DependencyError:
    status, message = response.status_code, _message(response)
    if status == httpx.codes.BAD_REQUEST and verb == "decrypt":
        return Corrupt(
            SERVICE,
            verb,
            f"the data key in {context} was changed, or belongs to another recovery point ({message})",
            hint="Use another recovery point, or another copy of this one.",
        )
    fallback = Overloaded if status >= httpx.codes.INTERNAL_SERVER_ERROR else Rejected
    kind = _KINDS.get(status, fallback)
    return kind(SERVICE, verb, f"{key}: {status} {message}", hint=_HINTS.get(kind, "Try again."))


def _message(response: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(response.content)["error"]["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return "without a message"


def _checked(answer: Mapping[str, Any], name: str, verb: str) -> bytes:
    try:
        data = base64.b64decode(str(answer[name]), validate=True)
    except (KeyError, binascii.Error, ValueError) as error:
        raise Garbled(SERVICE, verb, f"the answer has no {name}", hint="Try again.") from error
    if str(answer.get(f"{name}Crc32c")) != _checksum(data):
        raise Garbled(SERVICE, verb, f"the {name} arrived changed", hint="Try again.")
    return data


def _checksum(data: bytes) -> str:
    """CRC32C as KMS writes it: an int64, and so a string in JSON."""
    return str(int(google_crc32c.value(data)))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
