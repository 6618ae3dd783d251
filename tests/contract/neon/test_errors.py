"""What callers of the Postgres ports see when the network, the server or the credentials fail.

Faults are made on the way to a server behind TLS, the form in which Neon is reached.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.lease import NeonLeases
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.migrate import migrate
from shared.adapters.neon.opening import open_question
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl, parse
from shared.errors import (
    AccessDenied,
    Cancelled,
    DependencyError,
    Garbled,
    LecternError,
    Missing,
    Overloaded,
    PreconditionFailed,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.ports import Allowance, Generation, PageRecord
from shared.resilience.deadline import Deadline
from tests.contract.neon.test_answers import ANSWER
from tests.contract.neon_servers import PASSWORD, TlsServer, soon
from tests.faults import FaultProxy
from tests.waiting import wait_for

Operation = Callable[[Pool, Deadline], object]

OPERATIONS: dict[str, Operation] = {
    "generations": lambda pool, deadline: NeonLedger(pool).generations(deadline),
    "pages": lambda pool, deadline: NeonLedger(pool).pages("g", deadline),
    "start_generation": lambda pool, deadline: NeonLedger(pool).start_generation(
        Generation("g", "f", "s", "building", 0, 0), deadline
    ),
    "save_pages": lambda pool, deadline: NeonLedger(pool).save_pages(
        "g", [PageRecord("/a", "A", "h", 1)], deadline
    ),
    "lease": lambda pool, deadline: NeonLeases(pool).hold("backup", "a backup", deadline).__enter__(),
    "record": lambda pool, deadline: NeonAnswerLog(pool).record(ANSWER, deadline),
    "ping": lambda pool, deadline: NeonAnswerLog(pool).ping(deadline),
    "open_question": lambda pool, deadline: open_question(
        pool, deadline, caller="x", allowance=Allowance(1, 1), cache_key="k", conversation_id="c"
    ),
}


@dataclass
class Way:
    """A pool whose connections pass a proxy."""

    proxy: FaultProxy
    pool: Pool


@pytest.fixture
def way(tls: TlsServer, tls_database: DatabaseUrl) -> Iterator[Way]:
    with FaultProxy(("127.0.0.1", tls.port)) as proxy:
        pool = Pool(replace(tls_database, port=proxy.port), jitter=random.Random(1))
        NeonLedger(pool).start_generation(Generation("g", "f", "s", "building", 0, 0), soon())
        yield Way(proxy, pool)
        pool.close()


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


def fresh(way: Way) -> None:
    """Let the next call connect anew. The old connection's farewell must not be counted as the new one's."""
    way.pool.close()
    wait_for(lambda: not way.proxy._open)


def test_refused(way: Way, operation: Operation) -> None:
    """A database that is down is named, with what was attempted and where."""
    fresh(way)
    way.proxy.refuse()
    with pytest.raises(Unreachable, match=f"neon: .*localhost:{way.proxy.port}.*DATABASE_URL"):
        operation(way.pool, Deadline.after(2))


@pytest.mark.parametrize("connected", [False, True])
def test_black_hole(way: Way, operation: Operation, connected: bool) -> None:
    """A database that says nothing costs the reader no more than the deadline."""
    if not connected:
        fresh(way)
    way.proxy.black_hole()
    begin = time.monotonic()
    with pytest.raises(TimedOut):
        operation(way.pool, Deadline.after(0.3))
    assert time.monotonic() - begin < 1.0


def test_a_late_answer_is_given_to_nobody(way: Way) -> None:
    """After a time-out the next reader does not get the answer that the last one gave up on."""
    before = way.proxy.connections
    way.proxy.black_hole()
    for _ in range(2):
        with pytest.raises(TimedOut):
            way.pool.statement("SELECT 1", {}, Deadline.after(0.1), "ask")
    way.proxy.heal()
    assert way.pool.statement("SELECT 2", {}, soon(), "ask") == [[2]]
    assert way.proxy.connections - before == 2


def test_an_answer_that_drips_is_held_to_the_deadline(way: Way) -> None:
    """A slow network cannot stretch a call by answering a little at a time."""
    way.proxy.delay(0.12)
    begin = time.monotonic()
    with pytest.raises(TimedOut):
        OPERATIONS["save_pages"](way.pool, Deadline.after(0.3))
    assert time.monotonic() - begin < 0.6


@pytest.mark.parametrize("size", [0, 1, 5, 40])
def test_cut_in_the_middle(way: Way, operation: Operation, size: int) -> None:
    """A connection that breaks in an answer is told apart from an answer, and not used again."""
    way.proxy.cut_after(size)
    with pytest.raises(Unreachable):
        operation(way.pool, soon())
    way.proxy.heal()
    way.pool.statement("DELETE FROM leases", {}, soon(), "clean up")
    assert [each.id for each in NeonLedger(way.pool).generations(soon())] == ["g"]


def test_cut_while_logging_in(way: Way) -> None:
    """A database that drops connections while it starts is reported as unreachable."""
    for size in (0, 1, 300, 900):
        fresh(way)
        way.proxy.cut_after(size)
        with pytest.raises(Unreachable):
            OPERATIONS["ping"](way.pool, soon())
    way.proxy.heal()
    OPERATIONS["ping"](way.pool, soon())


def test_garbage(way: Way, operation: Operation) -> None:
    """Something that is not Postgres at the address is called that."""
    fresh(way)
    way.proxy.garbage()
    with pytest.raises(Garbled, match="not Postgres"):
        operation(way.pool, soon())


def test_garbage_inside_a_plain_connection(tls: TlsServer) -> None:
    """Without TLS, too, nonsense is an error of ours and never an exception of the driver's."""
    replies = [
        b"",
        b"R\0\0",
        b"R\0\0\0\x08\0\0\0\x63",
        b"Z" * 50,
        b"E\0\0\0\x04",
        b"T\0\0\0\x08\xff\xff\xff\xff",
    ]
    replies += [random.Random(seed).randbytes(40) for seed in range(40)]
    with FaultProxy(("127.0.0.1", tls.port)) as proxy:
        pool = Pool(f"postgresql://u:p@127.0.0.1:{proxy.port}/d?sslmode=disable")
        for reply in replies:
            proxy.garbage(reply)
            with pytest.raises(DependencyError):
                OPERATIONS["ping"](pool, Deadline.after(0.3))


