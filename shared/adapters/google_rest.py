"""How Google's clients are made that speak REST: to Google, or to a stand-in."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import AnonymousCredentials


def transport_options(endpoint: str, credentials: Any) -> dict[str, Any]:
    """Options of a REST transport; ``endpoint`` is for another address than Google's, anonymous unless
    ``credentials`` are given, and over its own scheme.
    """
    if not endpoint:
        return {"credentials": credentials}
    scheme, _, host = endpoint.partition("://")
    return {"host": host, "url_scheme": scheme, "credentials": credentials or AnonymousCredentials()}
