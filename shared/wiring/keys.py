"""API keys for the command line: made, listed, revoked."""

from __future__ import annotations

import secrets
import time

from shared.access.keys import PREFIX, digest
from shared.ports import ApiKey
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts

_SECONDS = 10.0


def add(settings: Settings, name: str, requests_per_minute: int) -> tuple[ApiKey, str]:
    """A new key and its text, which is nowhere else: only its hash is stored."""
    text = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(secrets.token_hex(4), name, digest(text), requests_per_minute, time.time())
    with Parts(settings) as parts:
        parts.api_keys.add(key, Deadline.after(_SECONDS))
    return key, text


def listed(settings: Settings) -> list[ApiKey]:
    """Every key, revoked ones included."""
    with Parts(settings) as parts:
        return parts.api_keys.all(Deadline.after(_SECONDS))


def revoke(settings: Settings, key_id: str) -> bool:
    """Make a key useless; whether there was one. Instances that know it notice within a minute."""
    with Parts(settings) as parts:
        return parts.api_keys.revoke(key_id, Deadline.after(_SECONDS))