def test_a_suspended_database_wakes_up(way: Way) -> None:
    """The first reader after a quiet night waits a moment and gets an answer."""
    fresh(way)
    begun = way.proxy.connections
    way.proxy.cut_after(0, times=2)
    OPERATIONS["ping"](way.pool, soon())
    assert way.proxy.connections - begun == 3


def test_a_database_that_stays_away_is_tried_three_times(way: Way) -> None:
    """Readers fall back to the next rung soon, and a struggling database is not stormed."""
    fresh(way)
    way.proxy.cut_after(0)
    begun = way.proxy.connections
    with pytest.raises(Unreachable):
        OPERATIONS["ping"](way.pool, soon())
    assert way.proxy.connections - begun == 3


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(way: Way) -> None:
    """After the database restarted, readers notice nothing."""
    OPERATIONS["ping"](way.pool, soon())
    way.proxy.cut_open()
    wait_for(lambda: all(entry.wire.is_stale() for entry in way.pool._idle))
    for name in ("ping", "record", "save_pages"):
        OPERATIONS[name](way.pool, soon())


def test_wrong_password(tls: TlsServer) -> None:
    """An expired password is reported as such, is not tried again, and is not printed."""
    with FaultProxy(("127.0.0.1", tls.port)) as proxy:
        pool = Pool(tls.url(password="not-the-password", port=proxy.port))
        with pytest.raises(AccessDenied, match="Check user, password") as caught:
            OPERATIONS["ping"](pool, soon())
        assert "not-the-password" not in str(caught.value)
        assert proxy.connections == 1


def test_no_password(tls: TlsServer) -> None:
    """A DATABASE_URL without password says what is missing."""
    with pytest.raises(AccessDenied, match="has no password"):
        OPERATIONS["ping"](Pool(replace(parse(tls.url()), password=None)), soon())


def test_unknown_database(tls: TlsServer) -> None:
    """A mistyped database name is called missing."""
    with pytest.raises(Missing, match="nowhere"):
        OPERATIONS["ping"](Pool(replace(parse(tls.url()), database="nowhere")), soon())


def test_untrusted_certificate(tls: TlsServer) -> None:
    """Nobody can stand between us and the database with a certificate of their own."""
    for options in ({"sslrootcert": str(tls.stranger)}, {"sslrootcert": "system"}):
        with pytest.raises(AccessDenied, match="certificate is not trusted"):
            OPERATIONS["ping"](Pool(tls.url(**options)), soon())


