"""The contract of :class:`shared.ports.Leases`, on every server."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest

from shared.adapters.neon.lease import NeonLeases
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl
from shared.errors import PreconditionFailed, TimedOut
from shared.ports import Generation, Leases
from shared.ports.leases import Kind
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import TlsServer, soon
from tests.faults import FaultProxy


@pytest.fixture
def leases(pool: Pool) -> Leases:
    return NeonLeases(pool, pause_seconds=0.01)


@pytest.mark.parametrize(
    ("first", "second"), [("ingestion", "ingestion"), ("ingestion", "backup"), ("backup", "ingestion")]
)
def test_whoever_comes_second_is_told_who_holds_it(leases: Leases, first: Kind, second: Kind) -> None:
    """A recovery point cut while pages change would tie a database to vectors that are not its own."""
    with (
        leases.hold(first, "the first", soon()),
        pytest.raises(PreconditionFailed, match=rf"{first} by the first has held it since 20\d\d-.* UTC"),
        leases.hold(second, "the second", soon()),
    ):
        pytest.fail("both hold it")
    with leases.hold(second, "the second", soon()):
        pass


def test_backups_hold_together(leases: Leases) -> None:
    """The two parts of one recovery point are cut at the same time; ingestion waits for the last of them."""
    with leases.hold("backup", "vectors", soon()):
        with leases.hold("backup", "database", soon()), pytest.raises(PreconditionFailed) as refused:
            leases.hold("ingestion", "run", soon()).__enter__()
        assert "by vectors" in str(refused.value)
        assert "by database" in str(refused.value)
        with pytest.raises(PreconditionFailed, match="by vectors"):
            leases.hold("ingestion", "run", soon()).__enter__()
    with leases.hold("ingestion", "run", soon()):
        pass


def test_whether_it_is_held_is_told(leases: Leases, pool: Pool) -> None:
    """A run that somebody else does would be called interrupted, or a dead one under way."""
    assert not leases.is_held("backup", soon())
    with leases.hold("backup", "point", soon()):
        assert leases.is_held("backup", soon())
        assert not leases.is_held("ingestion", soon())
        expire(pool)
        assert not leases.is_held("backup", soon())


def test_the_tasks_of_one_run_hold_together(leases: Leases) -> None:
    """A big site's tasks would wait for each other, and a run that goes on for itself."""
    with ExitStack() as tasks:
        for _ in range(3):
            tasks.enter_context(leases.hold("ingestion", "run 7", soon()))
        for kind, holder in (("ingestion", "run 8"), ("backup", "run 7")):
            with pytest.raises(PreconditionFailed, match="by run 7"):
                leases.hold(kind, holder, soon()).__enter__()
        tasks.pop_all().close()
        with leases.hold("ingestion", "run 8", soon()):
            pass


def test_a_task_that_ends_does_not_end_the_others(leases: Leases) -> None:
    """A backup could start while the slower half of a run still writes."""
    with leases.hold("ingestion", "run 7", soon()):
        with leases.hold("ingestion", "run 7", soon()):
            pass
        with pytest.raises(PreconditionFailed):
            leases.hold("backup", "point", soon()).__enter__()


def test_waiting_ends_when_the_holder_does(leases: Leases) -> None:
    """A nightly ingestion that meets a backup would fail instead of starting a minute later."""
    told: list[str] = []
    held, free, done = threading.Event(), threading.Event(), threading.Event()

    def back_up() -> None:
        with leases.hold("backup", "point 1", soon()):
            held.set()
            free.wait(20)
        done.set()

    def tell(who: str) -> None:
        told.append(who)
        free.set()

    thread = threading.Thread(target=back_up)
    thread.start()
    assert held.wait(20)
    with leases.hold("ingestion", "run", soon(), wait_seconds=20, waiting=tell):
        pass
    assert done.wait(20)
    thread.join()
    [line] = told
    assert line.startswith("backup by point 1 has held it since 20")


def test_waiting_is_bounded(leases: Leases) -> None:
    """A backup that hangs would keep a run, and its bill, waiting for ever."""
    told: list[str] = []
    with leases.hold("backup", "point 1", soon()), pytest.raises(PreconditionFailed, match="by point 1"):
        leases.hold("ingestion", "run", soon(), wait_seconds=0.05, waiting=told.append).__enter__()
    assert len(told) == 1


def test_waiting_counts_towards_the_deadline(leases: Leases) -> None:
    """A request that waits would be cut off by Cloud Run instead of saying who it waited for."""
    with leases.hold("backup", "point 1", soon()), pytest.raises((PreconditionFailed, TimedOut)):
        leases.hold("ingestion", "run", Deadline.after(0.1), wait_seconds=3600).__enter__()


@pytest.mark.parametrize("kind", ["ingestion", "backup"])
def test_of_many_that_start_together(leases: Leases, kind: Kind) -> None:
    """A scheduler that fires twice starts one ingestion; backups that start at once do not refuse each
    other.
    """
    outcomes: list[str] = []
    together, decided = threading.Barrier(4), threading.Barrier(4)

    def contend(number: int) -> None:
        together.wait()
        try:
            with leases.hold(kind, f"number {number}", soon()):
                outcomes.append("held")
                decided.wait()
        except PreconditionFailed:
            outcomes.append("refused")
            decided.wait()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") == (1 if kind == "ingestion" else 4)


