"""The implementations of the object store that the contract runs on, and how a child process makes one."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth.credentials
import httpx

from shared.embedded.folder import FolderStore
from shared.ports import ObjectInfo, ObjectStore
from shared.resilience.deadline import Deadline
from tests.fakes.gcs import FakeGcs

CHUNK = 512 * 1024
FAKES = ("gcs", "gcs_http")
CHILD = """
import json, sys
from shared.resilience.deadline import Deadline
from tests.contract.object_store_subjects import open_store
store, deadline = open_store(json.loads(sys.argv[1])), Deadline.after(60)
"""


class Bearer(google.auth.credentials.Credentials):
    """Credentials with a fixed token that cannot be renewed."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

    def refresh(self, request: Any) -> None:  # noqa: ARG002
        raise google.auth.exceptions.RefreshError("the fixed token was refused")


def open_store(spec: dict[str, Any]) -> ObjectStore:
    """A store by its description, so that another process can open the same one."""
    kind, where = spec["kind"], spec["where"]
    if kind == "folder":
        return FolderStore(Path(where), keep_versions=spec.get("versions", False))
    token = spec.get("token", "")
    if kind == "gcs":
        from shared.adapters.gcs import GcsStore

        credentials = Bearer(token) if token else None
        endpoint = spec.get("endpoint")
        return GcsStore(where, endpoint=endpoint, credentials=credentials, chunk_bytes=CHUNK)
    from shared.adapters.access_token import DefaultCredentialsToken
    from shared.adapters.gcs_http import GcsHttpStore

    if "endpoint" not in spec:
        return GcsHttpStore(where, token=DefaultCredentialsToken(), chunk_bytes=CHUNK)
    provider = (lambda _: token) if token else None
    # The fake speaks plain HTTP: no certificates to load for each test.
    client = httpx.Client(trust_env=False, verify=False)
    endpoint = spec["endpoint"]
    return GcsHttpStore(where, endpoint=endpoint, token=provider, chunk_bytes=CHUNK, client=client)


@dataclass
class Subject:
    """A store under test: ``spec`` opens another handle on it; ``prefix`` keeps to its own names."""

    store: ObjectStore
    spec: dict[str, Any]
    prefix: str = ""
    fake: FakeGcs | None = None

    def name(self, name: str) -> str:
        return self.prefix + name

    def names(self, prefix: str = "") -> list[str]:
        return [info.name.removeprefix(self.prefix) for info in self.infos(prefix)]

    def infos(self, prefix: str = "") -> list[ObjectInfo]:
        return list(self.store.list(self.prefix + prefix, Deadline.after(30)))

    def child(self, code: str, *arguments: str) -> subprocess.Popen[str]:
        """A Python process with ``store`` and ``deadline``."""
        command = [sys.executable, "-c", CHILD + code, json.dumps(self.spec), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


@contextmanager
def subject(kind: str, folder: Path, *, versioning: bool = False) -> Iterator[Subject]:
    """``folder``, ``gcs`` or ``gcs_http`` before the fake, or ``gcs:gs://bucket`` for a real one."""
    kind, _, real = kind.partition(":")
    if real:
        spec = {"kind": kind, "where": real.removeprefix("gs://")}
        prefix = f"contract-test/{uuid.uuid4().hex}/"
        store = open_store(spec)
        try:
            yield Subject(store, spec, prefix)
        finally:
            for info in list(store.list(prefix, Deadline.after(60))):
                store.delete(info.name, Deadline.after(30))
            store.close()  # type: ignore[attr-defined]
    elif kind == "folder":
        spec = {"kind": kind, "where": str(folder / "bucket"), "versions": versioning}
        yield Subject(open_store(spec), spec)
    else:
        with FakeGcs(versioning=versioning, page_size=3) as fake:
            spec = {"kind": kind, "where": fake.bucket.name, "endpoint": fake.endpoint}
            store = open_store(spec)
            yield Subject(store, spec, fake=fake)
            store.close()  # type: ignore[attr-defined]
