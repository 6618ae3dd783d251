"""Processor time from the start of a function's process to its first answer, beside two others in one run.

``ours`` is chat, ``nothing`` the least that functions-framework serves, ``eager`` the same answer through
the vendors' SDKs. Each is started by gunicorn with one worker, as on Cloud Run, and asked once; Postgres,
Qdrant's REST and Gemini's stand-in run in another process, whose time is not counted. They take turns, so
that a busy machine slows all three.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from shared import settings
from shared.embedded.fake_gemini import FakeGemini
from shared.settings import ROOT, Settings
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.local_stack import environment, free_port, write_site

QUESTION = "When do I pick a Bramley?"
SOURCES = {
    "nothing": "tests/benchmarks/functions/nothing.py",
    "ours": "functions/chat.py",
    "eager": "tests/benchmarks/functions/eager.py",
}
TARGETS = {"nothing": "nothing", "ours": "chat", "eager": "eager"}
MOST_SECONDS = 60.0


@contextmanager
def generating_stack(home: Path) -> Iterator[tuple[Settings, FakeGemini]]:
    """The embedded stack with Gemini's stand-in as embedder and generator, and a small site in it."""
    with FakeGemini(api_key=None) as fake:
        chosen = settings.load(
            {},
            home=str(home / "stack"),
            embedder="gemini",
            generator="gemini",
            gemini_api_key="stand-in",
            gemini_base_url=fake.base_url,
        )
        with services(chosen) as ready:
            ingest.run(ready.settings, write_site(home / "site"), "/docs")
            yield ready.settings, fake


def measure(python: Path, ready: Settings, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each kind, a list of ``rounds`` figures, after one round that counts for nothing."""
    environ = environment(
        ready,
        GEMINI_API_KEY=ready.gemini_api_key,
        LECTERN_GEMINI_BASE_URL=ready.gemini_base_url,
        POSTGRES_SOCKETS=ready.database_url.split("host=")[1].split("&")[0],
    )
    found: dict[str, list[float]] = {kind: [] for kind in SOURCES}
    for number in range(rounds + 1):
        for kind, seconds in found.items():
            used = first_answer(python, kind, environ)
            if number:
                seconds.append(used)
    return found


def first_answer(python: Path, kind: str, environ: Mapping[str, str]) -> float:
    """CPU seconds (user and system, gunicorn's master and its worker) until the first answer is there."""
    port = free_port()
    command = [python, "-m", "gunicorn", "--workers", "1", "--threads", "8", "--timeout", "0"]
    command += ["--preload"]  # as functions-framework starts it: the module is loaded, then the worker forked
    command += ["--no-control-socket", "--bind", f"127.0.0.1:{port}", "functions_framework:create_app()"]
    own = {**environ, "FUNCTION_SOURCE": SOURCES[kind], "FUNCTION_TARGET": TARGETS[kind]}
    process = subprocess.Popen(
        command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        answer = _asked(f"http://127.0.0.1:{port}/chat", process)
        used = _used(psutil.Process(process.pid))
    finally:
        process.terminate()
        process.communicate(timeout=20)
    said = answer.json()
    if kind != "nothing" and (said["kind"], said["recorded"]) != ("generated", True):
        raise RuntimeError(f"{kind} gave another answer than a generated, recorded one: {said}")
    return used


def _asked(url: str, process: subprocess.Popen[str]) -> httpx.Response:
    end = time.monotonic() + MOST_SECONDS
    with httpx.Client(timeout=MOST_SECONDS, trust_env=False) as client:
        while time.monotonic() < end and process.poll() is None:
            try:
                answer = client.post(url, json={"question": QUESTION})
                if answer.is_success:
                    return answer
                break
            except httpx.ConnectError:
                time.sleep(0.005)  # it is not listening yet; asking faster would slow it down
    process.terminate()
    raise RuntimeError(f"{process.args} did not answer:\n{process.communicate(timeout=20)[0]}")


def _used(master: psutil.Process) -> float:
    times = [each.cpu_times() for each in (master, *master.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def summary(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Medians in CPU seconds and the two ratios that the project promises."""
    middle = {kind: statistics.median(figures) for kind, figures in found.items()}
    return {
        **{f"{kind}_cpu_seconds": round(value, 3) for kind, value in middle.items()},
        "ours_to_nothing": round(middle["ours"] / middle["nothing"], 2),
        "eager_to_ours": round(middle["eager"] / middle["ours"], 2),
    }
