"""Google's identity tokens: signatures verified with Google's certificates, which are kept and renewed.

Source: https://www.googleapis.com/oauth2/v1/certs, a JSON object of key id to X.509 certificate in PEM, with
its life time in Cache-Control; keys rotate about once a week, and a new one is published before it is used.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import msgspec
from google.auth import exceptions, jwt

from shared.access.oidc import Claims, InvalidToken
from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Interrupted,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.resilience.deadline import Deadline

GOOGLE_CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
_SERVICE = "identity-provider"
_FETCH = "fetch certificates"
_FETCH_SECONDS = 5.0
_LARGEST_ANSWER = 256 * 1024
_DEFAULT_LIFE = 3600.0
_LONGEST_LIFE = 24 * 3600.0
_SKEW_SECONDS = 30
_MAX_AGE = re.compile(r"max-age=(\d{1,9})", re.ASCII | re.IGNORECASE)

Certificates = Mapping[str, str]
Parse = Callable[[bytes], Certificates]
# google.auth ships no types.
_decode: Callable[..., Claims] = jwt.decode
_decode_header: Callable[[str], Mapping[str, object]] = jwt.decode_header


@dataclass(frozen=True, slots=True)
class _Kept:
    certificates: Certificates
    fresh_until: float


class GoogleCertificates:
    """Certificates by key id, fetched when they are first needed, too old, or lack a key that was asked for.

    ``floor_seconds`` is the shortest time between two fetches, so that tokens with made-up key ids cannot
    make us call Google for each. When a fetch fails, certificates that are up to ``grace_seconds`` past their
    life serve on. ``clock`` is monotonic seconds. ``parse`` makes PEM texts by key id of the answer's body.
    """

    def __init__(
        self,
        client: httpx.Client | None = None,
        *,
        endpoint: str = GOOGLE_CERTIFICATES,
        floor_seconds: float = 30.0,
        grace_seconds: float = 24 * 3600.0,
        clock: Callable[[], float] = time.monotonic,
        parse: Parse | None = None,
    ) -> None:
        self._client = client or httpx.Client()
        self._parse = parse or _parse
        self._endpoint = endpoint
        self._floor = floor_seconds
        self._grace = grace_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: _Kept | None = None
        self._last_try: float | None = None
        self._last_error: DependencyError | None = None

    def for_key(self, key_id: str, deadline: Deadline) -> Certificates:
        """All certificates, fetched anew if ``key_id`` is not among them and the floor allows it.

        Raises ``Unreachable``, ``TimedOut``, ``Overloaded``, ``Throttled``, ``Garbled``, ``Interrupted``,
        ``AccessDenied`` or ``Rejected`` when there are none that may still serve.
        """
        kept = self._kept
        if kept and key_id in kept.certificates and self._clock() < kept.fresh_until:
            return kept.certificates
        wait = deadline.timeout(_FETCH_SECONDS, attempted="fetching Google's certificates")
        if not self._lock.acquire(timeout=wait):
            return self._serve_on(
                key_id, TimedOut(_SERVICE, _FETCH, f"another request is still fetching after {wait:.1f} s")
            )
        try:
            return self._renewed(key_id, deadline)
        finally:
            self._lock.release()

    def _renewed(self, key_id: str, deadline: Deadline) -> Certificates:
        kept, now = self._kept, self._clock()
        if kept and key_id in kept.certificates and now < kept.fresh_until:  # another thread was first
            return kept.certificates
        if self._last_try is not None and now - self._last_try < self._floor:
            return self._serve_on(key_id, self._last_error)
        self._last_try, self._last_error = now, None
        try:
            self._kept = _fetch(self._client, self._endpoint, deadline, now, self._parse)
        except DependencyError as error:
            self._last_error = error
            return self._serve_on(key_id, error)
        return self._kept.certificates

    def _serve_on(self, key_id: str, error: DependencyError | None) -> Certificates:
        """What is kept; but ``error``, if there was one, when that is too old or lacks the key."""
        kept = self._kept
        if error is None:
            return kept.certificates if kept else {}
        if kept and key_id in kept.certificates and self._clock() < kept.fresh_until + self._grace:
            return kept.certificates
        raise error


class GoogleTokens:
    """Verifies the signature of identity tokens; implements :class:`~shared.access.oidc.TokenVerifier`."""

    def __init__(
        self, certificates: GoogleCertificates, algorithms: frozenset[str] = frozenset({"RS256"})
    ) -> None:
        self._certificates = certificates
        self._algorithms = algorithms

    def claims(self, token: str, deadline: Deadline) -> Claims:
        """The claims of a token that a known key signed and that has not expired."""
        certificates = self._certificates.for_key(_key_id(token, self._algorithms), deadline)
        try:
            claims: Claims = _decode(token, certs=dict(certificates), clock_skew_in_seconds=_SKEW_SECONDS)
        except (exceptions.GoogleAuthError, ValueError, TypeError, OverflowError, RecursionError):
            # The library's messages quote the token; nothing of it may reach an answer or a log.
            raise InvalidToken("its signature or its time is wrong") from None
        return claims


def _key_id(token: str, algorithms: frozenset[str]) -> str:
    try:
        header = _decode_header(token)
        key_id, algorithm = header.get("kid"), header.get("alg")
    except (exceptions.GoogleAuthError, ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidToken("it is not a JSON web token") from None
    if not (isinstance(algorithm, str) and algorithm in algorithms and isinstance(key_id, str)):
        raise InvalidToken("it is not signed with a key of its issuer")
    return key_id


def _fetch(client: httpx.Client, endpoint: str, deadline: Deadline, now: float, parse: Parse) -> _Kept:
    within = deadline.within(_FETCH_SECONDS)
    timeout = within.timeout(_FETCH_SECONDS, attempted="fetching Google's certificates")
    try:
        with client.stream("GET", endpoint, timeout=timeout) as response:
            _expect_ok(response)
            body = _read(response, within)
            life = _life(response.headers)
    except httpx.TimeoutException as error:
        raise TimedOut(_SERVICE, _FETCH, f"no answer within {timeout:.1f} s") from error
    except httpx.ConnectError as error:
        raise Unreachable(_SERVICE, _FETCH, str(error)) from error
    except httpx.DecodingError as error:
        raise Garbled(_SERVICE, _FETCH, "the answer cannot be decoded") from error
    except httpx.TransportError as error:
        raise Interrupted(_SERVICE, _FETCH, str(error) or "the connection was cut") from error
    return _Kept(parse(body), now + life)


def _read(response: httpx.Response, deadline: Deadline) -> bytes:
    """The body within its bounds; a server that trickles never runs into httpx's time-out for one read."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > _LARGEST_ANSWER:
            raise Garbled(_SERVICE, _FETCH, f"the answer is longer than {_LARGEST_ANSWER} bytes")
        if deadline.expired():
            raise TimedOut(_SERVICE, _FETCH, "the answer did not end in time")
    return b"".join(parts)


def _expect_ok(response: httpx.Response) -> None:
    status = response.status_code
    if status == httpx.codes.OK:
        return
    kinds: dict[int, type[DependencyError]] = {401: AccessDenied, 403: AccessDenied, 429: Throttled}
    kind = kinds.get(status, Overloaded if status >= httpx.codes.INTERNAL_SERVER_ERROR else Rejected)
    raise kind(_SERVICE, _FETCH, f"status {status}")


def _life(headers: httpx.Headers) -> float:
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    return min(float(found[1]), _LONGEST_LIFE) if found else _DEFAULT_LIFE


def _parse(body: bytes) -> Certificates:
    try:
        certificates = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(_SERVICE, _FETCH, "the answer is not an object of certificates") from error
    if not certificates or not all("BEGIN CERTIFICATE" in pem for pem in certificates.values()):
        raise Garbled(_SERVICE, _FETCH, "the answer holds something else than certificates")
    return certificates
