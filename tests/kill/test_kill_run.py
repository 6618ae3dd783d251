"""``make run`` killed outright at random moments, set-up and ingestion included."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from shared import settings
from shared.retrieval.digest import points_digest
from shared.settings import ROOT
from shared.wiring import ingest
from shared.wiring.stack import services
from tests.local_stack import live_points, write_site

PAGES = {
    f"row-{n}.md": f"# Row {n}\n\n"
    + "\n\n".join(
        f"## Tree {k}\n\nTree {k} of row {n} bears {n * k} apples in a good year, picked by hand."
        for k in range(6)
    )
    for n in range(20)
}


def make_run(home: Path, site: Path) -> subprocess.Popen[str]:
    """``make run`` as a newcomer types it, in a session of its own."""
    return subprocess.Popen(
        ["make", "--no-print-directory", "run", f"ARGS=--port 0 --docs {site}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LECTERN_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def started(process: subprocess.Popen[str]) -> list[str]:
    """Its lines until it answers."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "Lectern answers at" in line:
            return lines
    raise AssertionError("".join(lines))


def working_on(home: Path) -> list[psutil.Process]:
    """Processes that have the home in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get("LECTERN_HOME", "")]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(home) in word for word in words):
            found.append(process)
    return found


def wait_until_gone(home: Path, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        left = [process for process in working_on(home) if process.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return
        psutil.wait_procs(left, timeout=0.2)
    raise AssertionError(f"left behind: {[process.cmdline() for process in working_on(home)]}")


def digest(home: Path) -> str:
    with services(settings.load({}, home=str(home))) as ready:
        return points_digest(live_points(ready.settings))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("kill") / "site", PAGES)


@pytest.mark.timeout(600)
def test_the_next_start_works_whenever_it_was_killed(tmp_path: Path, site: Path, *, full: bool) -> None:
    """A laptop that lost power would be left with processes, a broken database or half an index."""
    undisturbed = tmp_path / "undisturbed"
    with services(settings.load({}, home=str(undisturbed), embedder="local")) as ready:
        ingest.run(ready.settings, site, "/docs")
    wanted = digest(undisturbed)
    moments = random.Random(20261122)
    home = tmp_path / "home"
    begin = time.monotonic()
    process = make_run(home, site)
    started(process)
    whole = time.monotonic() - begin
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until_gone(home)
    for trial in range(10 if full else 3):
        if trial % 3 != 1:
            shutil.rmtree(home)  # two of three from nothing, the third on what the last one left
        process = make_run(home, site)
        time.sleep(moments.uniform(0.05, whole))  # the random moment is what is tested
        process.kill()  # make alone: whatever it started must notice
        process.communicate()
        wait_until_gone(home)
        process = make_run(home, site)
        lines = started(process)
        assert "error" not in "".join(lines)
        process.terminate()
        process.communicate(timeout=30)
        wait_until_gone(home)
        assert digest(home) == wanted, f"trial {trial}"
