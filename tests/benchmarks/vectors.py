"""``python -m tests.benchmarks.vectors``: exporting and restoring vectors, beside what else could be done.

A collection of points with 768 numbers, a sparse vector and a payload of about 1.5 kB, on the embedded engine
or (``--released``) on Qdrant's released server, in a process of its own. Each program runs alone; counted are
its own processor seconds, its start included, its peak memory and its wall time. The floor is a scroll whose
answers are thrown away unread; the peer is a scroll through qdrant-client, which stores nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.settings import ROOT

POINTS = 50_000
LEAST_POINTS = 6_000.0
MOST_SECONDS = 150.0
MOST_RSS_MB = 160.0
MODULE = "tests.benchmarks.vectors_worker"


@dataclass(frozen=True, slots=True)
class Used:
    """What one program took. ``points`` a processor second; ``size`` is what it stored, in bytes."""

    what: str
    cpu: float
    wall: float
    rss_mb: float
    points: float
    size: int


def run(what: str, verb: str, home: Path, url: str, count: int) -> Used:
    """Run one worker to its end."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", MODULE, verb, str(home), url], cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{what} failed"
    wall = time.monotonic() - began
    told = json.loads((home / "told.json").read_text())
    assert told["points"] == count, f"{what}: {told['points']} of {count} points"
    cpu = used.ru_utime + used.ru_stime
    return Used(what, cpu, wall, used.ru_maxrss / 1024, count / cpu, told["bytes"])


@contextmanager
def server(home: Path, *, released: bool) -> Iterator[str]:
    """The address of a Qdrant in a process of its own."""
    if released:
        from tests.contract.qdrant_places import released_server

        with tempfile.TemporaryDirectory() as own, released_server(Path(own)) as url:
            yield url
        return
    command = [sys.executable, "-m", MODULE, "serve", str(home), ""]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.communicate()


def measure(home: Path, url: str, count: int, *, released: bool) -> list[Used]:
    """Every program, one after the other."""
    run("fill", f"fill:{count}", home, url, count)
    found = [
        run("scroll, unread (the floor)", "floor", home, url, count),
        run("scroll through qdrant-client", "client", home, url, count),
        run("export, encrypted", "export", home, url, count),
        run("export, plain", "plain", home, url, count),
        run("verify", "verify", home, url, count),
    ]
    if released:
        found.append(run("the server's own snapshot", "snapshot", home, url, count))
    return [*found, run("restore, verified", "restore", home, url, count)]


def kept(found: list[Used]) -> bool:
    """Whether the promised figures hold."""
    by_name = {used.what: used for used in found}
    exported, restored = by_name["export, encrypted"], by_name["restore, verified"]
    fast = exported.points >= LEAST_POINTS and restored.wall <= MOST_SECONDS
    return fast and exported.rss_mb <= MOST_RSS_MB


def report(found: list[Used], *, as_json: bool) -> None:
    """Print the table, or one JSON document."""
    if as_json:
        print(json.dumps({"runs": [asdict(used) for used in found], "kept": kept(found)}))
        return
    print(f"  {'':32} {'CPU s':>7} {'points/CPU s':>13} {'wall s':>7} {'MB':>7} {'peak MB':>8}")
    for used in found:
        size = f"{used.size / 1e6:7.1f}" if used.size else " " * 7
        print(
            f"  {used.what:32} {used.cpu:7.2f} {used.points:13,.0f} {used.wall:7.1f} {size} "
            f"{used.rss_mb:8.1f}"
        )


def main() -> int:
    """0 when the promised figures hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.vectors", description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS, help=f"how many (default: {POINTS})")
    parser.add_argument("--released", action="store_true", help="on Qdrant's released server (needs npm)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as folder:
        home = Path(folder)
        with server(home, released=chosen.released) as url:
            found = measure(home, url, chosen.points, released=chosen.released)
    report(found, as_json=chosen.json)
    return 0 if kept(found) else 1


if __name__ == "__main__":
    sys.exit(main())
