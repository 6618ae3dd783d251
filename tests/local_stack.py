"""A real stack for tests: started once, filled with a small site, reached by settings as in production."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import httpx

from shared import settings
from shared.adapters.qdrant.admin import QdrantAdmin
from shared.ports import Point
from shared.resilience.deadline import Deadline
from shared.settings import ROOT, Settings
from shared.wiring import ingest
from shared.wiring.parts import Parts
from shared.wiring.stack import services

SECONDS = 30.0

ORCHARD = {
    "intro.md": """---
title: The orchard
---

The orchard sells apples, pears and quinces from August on.
""",
    "apples/picking.md": """---
title: Picking apples
---

## When to pick

Pick a Bramley when it comes off with a twist, in late September.

## How to store

Store apples at 3 degrees in the `cold_room`, never beside potatoes.

```bash
orchard store --room cold_room --degrees 3
```
""",
    "pears.md": """---
title: Pears
---

## Ripening

Pears ripen off the tree. Set `ripening_days` to 7 for Conference pears.

## Selling

Sell pears by weight at the gate.
""",
    "bees.mdx": """---
title: Bees
---
import X from './x';

## Hives

:::tip[Mind the wind]
Turn the hive's entrance away from the west wind.
:::
""",
}


def write_site(folder: Path, files: dict[str, str] = ORCHARD) -> Path:
    """The files as a folder of Markdown."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def filled_stack(home: Path, site: Path) -> Iterator[Settings]:
    """A running stack in which ``site`` is ingested; its settings name every service."""
    with services(settings.load({}, home=str(home), embedder="local")) as ready:
        ingest.run(ready.settings, site, "/docs")
        yield ready.settings


def environment(ready: Settings, **extra: str) -> dict[str, str]:
    """The environment of a function that uses the stack of ``ready``."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": ready.database_url,
        "QDRANT_URL": ready.qdrant_url,
        "STORAGE_BUCKET": ready.storage_bucket,
        **extra,
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def function(
    name: str, environ: dict[str, str], *, threads: int = 8, python: str = sys.executable
) -> Iterator[Served]:
    """One function under gunicorn, as Cloud Run starts it; a client at its address."""
    port = free_port()
    command = [python, "-m", "gunicorn", "--workers", "1", "--threads", str(threads)]
    # Preloaded as by functions-framework itself: the module is loaded, then the worker forked.
    command += ["--timeout", "0", "--preload"]
    command += ["--no-control-socket", "--bind", f"127.0.0.1:{port}", "functions_framework:create_app()"]
    source = {"FUNCTION_SOURCE": f"functions/{name}.py", "FUNCTION_TARGET": name}
    # A file: a pipe that nobody reads is full after some hundred requests, and the function would wait.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**environ, **source}, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            with Served(port, process.pid, log) as client:
                _wait_until_live(client, process)
                yield client
        finally:
            process.terminate()
            process.wait(timeout=20)


class Served(httpx.Client):
    """A client of a started function. ``pid`` is gunicorn's, whose child does the work."""

    def __init__(self, port: int, pid: int, log: TextIO) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        self.pid = pid
        self._log = log

    def said(self) -> str:
        """What the function wrote so far."""
        log = self._log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode("utf-8", "replace")

    def lines(self) -> list[dict[str, Any]]:
        """Its structured log lines so far."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def wait_until_ready(self, seconds: float = 30) -> dict[str, Any]:
        """What ``GET /ready`` says once its warm-up is over."""
        answer = self.get("/ready")
        end = time.monotonic() + seconds
        while answer.status_code != httpx.codes.OK and time.monotonic() < end:
            time.sleep(0.02)
            answer = self.get("/ready")
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()


def _wait_until_live(client: Served, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the function ended: {client.said()}")
        try:
            if client.get("/live").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            process.poll()
    raise RuntimeError(f"the function did not answer within {seconds} s")


def live_points(own: Settings) -> list[Point]:
    """Every point behind the alias, with vectors."""
    deadline = Deadline.after(SECONDS)
    with Parts(own) as parts:
        collection = parts.vector_search.aliases(deadline)[own.qdrant_alias]
    points: list[Point] = []
    offset = None
    with QdrantAdmin(own.qdrant_url) as admin:
        while True:
            page = admin.scroll(collection, deadline, offset=offset, with_vectors=True)
            points += page.points
            offset = page.next_offset
            if offset is None:
                return points


def forget_index(own: Settings) -> None:
    """Empty the ledger: the next run begins from nothing."""
    deadline = Deadline.after(SECONDS)
    with Parts(own) as parts:
        for one in parts.ledger.generations(deadline):
            parts.ledger.forget_generation(one.id, deadline)
        parts.runs.prune(0, deadline)
