"""The key of recovery points, from where the settings say it is."""

from __future__ import annotations

from pathlib import Path

from shared.recovery.crypto import PointCipher
from shared.settings import Settings


def point_cipher(settings: Settings, point: str) -> PointCipher | None:
    """What encrypts and decrypts the objects of ``point``; None when no key is configured.

    Raises :class:`~shared.errors.SettingsError` for a key file that cannot be used.
    """
    if not settings.backup_key_file:
        return None
    from shared.embedded.key_file import KeyFile

    return PointCipher(KeyFile(Path(settings.backup_key_file)), point)
