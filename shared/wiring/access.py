"""Joins who may ask: one gate by the setting ``access_mode``."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from shared.access.admission import Admission
from shared.access.limits import InstanceLimits
from shared.access.modes import Gate, PlatformGate, PublicGate
from shared.access.spend import SpendMeter
from shared.access.visitors import VisitorKeys
from shared.errors import SettingsError
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.wiring.parts import Parts

_OWN_SECRET = secrets.token_bytes(32)
"""For visitors' keys where no secret is set: limits then hold an instance."""


def admission(parts: Parts) -> Admission:
    """Who may ask, how often and at what cost."""
    own = parts.settings
    meter = SpendMeter(own.spend_cap_usd_day, own.spend_cap_usd_month, time.time)
    return Admission(parts.gate, parts.memory, InstanceLimits(time.monotonic), meter)


def gate(parts: Parts) -> Gate:
    """The gate of the mode. Raises :class:`~shared.errors.SettingsError` when settings of it are missing."""
    own = parts.settings
    visitors = VisitorKeys(own.visitor_secret.encode() or _OWN_SECRET, time.time)
    if own.access_mode == "key":
        from shared.access.keys import KeyRing
        from shared.access.modes import KeyGate

        return KeyGate(KeyRing(parts.api_keys, time.monotonic))
    if own.access_mode == "jwt":
        return _token_gate(parts, visitors)
    if own.access_mode == "platform":
        return PlatformGate(visitors, own.rate_limit_requests)
    return PublicGate(
        frozenset(own.allowed_origins),
        visitors,
        own.rate_limit_requests,
        own.trusted_proxies,
        own.load_balancer_address,
    )


def _token_gate(parts: Parts, visitors: VisitorKeys) -> Gate:
    own = parts.settings
    _require(own, "jwt_issuer", "jwt_audience", "jwt_jwks_url")
    from shared.access.jwt import ReaderTokens
    from shared.access.modes import TokenGate
    from shared.adapters.jwks import issuer_tokens

    verifier = issuer_tokens(parts.http, own.jwt_jwks_url, time.monotonic)
    tokens = ReaderTokens(verifier, own.jwt_issuer, own.jwt_audience, time.time)
    return TokenGate(tokens, visitors, own.rate_limit_requests)


def _require(own: Settings, *names: str) -> None:
    missing = [name.upper() for name in names if not getattr(own, name)]
    if missing:
        raise SettingsError([f"LECTERN_{name} is missing: access_mode is jwt" for name in missing])
