"""The keys of an identity provider (RFC 7517), so that readers' tokens can be verified.

google-auth verifies the signatures: it ships already, and its decoder costs no more than another library's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters.google_tokens import Certificates, GoogleCertificates, GoogleTokens
from shared.errors import Garbled

_SERVICE = "identity-provider"
_FETCH = "fetch keys"
_ALGORITHMS = frozenset({"RS256", "ES256"})
_LEAST_BITS = 2048


def issuer_tokens(client: httpx.Client, jwks_url: str, clock: Callable[[], float]) -> GoogleTokens:
    """A :class:`~shared.access.oidc.TokenVerifier` for tokens that a key of ``jwks_url`` signed, with RS256
    or ES256; the keys are fetched and kept as Google's are. ``clock`` is monotonic seconds.
    """
    return GoogleTokens(
        GoogleCertificates(client, endpoint=jwks_url, clock=clock, parse=parse_jwks), _ALGORITHMS
    )


def parse_jwks(body: bytes) -> Certificates:
    """Public keys in PEM by key id. Keys for encryption, of other kinds or without an id are passed over.

    Raises :class:`~shared.errors.Garbled` when that leaves none.
    """
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(_SERVICE, _FETCH, "the answer is no JSON Web Key Set") from error
    found = {}
    for one in listed if isinstance(listed, list) else []:
        key_id = one.get("kid") if isinstance(one, dict) else None
        pem = _pem(one) if isinstance(key_id, str) and one.get("use", "sig") == "sig" else None
        if pem:
            found[str(key_id)] = pem
    if not found:
        raise Garbled(_SERVICE, _FETCH, "the answer holds no key for RS256 or ES256 signatures")
    return found


def _pem(key: Mapping[str, Any]) -> str | None:
    try:
        public = _public_key(key)
    except (KeyError, TypeError, ValueError):
        return None
    if public is None:
        return None
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _public_key(key: Mapping[str, Any]) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | None:
    if key.get("kty") == "RSA":
        made = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
        return made if made.key_size >= _LEAST_BITS else None
    if key.get("kty") == "EC" and key.get("crv") == "P-256":
        return ec.EllipticCurvePublicNumbers(
            _number(key["x"]), _number(key["y"]), ec.SECP256R1()
        ).public_key()
    return None


def _number(text: str) -> int:
    """An unsigned number in base64url (RFC 7518, section 2)."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