def test_certificate_of_another_host(tls: TlsServer) -> None:
    """A valid certificate for another name is not accepted, whatever sslmode was written."""
    for mode in ("require", "verify-ca", "verify-full"):
        url = replace(parse(tls.url(sslmode=mode)), host="127.0.0.1")
        with pytest.raises(AccessDenied, match="certificate is not trusted"):
            OPERATIONS["ping"](Pool(url), soon())


def test_a_server_without_tls_is_refused(tls: TlsServer, way: Way) -> None:
    """The password never travels in the clear."""
    fresh(way)
    way.proxy.garbage(b"N")
    with pytest.raises(AccessDenied, match="no TLS"):
        OPERATIONS["ping"](way.pool, soon())


def test_channel_binding_is_enforced(tls: TlsServer, superuser: Pool) -> None:
    """With channel_binding=require a server that does not prove it knows the password is refused."""
    with superuser.transaction(soon(), "set up") as transaction:
        transaction.script("SET LOCAL password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'p'")
    hba = tls.authority.with_name("pg_hba.conf")
    scram = hba.read_text()
    hba.write_text(scram.replace("hostssl all all", "hostssl all old 127.0.0.1/32 md5\nhostssl all all"))
    try:
        reload(superuser)
        with pytest.raises(AccessDenied, match="no channel binding"):
            OPERATIONS["ping"](Pool(tls.url(user="old", password="p")), soon())
        with Pool(tls.url(user="old", password="p", channel_binding="prefer")) as lenient:
            OPERATIONS["ping"](lenient, soon())
    finally:
        hba.write_text(scram)
        reload(superuser)
        with superuser.transaction(soon(), "clean up") as transaction:
            transaction.script("DROP ROLE old")


def reload(superuser: Pool) -> None:
    """Have the server read its access file again, and wait until it has."""
    before = superuser.statement("SELECT pg_conf_load_time()", {}, soon(), "look")
    superuser.statement("SELECT pg_reload_conf()", {}, soon(), "reload")
    end = soon()
    while superuser.statement("SELECT pg_conf_load_time()", {}, soon(), "look") == before:
        assert not end.expired()


def test_too_many_connections(tls: TlsServer) -> None:
    """A full database is called throttled, so that callers slow down, with what helps."""
    first, second = Pool(tls.url(user="crowd")), Pool(tls.url(user="crowd"))
    with (
        first.transaction(soon(), "hold"),
        pytest.raises(Throttled, match=r"53300.*pooled endpoint"),
    ):
        OPERATIONS["ping"](second, soon())
    first.close()


def test_a_pool_in_full_use_says_so(tls_database: DatabaseUrl) -> None:
    """A request that finds every connection busy waits no longer than its deadline."""
    pool = Pool(tls_database, size=1)
    with pool.transaction(soon(), "hold"), pytest.raises(Overloaded, match="all 1 connections"):
        OPERATIONS["ping"](pool, Deadline.after(0.1))
    OPERATIONS["ping"](pool, soon())
    pool.close()


@pytest.mark.parametrize(
    ("function", "expected"), [("pg_cancel_backend", Cancelled), ("pg_terminate_backend", Unreachable)]
)
def test_stopped_by_an_operator(
    way: Way, superuser: Pool, tls_database: DatabaseUrl, function: str, expected: type[LecternError]
) -> None:
    """A query that an operator cancelled is told from one that took too long; the next one works."""
    caught: list[BaseException] = []

    def wait_for_lock() -> None:
        try:
            OPERATIONS["save_pages"](way.pool, soon())
        except LecternError as error:
            caught.append(error)

    holder = Pool(tls_database)
    with holder.transaction(soon(), "hold") as transaction:
        transaction.script("LOCK TABLE pages IN ACCESS EXCLUSIVE MODE")
        waiter = threading.Thread(target=wait_for_lock)
        waiter.start()
        stop_who_waits(superuser, tls_database.database, function)
        waiter.join()
    assert [type(error) for error in caught] == [expected]
    OPERATIONS["save_pages"](way.pool, soon())
    holder.close()


