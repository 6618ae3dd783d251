"""Branches of a Neon project, as instant restore points beside a backup: copy-on-write, ready within seconds.

They never leave Neon, so they do not replace a backup. API: https://api-docs.neon.tech/reference/createprojectbranch
(and listprojectbranches); 423 is answered while another operation runs on the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import msgspec

from shared.errors import (
    AccessDenied,
    DependencyError,
    Garbled,
    Missing,
    Overloaded,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.resilience.deadline import Deadline

API = "https://console.neon.tech/api/v2"
SERVICE = "neon-api"
_MOST_SECONDS = 30.0
_KINDS: dict[int, type[DependencyError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: Missing,
    423: Overloaded,
    429: Throttled,
}
_HINTS: dict[type[DependencyError], str] = {
    AccessDenied: "Check NEON_API_KEY: it needs the right to make branches of the project.",
    Missing: "Check LECTERN_NEON_PROJECT and LECTERN_NEON_BRANCH.",
    Rejected: "Look at the limits of the project's plan: branches, and how long they are kept.",
}


class _Branch(msgspec.Struct):
    id: str
    name: str


class _Made(msgspec.Struct):
    branch: _Branch


class _Page(msgspec.Struct):
    branches: list[_Branch]


class NeonBranches:
    """Makes branches of the branch ``parent`` (empty: the project's default one).

    Errors: ``AccessDenied``, ``Missing``, ``Throttled``, ``Overloaded``, ``Rejected``, ``Unreachable``,
    ``TimedOut``, ``Garbled``.
    """

    def __init__(
        self, client: httpx.Client, api_key: str, project: str, parent: str = "", url: str = API
    ) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._branches = f"{url.rstrip('/')}/projects/{project}/branches"
        self._parent = parent

    def mark(self, name: str, until: datetime, deadline: Deadline) -> str:
        """A branch of this moment, without compute, that Neon removes at ``until``; its id. One that has the
        name already is the one.
        """
        found = self._call("GET", deadline, _Page, params={"search": name})
        for branch in found.branches:
            if branch.name == name:
                return str(branch.id)
        wanted = {"name": name, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if self._parent:
            wanted["parent_id"] = self._parent
        made = self._call("POST", deadline, _Made, body={"branch": wanted})
        return str(made.branch.id)

    def _call(
        self,
        method: str,
        deadline: Deadline,
        kind: type[Any],
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        seconds = deadline.timeout(_MOST_SECONDS, attempted="Neon's API")
        try:
            response = self._client.request(
                method, self._branches, params=params, json=body, headers=self._headers, timeout=seconds
            )
        except httpx.TimeoutException as error:
            raise TimedOut(
                SERVICE, "branch", f"no answer within {seconds:.1f} s", hint="Try again."
            ) from error
        except httpx.HTTPError as error:
            words = str(error) or "no connection"
            raise Unreachable(SERVICE, "branch", words, hint="Check the network.") from error
        if not response.is_success:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Garbled(SERVICE, "branch", "the answer is not understood", hint="Try again.") from error


def _refused(response: httpx.Response) -> DependencyError:
    status = response.status_code
    fallback = Overloaded if status >= httpx.codes.INTERNAL_SERVER_ERROR else Rejected
    kind = _KINDS.get(status, fallback)
    try:
        message = str(msgspec.json.decode(response.content)["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        message = "without a message"
    return kind(SERVICE, "branch", f"{status} {message}", hint=_HINTS.get(kind, "Try again."))
