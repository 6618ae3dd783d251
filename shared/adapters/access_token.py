"""Access tokens for Google's APIs, without an SDK where the metadata server has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from shared.errors import AccessDenied, Garbled, TimedOut, Unreachable
from shared.resilience.deadline import Clock, Deadline

TokenProvider = Callable[[Deadline], str]
"""A bearer token that is valid now; empty for anonymous calls. Raises ``AccessDenied``,
``Unreachable``, ``TimedOut`` or ``Garbled``."""

METADATA_URL = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
STORAGE_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"

_SERVICE = "google-token"
_MARGIN_SECONDS = 120.0  # the metadata server hands out a new one 5 minutes before the old one ends
_MOST_SECONDS = 10.0
_HINT = "Run it on Google Cloud with a service account, or give credentials."


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float


class MetadataToken:
    """The token of the service account that Cloud Run or Compute Engine runs this as, kept until it ends.

    Protocol: https://cloud.google.com/docs/authentication/rest#metadata-server.
    """

    def __init__(
        self, client: httpx.Client, *, url: str = METADATA_URL, clock: Clock = time.monotonic
    ) -> None:
        self._url = url
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._ends = 0.0

    def __call__(self, deadline: Deadline) -> str:
        with self._lock:
            if self._clock() >= self._ends - _MARGIN_SECONDS:
                found = self._fetch(deadline)
                self._token, self._ends = found.access_token, self._clock() + found.expires_in
            return self._token

    def _fetch(self, deadline: Deadline) -> _Token:
        seconds = deadline.timeout(_MOST_SECONDS, attempted="a token from the metadata server")
        try:
            answer = self._client.get(self._url, headers={"Metadata-Flavor": "Google"}, timeout=seconds)
        except httpx.TimeoutException as error:
            raise TimedOut(_SERVICE, "fetch", "the metadata server did not answer", hint=_HINT) from error
        except httpx.HTTPError as error:
            raise Unreachable(_SERVICE, "fetch", f"metadata server: {error}", hint=_HINT) from error
        if answer.status_code != httpx.codes.OK:
            kind = AccessDenied if answer.is_client_error else Unreachable
            raise kind(_SERVICE, "fetch", f"the metadata server answered {answer.status_code}", hint=_HINT)
        try:
            return msgspec.json.decode(answer.content, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled(
                _SERVICE, "fetch", "the metadata server's answer has no token", hint=_HINT
            ) from error


class DefaultCredentialsToken:
    """The token of Application Default Credentials (a key file, or ``gcloud auth application-default``).

    Loads google-auth on first use.
    """

    def __init__(self, *, scope: str = STORAGE_SCOPE) -> None:
        self._scope = scope
        self._lock = threading.Lock()
        self._credentials: Any = None

    def __call__(self, deadline: Deadline) -> str:
        import google.auth
        from google.auth import exceptions

        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials, _ = google.auth.default(scopes=[self._scope])
                if not self._credentials.valid:
                    self._credentials.refresh(_transport(deadline))
            except exceptions.TransportError as error:
                raise Unreachable(_SERVICE, "fetch", str(error), hint=_HINT) from error
            except exceptions.GoogleAuthError as error:
                raise AccessDenied(_SERVICE, "fetch", str(error), hint=_HINT) from error
            return str(self._credentials.token)


def _transport(deadline: Deadline) -> Callable[..., Any]:
    from google.auth.transport.requests import Request

    request = Request()

    def send(*args: Any, **options: Any) -> Any:
        seconds = deadline.timeout(_MOST_SECONDS, attempted="a token for Google's APIs")
        return request(*args, **{**options, "timeout": seconds})

    return send
