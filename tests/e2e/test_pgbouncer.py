"""Through PgBouncer in transaction mode, which is what Neon's pooled endpoint is.

Needs PgBouncer from apt: ``apt-get install pgbouncer``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pg8000.native
import pytest

from shared.adapters.neon.pool import Pool
from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import DependencyError
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import free_port

pytestmark = pytest.mark.e2e

CLIENTS, SERVERS = 16, 4

CONFIGURATION = """
[databases]
postgres = host={sockets} port=5432 user=lectern
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that the account of both servers may enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="lectern-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def postgres(place: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(place / "home") as server:
        yield server


@contextmanager
def pooler(postgres: EmbeddedPostgres) -> Iterator[int]:
    """PgBouncer's port; it refuses to run as root, so root's runs as the server's own account."""
    port = free_port()
    file = postgres.home.parent / f"pgbouncer-{port}.ini"
    sockets = postgres.url.split("host=")[1].split("&")[0]
    file.write_text(CONFIGURATION.format(sockets=sockets, port=port, servers=SERVERS))
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "pgbouncer is not installed: apt-get install pgbouncer"
    account = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    with file.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([program, file], stderr=log, **account)
    try:
        until_it_answers(port, file.with_suffix(".log"))
        yield port
    finally:
        process.kill()
        process.wait()


def until_it_answers(port: int, log: Path) -> None:
    end = Deadline.after(20)
    while True:
        try:
            with Pool(address(port)) as pool:
                pool.statement("SELECT 1", {}, Deadline.after(1), "ping")
                return
        except DependencyError:
            assert not end.expired(), log.read_text()


def address(port: int) -> str:
    return f"postgresql://lectern:x@127.0.0.1:{port}/postgres?sslmode=disable"


Client = Callable[[str, int], object]


def hammer(queries: int, client: Callable[[], Client]) -> tuple[int, int, int]:
    """Additions from as many threads as there are clients, each its own; right, wrong, failed."""
    counts = {"right": 0, "wrong": 0, "failed": 0}
    guard, together = threading.Lock(), threading.Barrier(CLIENTS)

    def work(mine: int) -> None:
        add = client()
        sql = f"SELECT CAST(:value AS bigint) + {mine}"
        together.wait()
        for number in range(queries // CLIENTS):
            value = mine * 1_000_000 + number
            try:
                outcome = "right" if add(sql, value) == value + mine else "wrong"
            except (DependencyError, pg8000.native.Error, IndexError):
                outcome = "failed"
            with guard:
                counts[outcome] += 1

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts["right"], counts["wrong"], counts["failed"]


@pytest.mark.timeout(600)
def test_no_reader_gets_another_readers_rows(postgres: EmbeddedPostgres, full: bool) -> None:
    """On Neon's pooled endpoint every question gets its own answer, statement or transaction."""
    queries = 50_000 if full else 8_000
    with pooler(postgres) as port, Pool(address(port), size=CLIENTS) as pool:

        def add(sql: str, value: int) -> object:
            deadline = Deadline.after(60)
            if value % 4:
                return pool.statement(sql, {"value": value}, deadline, "add")[0][0]
            with pool.transaction(deadline, "add") as transaction:
                return transaction.query(sql, value=value)[0][0]

        right, wrong, failed = hammer(queries, lambda: add)
    print(f"\nthrough our pool: {right} right, {wrong} wrong, {failed} failed")
    assert (right, wrong, failed) == (queries, 0, 0)


@pytest.mark.timeout(600)
def test_the_drivers_bare_run_would(postgres: EmbeddedPostgres, full: bool) -> None:
    """The danger that our pool guards against is real: the same load with the driver's own way."""
    queries = 50_000 if full else 3_200
    with pooler(postgres) as port, ExitStack() as opened:

        def client() -> Client:
            connection = pg8000.native.Connection(
                "lectern", host="127.0.0.1", port=port, database="postgres", ssl_context=False, password="x"
            )
            opened.callback(connection.close)
            return lambda sql, value: connection.run(sql, value=value)[0][0]

        right, wrong, failed = hammer(queries, client)
    print(f"\nthrough a bare run: {right} right, {wrong} wrong, {failed} failed")
    assert wrong > queries // 10
