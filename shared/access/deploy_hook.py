"""Who may start an ingestion without an identity token: a site's deploy hook, by a key of its own."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from shared.errors import RequestError

HEADER = "x-deploy-key"
NAME = "deploy-hook"
"""Stands for the caller in the log."""


class DeployHook:
    """Knows the key. It opens this one door: no question, no backup, no drill.

    Digests are compared, in constant time: how long a refusal takes tells neither the key's letters nor its
    length.
    """

    def __init__(self, key: str) -> None:
        self._digest = _digest(key)

    def opens(self, headers: Mapping[str, str]) -> bool:
        """Whether the request brings the key; False when it brings none. ``headers`` has lower-case names.

        Raises :class:`~shared.errors.RequestError` 401 for a wrong one.
        """
        given = headers.get(HEADER, "")
        if not given:
            return False
        if hmac.compare_digest(_digest(given), self._digest):
            return True
        raise RequestError(
            401,
            "unauthenticated",
            "The deploy key is not the one of this service.",
            hint="Send the value of the setting deploy_hook_key in the header X-Deploy-Key.",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
