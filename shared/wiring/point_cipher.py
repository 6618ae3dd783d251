"""The key of recovery points, from where the settings say it is."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.recovery.crypto import PointCipher
from shared.resilience.deadline import Deadline
from shared.settings import Settings

if TYPE_CHECKING:
    import httpx

    from shared.ports import KeyWrapper


def point_cipher(settings: Settings, point: str) -> PointCipher | None:
    """What encrypts and decrypts the objects of ``point``; None when no key is configured.

    Raises :class:`~shared.errors.SettingsError` for a key file that cannot be used.
    """
    keys = key_wrapper(settings)
    return PointCipher(keys, point, unsealed=settings.backup_unsealed) if keys else None


def key_wrapper(settings: Settings) -> KeyWrapper | None:
    """Cloud KMS, else the key file, else None. With both, the key file reads the points that it encrypted."""
    file = kms = None
    if settings.backup_key_file:
        from shared.embedded.key_file import KeyFile

        file = KeyFile(Path(settings.backup_key_file))
    if settings.backup_kms_key:
        kms = _kms(settings)
    return _Both(kms, file) if kms and file else kms or file


class _Both:
    """Wraps with Cloud KMS, unwraps with whichever wrapped."""

    def __init__(self, kms: KeyWrapper, file: KeyWrapper) -> None:
        self._kms = kms
        self._file = file

    @property
    def key_id(self) -> str:
        return self._kms.key_id

    def wrap(self, data_key: bytes, context: str, deadline: Deadline) -> bytes:
        return self._kms.wrap(data_key, context, deadline)

    def unwrap(self, wrapped: bytes, key_id: str, context: str, deadline: Deadline) -> bytes:
        keys = self._file if key_id.startswith("file:") else self._kms
        return keys.unwrap(wrapped, key_id, context, deadline)


@cache
def _client() -> httpx.Client:
    """One for the process: a cipher is made for each point, and has no end of its own."""
    import httpx

    made = httpx.Client(trust_env=False)
    atexit.register(made.close)
    return made


def _kms(settings: Settings) -> KeyWrapper:
    from shared.adapters.access_token import DefaultCredentialsToken, MetadataToken, TokenProvider
    from shared.adapters.cloud_kms import ENDPOINT, SCOPE, CloudKms

    client = _client()
    token: TokenProvider | None = None
    if not settings.kms_endpoint:
        own = settings.storage_credentials == "metadata"
        token = MetadataToken(client) if own else DefaultCredentialsToken(scope=SCOPE)
    return CloudKms(
        settings.backup_kms_key,
        client,
        token,
        settings.kms_endpoint or ENDPOINT,
        earlier=settings.backup_earlier_kms_keys,
    )
