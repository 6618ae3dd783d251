"""Who may ask questions: one of four modes, chosen by a setting and never by what a request says.

``public``    anyone, from the listed sites, with a limit a visitor
``key``       callers with an API key, with the key's own limit
``jwt``       readers with a token of the site's identity provider, with a limit a subject
``platform``  whoever Cloud Run's IAM check lets through, with a limit a caller. It verified the token, whose
              claims are read here for the limit alone. Unsafe without IAM in front.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from shared.access.jwt import ReaderTokens
from shared.access.keys import KeyRing
from shared.access.limits import per_minute
from shared.access.oidc import InvalidToken, unverified_claims
from shared.access.visitors import VisitorKeys, client_address
from shared.errors import RequestError
from shared.ports import Allowance
from shared.resilience.deadline import Deadline

MODES = ("public", "key", "jwt", "platform")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who may ask: ``bucket`` names the limit, and tells nothing of the person."""

    bucket: str
    allowance: Allowance


class Gate(Protocol):
    """Lets a request in, or raises."""

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:
        """The caller of a request; ``headers`` has lower-case names, ``remote`` is the peer's address.

        Raises :class:`~shared.errors.RequestError` 401 or 403, 503 when it cannot be decided; a
        :class:`~shared.errors.DependencyError` when an identity provider's keys cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class PublicGate:
    """``trusted_proxies`` and ``balancer``: see :func:`~shared.access.visitors.client_address`."""

    origins: Collection[str]
    visitors: VisitorKeys
    requests_per_minute: int
    trusted_proxies: int
    balancer: str = ""

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:  # noqa: ARG002
        check_origin(headers, self.origins)
        forwarded_for = headers.get("x-forwarded-for", "")
        address = client_address(remote, forwarded_for, self.trusted_proxies, self.balancer)
        return Caller(self.visitors.key("visitor", address), per_minute(self.requests_per_minute))


@dataclass(frozen=True, slots=True)
class KeyGate:
    """The key stands in ``X-Api-Key``, or as bearer token."""

    ring: KeyRing

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:  # noqa: ARG002
        found = self.ring.find(headers.get("x-api-key", "").strip() or bearer(headers), deadline)
        return Caller(f"key:{found.id}", per_minute(found.requests_per_minute))


@dataclass(frozen=True, slots=True)
class TokenGate:
    """A token of the site's identity provider, as bearer token."""

    tokens: ReaderTokens
    visitors: VisitorKeys
    requests_per_minute: int

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:  # noqa: ARG002
        subject = self.tokens.subject(bearer(headers), deadline)
        return Caller(self.visitors.key("subject", subject), per_minute(self.requests_per_minute))


@dataclass(frozen=True, slots=True)
class PlatformGate:
    """A token that Cloud Run checked."""

    visitors: VisitorKeys
    requests_per_minute: int

    def admit(self, headers: Mapping[str, str], remote: str, deadline: Deadline) -> Caller:  # noqa: ARG002
        # When both are sent Cloud Run checks this one alone, and the other could say anything.
        token = bearer(headers, "x-serverless-authorization") or bearer(headers)
        try:
            subject = unverified_claims(token).get("sub")
        except InvalidToken:
            subject = None
        if not isinstance(subject, str) or not subject:
            raise _not_checked()
        return Caller(self.visitors.key("caller", subject), per_minute(self.requests_per_minute))


def bearer(headers: Mapping[str, str], name: str = "authorization") -> str:
    """The bearer token of a request; empty when there is none."""
    scheme, _, token = headers.get(name, "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_origin(headers: Mapping[str, str], origins: Collection[str]) -> None:
    """Refuse (403) a browser on a page of another site than the listed ones and our own.

    CORS alone would let such a page ask, at the operator's cost, and only keep the answer from it.
    """
    origin = headers.get("origin", "")
    if not origin or origin in origins:
        return
    if urlsplit(origin).netloc == headers.get("host", ""):
        return
    raise RequestError(
        403,
        "origin_not_allowed",
        "Pages of this site may not ask here.",
        hint="Add the site's origin to the setting allowed_origins.",
    )


def _not_checked() -> RequestError:
    return RequestError(
        401,
        "unauthenticated",
        "This service answers only callers whose identity token Cloud Run checked.",
        hint="Send Authorization: Bearer <identity token>.",
        headers={"WWW-Authenticate": "Bearer"},
    )
