"""Readers with a token of the site's own identity provider (OpenID Connect).

Source: RFC 7519, "JSON Web Token"; OpenID Connect Core 1.0, section 3.1.3.7 (what to check).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.access.oidc import InvalidToken, TokenVerifier
from shared.errors import RequestError
from shared.resilience.deadline import Deadline

_SKEW_SECONDS = 30
_LONGEST_TOKEN = 8192
_LONGEST_SUBJECT = 255  # OpenID Connect Core 1.0, section 2


@dataclass(frozen=True, slots=True)
class ReaderTokens:
    """Accepts tokens that ``verifier`` finds signed, of ``issuer`` and for ``audience``. ``now``: Unix
    seconds.
    """

    verifier: TokenVerifier
    issuer: str
    audience: str
    now: Callable[[], float]

    def subject(self, token: str, deadline: Deadline) -> str:
        """Whom the token is about.

        Raises :class:`~shared.errors.RequestError` 401 for a token that cannot be trusted, and the
        verifier's :class:`~shared.errors.DependencyError` when the keys cannot be had.
        """
        if not token or len(token) > _LONGEST_TOKEN:
            raise _refused("there is none, or it is too long")
        try:
            return self._judged(self.verifier.claims(token, deadline))
        except InvalidToken as error:
            raise _refused(str(error)) from None

    def _judged(self, claims: Mapping[str, Any]) -> str:
        if claims.get("iss") != self.issuer:
            raise InvalidToken("another issuer made it")
        audience = claims.get("aud")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken("it is meant for another service")
        self._check_times(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise InvalidToken("it names no subject")
        return subject

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self.now()
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        for value in (expires, begins):
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise InvalidToken("its times cannot be read")
        # Written so that a NaN is refused.
        if not expires >= now - _SKEW_SECONDS:  # type: ignore[operator]
            raise InvalidToken("it has expired")
        if not begins <= now + _SKEW_SECONDS:
            raise InvalidToken("it is not valid yet")


def _refused(reason: str) -> RequestError:
    return RequestError(
        401,
        "unauthenticated",
        f"The token was refused: {reason}.",
        hint="Send Authorization: Bearer <token> of the configured issuer.",
        headers={"WWW-Authenticate": "Bearer"},
    )
