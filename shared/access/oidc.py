"""Who may start the internal functions: Cloud Scheduler and our own functions, by OIDC identity token.

Source: Cloud Run, "Service-to-service authentication"; Google, "OpenID Connect" (the claims of an ID token).

The mode is a setting and never taken from the token:

``platform``
    Cloud Run's IAM check stands in front (``--no-allow-unauthenticated``). It verified the signature and
    ``run.invoker``, and replaced the signature, so that nobody can verify it again. The claims are still
    checked: IAM lets every invoker of the project in, this list names the ones meant. A request without a
    token did not pass such a check, so it is refused. Unsafe without IAM in front: anyone can write an
    unsigned token.
``verify``
    Nothing stands in front; the signature is verified here with Google's certificates.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

import msgspec

from shared.errors import RequestError, SettingsError
from shared.resilience.deadline import Deadline

Mode = Literal["platform", "verify"]
Claims = Mapping[str, Any]

ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_SKEW_SECONDS = 30
_LONGEST_TOKEN = 8192
_REMOVED = ".SIGNATURE_REMOVED_BY_GOOGLE"


class TokenVerifier(Protocol):
    """Turns a signed token into its claims."""

    def claims(self, token: str, deadline: Deadline) -> Claims:
        """The claims of a token whose signature is right.

        Raises :class:`InvalidToken` for a token that is malformed, expired or not signed by a known key, and
        a :class:`~shared.errors.DependencyError` when the certificates cannot be had.
        """
        ...


class InvalidToken(Exception):
    """The token cannot be trusted. The reason is for the answer and never quotes the token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An internal caller whose token was accepted."""

    email: str


class CallerCheck:
    """Decides whether a request comes from one of ``allowed_emails`` and is meant for ``audience``.

    ``clock`` gives Unix seconds. ``verifier`` is needed in mode ``verify`` alone.
    Raises :class:`~shared.errors.SettingsError` for a check that could not refuse anybody.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        audience: str,
        allowed_emails: Collection[str],
        verifier: TokenVerifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        problems = _problems(mode, audience, allowed_emails, verifier)
        if problems:
            raise SettingsError(problems)
        self._mode = mode
        self._audience = audience
        self._allowed = frozenset(email.lower() for email in allowed_emails)
        self._verifier = verifier
        self._clock = clock

    def check(self, headers: Mapping[str, str], deadline: Deadline) -> Caller:
        """The caller of a request; ``headers`` has lower-case names.

        Raises :class:`~shared.errors.RequestError` 401 without a token or with one that cannot be trusted,
        403 for a good token of the wrong caller or for another service; the verifier's
        :class:`~shared.errors.DependencyError` when the certificates cannot be had.
        """
        token = self._token(headers)
        try:
            return self._judge(self._claims(token, deadline))
        except InvalidToken as error:
            raise _unauthenticated(f"The identity token was refused: {error}.") from None

    def _token(self, headers: Mapping[str, str]) -> str:
        name = "authorization"
        # When both are sent Cloud Run checks this one alone, and the other could say anything.
        if self._mode == "platform" and "x-serverless-authorization" in headers:
            name = "x-serverless-authorization"
        scheme, _, token = headers.get(name, "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthenticated("This function answers only callers with an identity token.")
        return token.strip()

    def _claims(self, token: str, deadline: Deadline) -> Claims:
        if len(token) > _LONGEST_TOKEN:
            raise InvalidToken("it is longer than any identity token")
        if self._verifier is None or self._mode == "platform":
            return unverified_claims(token)
        if token.endswith(_REMOVED):
            raise InvalidToken(
                "Cloud Run checked it and took its signature away; set caller_mode to platform"
            )
        return self._verifier.claims(token, deadline)

    def _judge(self, claims: Claims) -> Caller:
        if claims.get("iss") not in ISSUERS:
            raise InvalidToken("Google did not issue it")
        _check_times(claims, self._clock())
        if claims.get("aud") != self._audience:
            raise _forbidden("The identity token is meant for another service.", self._audience)
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise _forbidden("The identity token names no verified e-mail address.", self._audience)
        if email.lower() not in self._allowed:
            raise _forbidden("This service account may not call this function.", self._audience)
        return Caller(email.lower())


def unverified_claims(token: str) -> Claims:
    """The claims as they stand in the token; only for a token that was verified before it came here."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise InvalidToken("it does not have three parts")
    try:
        text = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise InvalidToken("its claims cannot be read") from None


def _check_times(claims: Claims, now: float) -> None:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not _is_time(issued) or not _is_time(expires):
        raise InvalidToken("it does not say when it was issued and when it expires")
    # Written so that a NaN, which Python's own JSON reader lets in, is refused.
    if not issued <= now + _SKEW_SECONDS:
        raise InvalidToken("it was issued in the future")
    if not expires >= now - _SKEW_SECONDS:
        raise InvalidToken("it has expired")


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _problems(
    mode: str, audience: str, allowed_emails: Collection[str], verifier: TokenVerifier | None
) -> list[str]:
    found = []
    if mode not in {"platform", "verify"}:
        found.append(f"caller_mode is {mode!r}; expected platform or verify")
    if not audience:
        found.append("caller_audience is empty; expected this service's URL")
    if not allowed_emails or not all(allowed_emails):
        found.append("caller_emails is empty; expected the service accounts that may call")
    if mode == "verify" and verifier is None:
        found.append(
            "caller_mode is verify, and there is nothing to verify with; expected a certificate source"
        )
    return found


def _unauthenticated(message: str) -> RequestError:
    return RequestError(
        401,
        "unauthenticated",
        message,
        hint="Send Authorization: Bearer <identity token> of an allowed service account.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _forbidden(message: str, audience: str) -> RequestError:
    hint = f"Use an allowed service account, with the audience {audience}; see the setting caller_emails."
    return RequestError(403, "forbidden", message, hint=hint)
