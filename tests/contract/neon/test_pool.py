"""The pool: who may use a connection, for how long it lives, and what can be run on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from shared.adapters.neon.pool import IDLE_SECONDS, PING_AFTER_SECONDS, Pool, Transaction
from shared.adapters.neon.url import DatabaseUrl
from shared.errors import Rejected
from tests.contract.neon_servers import TlsServer, soon
from tests.faults import FaultProxy


@dataclass
class HandClock:
    """Time that moves when the test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def proxy(tls: TlsServer) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", tls.port)) as made:
        yield made


def backend(pool: Pool) -> int:
    rows = pool.statement("SELECT pg_backend_pid()", {}, soon(), "look")
    return int(rows[0][0])


def test_a_connection_is_used_again(pool: Pool) -> None:
    """A reader does not wait for a new TLS handshake with each question."""
    assert len({backend(pool) for _ in range(5)}) == 1


def test_connections_are_bounded_and_never_shared(database: DatabaseUrl) -> None:
    """Twelve threads on three connections each get their own rows."""
    wrong: list[int] = []
    backends: set[int] = set()

    with Pool(database, size=3) as pool:

        def work(mine: int) -> None:
            for number in range(25):
                value = mine * 1000 + number
                rows = pool.statement(
                    "SELECT CAST(:value AS integer), pg_backend_pid()", {"value": value}, soon(), "echo"
                )
                backends.add(rows[0][1])
                wrong.extend([value] if rows[0][0] != value else [])

        threads = [threading.Thread(target=work, args=(mine,)) for mine in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(backends) <= 3


def test_an_idle_connection_is_retired(database: DatabaseUrl) -> None:
    """A database that suspended itself meanwhile is not asked through a dead connection."""
    clock = HandClock()
    with Pool(database, clock=clock) as pool:
        first = backend(pool)
        clock.now += IDLE_SECONDS - 1
        assert backend(pool) == first
        clock.now += IDLE_SECONDS
        assert backend(pool) != first


def test_a_connection_that_rested_is_asked_first(proxy: FaultProxy, tls_database: DatabaseUrl) -> None:
    """A connection that died in silence costs a moment, not the reader's answer."""
    clock = HandClock()
    with Pool(replace(tls_database, port=proxy.port), clock=clock) as pool:
        backend(pool)
        before = proxy.turns
        backend(pool)
        assert proxy.turns - before == 1
        clock.now += PING_AFTER_SECONDS
        backend(pool)
        assert proxy.turns - before == 3
        clock.now += PING_AFTER_SECONDS
        proxy.cut_after(0, times=1)
        backend(pool)
        assert proxy.connections == 2


def test_statements_of_a_transaction_take_effect_together(pool: Pool) -> None:
    """An error half way leaves nothing of the half that was done."""

    def fail_half_way() -> None:
        with pool.transaction(soon(), "half") as transaction:
            transaction.query("INSERT INTO spend VALUES ('2000-01-01', 1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert pool.statement("SELECT count(*) FROM spend", {}, soon(), "look") == [[0]]


def test_the_time_limit_ends_with_the_transaction(pool: Pool) -> None:
    """A short deadline of one reader is not inherited by the next one on the same connection."""
    with pool.transaction(soon(), "look") as transaction:
        inside = transaction.query("SHOW statement_timeout")
        first = transaction.query("SELECT pg_backend_pid()")
    assert inside != [["0"]]
    assert pool.statement("SHOW statement_timeout", {}, soon(), "look") == [["0"]]
    assert first == [[backend(pool)]]


def test_every_statement_is_one_round_trip_from_the_first_on(
    proxy: FaultProxy, tls_database: DatabaseUrl
) -> None:
    """An instance that just started is not slower than one that knows its statements."""
    with Pool(replace(tls_database, port=proxy.port)) as pool:
        backend(pool)
        before = proxy.turns
        assert pool.statement("SELECT CAST(:a AS text) || :b", {"a": "x", "b": "y"}, soon(), "join") == [
            ["xy"]
        ]
        assert proxy.turns - before == 1
        with pool.transaction(soon(), "two") as transaction:
            transaction.query("SELECT :a + 1", a=1)
            transaction.query("SELECT :a + 2", a=1)
        assert proxy.turns - before == 1 + 4


def test_a_table_that_changed_is_read_as_it_is_now(pool: Pool) -> None:
    """A migration under a running instance does not break it."""
    with pool.transaction(soon(), "set up") as transaction:
        transaction.script("CREATE TABLE changing AS SELECT 1 AS a")
    assert pool.statement("SELECT * FROM changing", {}, soon(), "look") == [[1]]
    with pool.transaction(soon(), "change") as transaction:
        transaction.script("ALTER TABLE changing ADD COLUMN b integer")
    assert pool.statement("SELECT * FROM changing", {}, soon(), "look") == [[1, None]]
    with pool.transaction(soon(), "clean up") as transaction:
        transaction.script("DROP TABLE changing")


def test_a_statement_leaves_nothing_on_the_server(pool: Pool) -> None:
    """Nothing that a pooler would have to remember is left behind."""
    for number in range(5):
        assert pool.statement("SELECT CAST(:n AS integer)", {"n": number}, soon(), "echo") == [[number]]
    kept = pool.statement("SELECT count(*) FROM pg_prepared_statements", {}, soon(), "count")
    assert kept == [[0]]


def test_there_is_no_way_around_it() -> None:
    """The driver's two ways of handing out other readers' rows cannot be reached by mistake."""
    assert {name for name in vars(Transaction) if not name.startswith("_")} == {"query", "script"}
    assert {name for name in vars(Pool) if not name.startswith("_")} == {"transaction", "statement", "close"}


def test_a_parameter_in_a_script_is_refused(pool: Pool) -> None:
    """Text for the simple protocol is sent as it stands: a placeholder in it is an error."""
    with pytest.raises(Rejected), pool.transaction(soon(), "script") as transaction:
        transaction.script("SELECT :value")


def test_a_forked_worker_makes_its_own_connections(database: DatabaseUrl) -> None:
    """A server that forks after its first query does not mix its workers' answers."""
    with Pool(database) as pool:
        parents = backend(pool)
        child = os.fork()
        if child == 0:
            own = backend(pool)
            os._exit(0 if own != parents else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert backend(pool) == parents
