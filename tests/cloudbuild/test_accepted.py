"""cloudbuild.yaml as its schema, the real gcloud and the real audit take it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "cloudbuild.yaml"
TOOLS = ROOT / ".venv-tools" / "bin"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@contextmanager
def answering(answer: Callable[[str, Any], Any]) -> Iterator[str]:
    """A server on this machine that answers each POST by ``answer(path, body)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            reply = json.dumps(answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


# ---- The schema


def schema_says(file: Path) -> subprocess.CompletedProcess[str]:
    assert (TOOLS / "check-jsonschema").exists(), "`make .venv-tools/.ready` installs what is missing"
    command = [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.cloudbuild", file]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_schema_is_kept(tmp_path: Path) -> None:
    """A key of the wrong kind would be met when a release begins; a check must find one to prove anything."""
    assert schema_says(FILE).returncode == 0
    wrong = yaml.safe_load(FILE.read_text()) | {"steps": [{"name": "a", "script": 3}]}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    assert schema_says(tmp_path / "wrong.yaml").returncode == 1


# ---- gcloud

BUILD = "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata"


def submitted(file: Path, home: Path) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    """What the real gcloud says, and the builds that it sent."""
    assert shutil.which("gcloud"), "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
    sent: list[Any] = []

    def accept(_path: str, body: Any) -> Any:
        sent.append(body)
        build = {"id": "b1", "status": "QUEUED", "projectId": "p", "logUrl": "http://127.0.0.1/"}
        return {"name": "operations/build/p/b1", "metadata": {"@type": BUILD, "build": build}}

    with answering(accept) as url:
        environ = {
            **os.environ,
            "CLOUDSDK_CONFIG": str(home),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_PROJECT": "p",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"{url}/",
        }
        command = ["gcloud", "builds", "submit", "--no-source", "--async", "--config", str(file)]
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=200, check=False
        ), sent


def test_gcloud_accepts_the_file_and_sends_all_of_it(tmp_path: Path) -> None:
    """A step would be left out, or the whole file refused, when somebody releases by hand."""
    done, sent = submitted(FILE, tmp_path)
    assert done.returncode == 0, done.stderr
    [build] = sent
    written = yaml.safe_load(FILE.read_text())
    assert [step["id"] for step in build["steps"]] == [step["id"] for step in written["steps"]]
    assert build["substitutions"]["_ENVIRONMENT"] == "staging"
    assert build["timeout"] == "14400s"
    assert [one["env"] for one in build["availableSecrets"]["secretManager"]] == [
        "DATABASE_URL",
        "QDRANT_API_KEY",
    ]


def test_gcloud_refuses_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    """The test above would pass for a file whose keys mean nothing."""
    (tmp_path / "wrong.yaml").write_text(FILE.read_text().replace("\ntimeout:", "\ntimeouts:"))
    done, sent = submitted(tmp_path / "wrong.yaml", tmp_path)
    assert done.returncode == 1
    assert ".timeouts: unused" in done.stderr
    assert sent == []


# ---- The audit


def audit(answer: Callable[[str, Any], Any]) -> subprocess.CompletedProcess[str]:
    with answering(answer) as url:
        return subprocess.run(
            ["make", "--no-print-directory", "audit", f"ARGS=--osv-url {url}/v1/query"],
            cwd=ROOT,
            env={**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def test_the_audit_asks_about_everything_that_ships_and_ends_the_build() -> None:
    """A package with a known hole would be released: not asked about, or found in vain."""
    asked: dict[str, str] = {}

    def clean(_path: str, body: Any) -> Any:
        asked[body["package"]["name"]] = body["version"]
        return {}

    done = audit(clean)
    assert done.returncode == 0, done.stderr
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split(" ")[0].split("==") for line in lines if "==" in line and line[0].isalnum())
    assert asked == pinned

    hole = {
        "id": "GHSA-test",
        "modified": "2026-01-01T00:00:00Z",
        "published": "2026-01-01T00:00:00Z",
        "summary": "a hole",
        "details": "a hole",
        "affected": [
            {"package": {"ecosystem": "PyPI", "name": "httpx"}, "versions": [pinned["httpx"]], "ranges": []}
        ],
    }
    done = audit(lambda _path, body: {"vulns": [hole]} if body["package"]["name"] == "httpx" else {})
    assert done.returncode != 0
    assert "GHSA-test" in done.stdout
