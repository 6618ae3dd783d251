"""``python -m tests.benchmarks.restore``: everything lost and brought back, measured end to end.

Tables of about 500 MB (questions and answers of 1.7 kB with jsonb and timestamps) and 50,000 points (768
numbers, a sparse vector, 1.5 kB of payload) on an embedded stack in a process of its own. `lectern backup`
(encrypted), `lectern verify`, `lectern restore` into an empty stack, and `lectern drill` run as an operator
types them; of each are counted wall time, its own processor seconds, start included, and its peak memory. The
floor is copying the recovery point's files. The drill has its servers in its own process and children: its
figures are of the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shared.adapters.neon.url import parse
from shared.adapters.neon.wire import Wire
from shared.embedded.key_file import make_key_file
from shared.resilience.deadline import Deadline
from shared.settings import ROOT

MOST_SECONDS = 150.0
BYTES_A_ROW = 1700
COLUMNS = (
    *("id", "conversation_id", "asked_at", "question", "kind", "answer", "citations", "generation_id"),
    *("rung", "detail"),
)

_SERVE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from shared import settings
from shared.wiring.stack import services
with services(settings.load({}, home=sys.argv[1])) as ready:
    print(json.dumps(asdict(ready.settings)), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What one command took. ``told`` is what it said as JSON."""

    what: str
    wall: float
    cpu: float
    rss_mb: float
    told: dict = field(default_factory=dict)


@contextmanager
def stack(home: Path) -> Iterator[dict]:
    """The settings of an embedded stack in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.communicate()


def lectern(environ: dict[str, str], *words: str) -> Used:
    """Run a command to its end."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        command = [sys.executable, "-m", "shared.cli.main", *words, "--json"]
        environ = {"PATH": os.environ["PATH"], **environ}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        out.seek(0)
        said = out.read()
    assert process.returncode == 0, f"{words}: {said}"
    told = json.loads(said.splitlines()[-1])
    return Used(" ".join(words), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told)


def fill(own: dict, megabytes: int, points: int, home: Path) -> None:
    """Questions and answers, and a collection behind the alias."""
    from tests.benchmarks import vectors_worker

    rows = megabytes * 1_000_000 // BYTES_A_ROW
    deadline = Deadline.after(3600)
    wire = Wire(parse(own["database_url"]), deadline)
    talks = (f"c{number}\t2026-01-01\n".encode() for number in range(rows // 5 + 1))
    wire.copy_in("COPY conversations (id, started_at) FROM STDIN", talks, deadline, "fill")
    wire.copy_in(f"COPY answers ({', '.join(COLUMNS)}) FROM STDIN", answers(rows), deadline, "fill")
    wire.script("ANALYZE", deadline, "fill")
    wire.close()
    vectors_worker.fill(home, own["qdrant_url"], points)


def answers(rows: int) -> Iterator[bytes]:
    """Rows as COPY text: words by chance, so that they compress as prose does."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 9))) for _ in range(4000)]
    for number in range(rows):
        pages = [
            {"url": f"/docs/page-{number % n}", "title": " ".join(dice.choices(words, k=5))}
            for n in (900, 700)
        ]
        detail = {"kind": "generated", "scores": [dice.random(), dice.random()], "citations": pages}
        row = (
            f"a{number}",
            f"c{number // 5}",
            f"2026-01-01 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}+00",
            " ".join(dice.choices(words, k=12)),
            "generated",
            " ".join(dice.choices(words, k=205)),
            f"{{/docs/page-{number % 900}}}",
            f"g{number % 3}",
            "hybrid",
            json.dumps(detail),
        )
        yield ("\t".join(row) + "\n").encode()


def measure(home: Path, megabytes: int, points: int) -> list[Used]:
    """Every command, one after the other."""
    make_key_file(home / "key")
    common = {
        "LECTERN_BACKUP_KEY_FILE": str(home / "key"),
        "LECTERN_BACKUP_BUCKET": (home / "points").as_uri(),
        "LECTERN_QDRANT_ALIAS": "bench-live",
        "LECTERN_EMBEDDER": "none",
        "LECTERN_CONVERSATION_RETENTION_DAYS": "3650",
    }
    found = []
    with stack(home / "one") as own:
        fill(own, megabytes, points, home)
        found.append(lectern({**common, "LECTERN_HOME": str(home / "one")}, "backup"))
    shutil.rmtree(home / "one")
    found.append(lectern(common, "verify"))
    with stack(home / "two"):
        found.append(lectern({**common, "LECTERN_HOME": str(home / "two")}, "restore", "--latest"))
    shutil.rmtree(home / "two")
    found.append(lectern({**common, "LECTERN_HOME": str(home / "none")}, "drill"))
    began = time.monotonic()
    shutil.copytree(home / "points", home / "copy")
    return [*found, Used("copy of the files (the floor)", time.monotonic() - began, 0.0, 0.0)]


def report(found: list[Used], *, as_json: bool) -> bool:
    """Print the table, or one JSON document; whether a complete restore kept its time."""
    restored = next(one for one in found if one.what.startswith("restore"))
    kept = restored.wall <= MOST_SECONDS
    if as_json:
        print(json.dumps({"runs": [asdict(one) for one in found], "kept": kept}))
        return kept
    print(f"  {'':32} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    for one in found:
        print(f"  {one.what:32} {one.wall:8.1f} {one.cpu:8.1f} {one.rss_mb:8.0f}")
        seconds = one.told.get("phases") or one.told.get("seconds")
        if isinstance(seconds, dict):
            print("     " + ", ".join(f"{phase} {took:.1f}" for phase, took in seconds.items()))
    told = restored.told
    print(f"  restored and verified: {told['rows']:,} rows, {told['points']:,} points")
    return kept


def main() -> int:
    """0 when a complete restore, verified, keeps its time."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.restore", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="size of the tables (default: 500)")
    parser.add_argument("--points", type=int, default=50_000, help="vectors (default: 50000)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        found = measure(home, chosen.megabytes, chosen.points)
    return 0 if report(found, as_json=chosen.json) else 1


if __name__ == "__main__":
    sys.exit(main())
