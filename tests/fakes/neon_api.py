"""Neon's API, as far as branches are listed and made.

After https://api-docs.neon.tech/reference/createprojectbranch: 201 with the branch and its operations, 401
for a wrong key, 404 for a project or parent that is not there, 409 for a name that is taken, 422 when the
plan allows no more branches, 423 while an operation runs.
"""

from __future__ import annotations

import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


class FakeNeonApi:
    """One project ``prj`` with the branch ``br-main``. ``locked`` answers so many calls with 423;
    ``garble`` answers the next one with these bytes.
    """

    def __init__(self, key: str = "k", most: int = 10) -> None:
        self.key = key
        self.most = most
        self.locked = 0
        self.garble: bytes | None = None
        self.branches: list[dict[str, Any]] = [{"id": "br-main", "name": "main", "default": True}]
        self._numbers = itertools.count(1)
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                token = self.headers.get("Authorization", "")
                status, answer = fake._answer(self.command, self.path, token, body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v2"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, Any]:
        address = urlsplit(target)
        if token != f"Bearer {self.key}":
            return 401, {"code": "", "message": "supplied credentials do not pass authentication"}
        if address.path != "/api/v2/projects/prj/branches":
            return 404, {"code": "", "message": "project not found"}
        if self.locked:
            self.locked -= 1
            return 423, {"code": "", "message": "project already has running conflicting operations"}
        if self.garble is not None:
            data, self.garble = self.garble, None
            return 200, data
        if method == "GET":
            wanted = parse_qs(address.query).get("search", [""])[0]
            return 200, {"branches": [each for each in self.branches if wanted in each["name"]]}
        return self._made(json.loads(body)["branch"])

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