def test_one_that_takes_waits_for_one_that_is_taking(leases: Leases, pool: Pool) -> None:
    """Two that start together would not see each other's row, and both hold the lease."""
    with pool.transaction(soon(), "take") as transaction:
        transaction.script(
            "INSERT INTO leases VALUES ('ingestion x', gen_random_uuid(), 'the first', clock_timestamp(), "
            "clock_timestamp() + interval '30 seconds')"
        )
        with pytest.raises(TimedOut):
            leases.hold("ingestion", "the second", Deadline.after(0.3)).__enter__()
    with pytest.raises(PreconditionFailed, match="by the first"):
        leases.hold("ingestion", "the second", soon()).__enter__()


HOLDER = """
import pickle, sys
from shared.adapters.neon.lease import NeonLeases
from shared.adapters.neon.pool import Pool
from shared.resilience.deadline import Deadline
url = pickle.loads(bytes.fromhex(sys.argv[1]))
with NeonLeases(Pool(url)).hold(sys.argv[2], "the killed one", Deadline.after(20)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["ingestion", "backup"])
def test_the_lease_of_a_killed_process_ends_by_itself(leases: Leases, pool: Pool, kind: Kind) -> None:
    """After a crash the next run starts without anybody's help, though not before the lease has run out."""
    command = [sys.executable, "-c", HOLDER, pickle.dumps(pool.url).hex(), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "held\n"
        killed.kill()
    with pytest.raises(PreconditionFailed, match="by the killed one"):
        leases.hold("ingestion", "the next", soon()).__enter__()
    assert 0 < left(pool) <= 30
    expire(pool)
    with leases.hold("ingestion", "the next", soon()):
        assert holders(pool) == ["the next"]


def test_one_that_was_cut_off_too_long_learns_it(leases: Leases, pool: Pool) -> None:
    """A backup that was frozen would call whole what was made while pages changed."""
    frozen = NeonLeases(pool, beat_seconds=3600)
    with frozen.hold("backup", "point 1", soon()) as holding:
        holding.check(soon())
        expire(pool)
        holding.check(soon())  # nobody took its place
        with leases.hold("ingestion", "run", soon()), pytest.raises(PreconditionFailed, match="lost"):
            holding.check(soon())
        with pytest.raises(PreconditionFailed, match="lost"):
            holding.check(soon())


def test_whoever_takes_over_waits_for_the_last_write(leases: Leases, pool: Pool) -> None:
    """A run that lost its lease in the middle of a write would commit it over the next run's."""
    ledger = NeonLedger(pool, beat_seconds=3600)
    with ledger.lease(soon(), "run 1"):
        expire(pool)
        with ledger._write(soon(), "write") as transaction:
            with pytest.raises(TimedOut):
                leases.hold("ingestion", "run 2", Deadline.after(0.3)).__enter__()
            transaction.query("SELECT 1")
        with leases.hold("ingestion", "run 2", soon()), pytest.raises(PreconditionFailed, match="lost"):
            ledger.start_generation(Generation("g1", "f", "s", "building", 0, 0), soon())


def test_the_heartbeat_goes_on_during_a_long_write(pool: Pool) -> None:
    """A run would lose its lease to its own slowest write."""
    ledger = NeonLedger(pool, beat_seconds=0.01)
    with ledger.lease(soon(), "run 1"), ledger._write(soon(), "write"):
        expire(pool)
        end = soon()
        while left(pool) < 20:
            assert not end.expired()


def test_a_run_that_waits_for_a_backup_then_writes(pool: Pool) -> None:
    """The ledger's own lease is the same one: it would not see backups."""
    told: list[str] = []
    ledger = NeonLedger(pool)
    with NeonLeases(pool).hold("backup", "point 1", soon()), pytest.raises(PreconditionFailed):
        ledger.lease(soon(), "run", wait_seconds=0.01, waiting=told.append).__enter__()
    assert "by point 1" in told[0]
    with ledger.lease(soon(), "run"):
        ledger.start_generation(Generation("g1", "f", "s", "building", 0, 0), soon())


def test_the_lease_of_the_release_before_counts(leases: Leases, pool: Pool) -> None:
    """While a release is rolled out both versions run, and would ingest at once."""
    pool.statement(
        "INSERT INTO leases VALUES ('ingestion', gen_random_uuid(), 'process 1 on old', clock_timestamp(), "
        "clock_timestamp() + interval '30 seconds')",
        {},
        soon(),
        "set up",
    )
    for kind in ("ingestion", "backup"):
        with pytest.raises(PreconditionFailed, match="ingestion by process 1 on old"):
            leases.hold(kind, "new", soon()).__enter__()


def test_the_heartbeat_goes_on_after_an_outage(tls: TlsServer, tls_database: DatabaseUrl) -> None:
    """A backup of hours would lose its lease to one connection that was cut."""
    with (
        FaultProxy(("127.0.0.1", tls.port)) as proxy,
        Pool(replace(tls_database, port=proxy.port)) as pool,
        NeonLeases(pool, beat_seconds=0.01).hold("backup", "point 1", soon()) as holding,
    ):
        begun, end = proxy.connections, soon()
        proxy.cut_after(0)
        while proxy.connections - begun < 4:
            assert not end.expired()
        proxy.heal()
        expire(pool)
        while left(pool) < 20:
            assert not end.expired()
        holding.check(soon())


def expire(pool: Pool) -> None:
    """What half a minute without a heartbeat does, by the clock of the database."""
    pool.statement(
        "UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'", {}, soon(), "expire"
    )


def left(pool: Pool) -> float:
    """Seconds that the youngest lease still lasts."""
    rows = pool.statement(
        "SELECT extract(epoch FROM max(expires_at) - clock_timestamp()) FROM leases", {}, soon(), "look"
    )
    return float(rows[0][0])


def holders(pool: Pool) -> list[str]:
    return [row[0] for row in pool.statement("SELECT holder FROM leases", {}, soon(), "look")]
