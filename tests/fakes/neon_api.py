"""Neon's API, as far as branches are listed and made.

After https://api-docs.neon.tech/reference/createprojectbranch: 201 with the branch and its operations, 401
for a wrong key, 404 for a project or parent that is not there, 409 for a name that is taken, 422 when the
plan allows no more branches, 423 while an operation runs.
"""

from __future__ import annotations

import itertools
from typing import Any

from tests.fakes.served import Asked, FakeApi


class FakeNeonApi(FakeApi):
    """One project ``prj`` with the branch ``br-main``. ``locked`` answers so many calls with 423;
    ``garble`` answers the next one with these bytes.
    """

    def __init__(self, key: str = "k", most: int = 10) -> None:
        super().__init__()
        self.key = key
        self.most = most
        self.locked = 0
        self.garble: bytes | None = None
        self.branches: list[dict[str, Any]] = [{"id": "br-main", "name": "main", "default": True}]
        self.url = f"{self.endpoint}/api/v2"
        self._numbers = itertools.count(1)

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("Authorization") != f"Bearer {self.key}":
            return 401, {"code": "", "message": "supplied credentials do not pass authentication"}
        if asked.path != "/api/v2/projects/prj/branches":
            return 404, {"code": "", "message": "project not found"}
        if self.locked:
            self.locked -= 1
            return 423, {"code": "", "message": "project already has running conflicting operations"}
        if self.garble is not None:
            data, self.garble = self.garble, None
            return 200, data
        if asked.method == "GET":
            wanted = asked.query.get("search", "")
            return 200, {"branches": [each for each in self.branches if wanted in each["name"]]}
        return self._made(asked.body()["branch"])

    def _made(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        parent = wanted.get("parent_id", "br-main")
        if parent not in {each["id"] for each in self.branches}:
            return 404, {"code": "", "message": "parent branch not found"}
        if wanted["name"] in {each["name"] for each in self.branches}:
            return 409, {"code": "", "message": "branch with this name already exists"}
        if len(self.branches) >= self.most:
            return 422, {"code": "BRANCHES_LIMIT_EXCEEDED", "message": "branches limit exceeded"}
        branch = {**wanted, "id": f"br-{next(self._numbers)}", "parent_id": parent, "current_state": "init"}
        self.branches.append(branch)
        return 201, {"branch": branch, "endpoints": [], "operations": [{"action": "create_branch"}]}
