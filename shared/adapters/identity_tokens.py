"""Identity tokens that open functions which are not public, from IAM Credentials.

After
https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken. The
caller acts as ``account``, itself included: builds have no metadata server that hands out identity tokens.
"""

from __future__ import annotations

import threading
import time

import httpx
import msgspec

from shared.adapters.access_token import TokenProvider
from shared.errors import AccessDenied, DependencyError, Garbled, Overloaded, Rejected, TimedOut, Unreachable
from shared.resilience.deadline import Clock, Deadline

SERVICE = "iam"
ENDPOINT = "https://iamcredentials.googleapis.com"
_MOST_SECONDS = 10.0
_KEPT_SECONDS = 1800.0  # a token lasts an hour
_SERVER_ERROR = 500
_HINT = "Give the caller roles/iam.serviceAccountOpenIdTokenCreator on {account}, and that run.invoker."


class _Answer(msgspec.Struct):
    token: str


class IdentityTokens:
    """``token`` gives the caller's access token; None is anonymous, for a stand-in."""

    def __init__(
        self,
        client: httpx.Client,
        account: str,
        *,
        token: TokenProvider | None,
        endpoint: str = ENDPOINT,
        clock: Clock = time.monotonic,
    ) -> None:
        self._client = client
        self._account = account
        self._token = token
        self._url = f"{endpoint}/v1/projects/-/serviceAccounts/{account}:generateIdToken"
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[str, float]] = {}

    def __call__(self, audience: str, deadline: Deadline) -> str:
        """A token for one audience, kept for half of its life.

        Raises ``AccessDenied``, ``Rejected``, ``Overloaded``, ``Unreachable``, ``TimedOut`` or ``Garbled``.
        """
        with self._lock:
            token, until = self._kept.get(audience, ("", 0.0))
            if self._clock() >= until:
                token = self._fetch(audience, deadline)
                self._kept[audience] = (token, self._clock() + _KEPT_SECONDS)
            return token

    def _fetch(self, audience: str, deadline: Deadline) -> str:
        headers = {"Authorization": f"Bearer {self._token(deadline)}"} if self._token else {}
        seconds = deadline.timeout(_MOST_SECONDS, attempted="an identity token")
        wanted = {"audience": audience, "includeEmail": True}
        try:
            answer = self._client.post(self._url, json=wanted, headers=headers, timeout=seconds)
        except httpx.TimeoutException as error:
            raise TimedOut(SERVICE, "make a token", "no answer", hint="Try again.") from error
        except httpx.HTTPError as error:
            raise Unreachable(SERVICE, "make a token", str(error), hint="Check the network.") from error
        if answer.status_code != httpx.codes.OK:
            detail = f"{self._account}: it answered {answer.status_code}"
            raise _kind(answer.status_code)(
                SERVICE, "make a token", detail, hint=_HINT.format(account=self._account)
            )
        try:
            return msgspec.json.decode(answer.content, type=_Answer).token
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Garbled(SERVICE, "make a token", "the answer has no token", hint="Try again.") from error


def _kind(status: int) -> type[DependencyError]:
    if status in {401, 403}:
        return AccessDenied
    return Overloaded if status >= _SERVER_ERROR else Rejected