def stop_who_waits(superuser: Pool, database: str, function: str) -> None:
    end = soon()
    while not superuser.statement(
        f"""SELECT {function}(pid) FROM pg_stat_activity
            WHERE datname = :database AND wait_event_type = 'Lock'""",
        {"database": database},
        soon(),
        "stop",
    ):
        assert not end.expired()


def test_a_serialisation_failure_may_be_tried_again(tls_database: DatabaseUrl) -> None:
    """Two writers that collide are told that trying again helps."""
    pool = Pool(tls_database)

    def collide() -> None:
        with pool.transaction(soon(), "one") as first:
            first.script("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            first.query("SELECT sum(usd) FROM spend")
            with pool.transaction(soon(), "other") as second:
                second.script("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                second.query("SELECT sum(usd) FROM spend")
                second.query("INSERT INTO spend VALUES ('2001-01-01', 1)")
            first.query("INSERT INTO spend VALUES ('2001-01-02', 1)")

    with pytest.raises(Overloaded, match="40001") as caught:
        collide()
    assert caught.value.retryable
    pool.close()


def test_tables_that_are_not_there(tls: TlsServer) -> None:
    """A database without migrations is called that."""
    pool = Pool(tls.url())
    with pytest.raises(Missing, match="migrations have run"):
        OPERATIONS["generations"](pool, soon())
    pool.close()


def test_a_failed_statement_takes_the_whole_transaction_back(tls_database: DatabaseUrl) -> None:
    """Code that swallows an error inside a transaction cannot commit half of it."""
    pool = Pool(tls_database)

    def swallow() -> None:
        with pool.transaction(soon(), "half") as transaction:
            transaction.query("INSERT INTO spend VALUES ('2002-01-01', 1)")
            with pytest.raises(Rejected):
                transaction.query("INSERT INTO spend VALUES ('2002-01-01', 1)")
            with pytest.raises(Rejected, match="failed before"):
                transaction.query("SELECT 1")

    with pytest.raises(Rejected, match="nothing was committed"):
        swallow()
    assert pool.statement("SELECT count(*) FROM spend WHERE day = '2002-01-01'", {}, soon(), "look") == [[0]]
    pool.close()


def test_a_changed_migration_is_refused(tls_database: DatabaseUrl, tmp_path: Path) -> None:
    """A file that was edited after it ran is found before it does harm."""
    pool = Pool(tls_database)
    file = tmp_path / "0900_extra.sql"
    file.write_text("CREATE TABLE extra (x integer);\nINSERT INTO extra VALUES (1); -- it's /* fine */")
    assert migrate(pool, soon(), tmp_path) == ["0900_extra"]
    assert migrate(pool, soon(), tmp_path) == []
    file.write_text("CREATE TABLE extra (x bigint)")
    with pytest.raises(PreconditionFailed, match=r"0900_extra.sql changed.*new migration"):
        migrate(pool, soon(), tmp_path)
    assert pool.statement("SELECT x FROM extra", {}, soon(), "look") == [[1]]
    pool.close()


def test_a_migration_that_fails_leaves_nothing(tls_database: DatabaseUrl, tmp_path: Path) -> None:
    """A release with a wrong migration stops before it changed half of the schema."""
    pool = Pool(tls_database)
    file = tmp_path / "0901_wrong.sql"
    file.write_text("CREATE TABLE half (x integer); SELECT nonsense;")
    with pytest.raises(Rejected, match="migrate 0901_wrong"):
        migrate(pool, soon(), tmp_path)
    file.write_text("CREATE TABLE half (x integer);")
    assert migrate(pool, soon(), tmp_path) == ["0901_wrong"]
    pool.close()


def test_many_instances_migrate_once(tls_database: DatabaseUrl, tmp_path: Path) -> None:
    """Instances that start together do not trip over each other's migrations."""
    (tmp_path / "0902_once.sql").write_text("CREATE TABLE once (x integer);")
    pools = [Pool(tls_database) for _ in range(4)]
    applied: list[str] = []
    together = threading.Barrier(4)

    def start(pool: Pool) -> None:
        together.wait()
        applied.extend(migrate(pool, soon(), tmp_path))
        pool.close()

    threads = [threading.Thread(target=start, args=(pool,)) for pool in pools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert applied == ["0902_once"]


def test_password_is_in_no_message() -> None:
    """Logs hold no secret."""
    assert PASSWORD not in repr(parse("postgresql://u:p%40ss%2Fw%3Ard%20%25%2B%C3%BC@h/d"))
