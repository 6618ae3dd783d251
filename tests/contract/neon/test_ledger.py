"""The contract of :class:`shared.ports.Ledger`, on every server."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import DatabaseUrl
from shared.errors import Missing, PreconditionFailed, Rejected, TimedOut
from shared.ports import Generation, Ledger, PageRecord
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import TlsServer, soon
from tests.faults import FaultProxy


@pytest.fixture
def ledger(pool: Pool) -> Ledger:
    return NeonLedger(pool)


def generation(name: str, status: str = "building") -> Generation:
    return Generation(name, f"fingerprint of {name}", "https://docs.example/", status, 0, 0)


def test_generations_are_listed_newest_first(ledger: Ledger) -> None:
    """Status shows what is being built and what serves, in the order of their making."""
    for name in ("g1", "g3", "g2"):
        ledger.start_generation(generation(name), soon())
    assert [each.id for each in ledger.generations(soon())] == ["g2", "g3", "g1"]
    assert ledger.generations(soon())[0] == generation("g2")


def test_starting_twice_is_starting_once(ledger: Ledger) -> None:
    """An ingestion that was interrupted goes on with the generation that it had begun."""
    ledger.start_generation(generation("g1"), soon())
    ledger.save_pages("g1", [PageRecord("/a", "A", "hash", 2)], soon())
    ledger.start_generation(generation("g1"), soon())
    assert [each.id for each in ledger.generations(soon())] == ["g1"]
    assert list(ledger.pages("g1", soon())) == ["/a"]


def test_finishing_makes_it_the_only_live_one(ledger: Ledger) -> None:
    """Readers are served from exactly one generation, with the counts that status shows."""
    for name, pages in (("g1", 1), ("g2", 2)):
        ledger.start_generation(generation(name), soon())
        ledger.finish_generation(name, pages, pages * 10, soon())
    states = {each.id: (each.status, each.pages, each.chunks) for each in ledger.generations(soon())}
    assert states == {"g2": ("live", 2, 20), "g1": ("retired", 1, 10)}


def test_finishing_again_updates_the_counts(ledger: Ledger) -> None:
    """The second ingestion into the live generation leaves it live, with its new counts."""
    ledger.start_generation(generation("g1"), soon())
    ledger.finish_generation("g1", 1, 10, soon())
    ledger.start_generation(generation("g1"), soon())
    ledger.finish_generation("g1", 3, 30, soon())
    [only] = ledger.generations(soon())
    assert (only.status, only.pages, only.chunks) == ("live", 3, 30)


def test_finishing_what_was_never_started_changes_nothing(ledger: Ledger) -> None:
    """A wrong id cannot take the live generation away from readers."""
    ledger.start_generation(generation("g1"), soon())
    ledger.finish_generation("g1", 1, 1, soon())
    with pytest.raises(Missing, match="finish generation nowhere"):
        ledger.finish_generation("nowhere", 1, 1, soon())
    assert [each.status for each in ledger.generations(soon())] == ["live"]


def test_pages_come_back_as_they_were_saved(ledger: Ledger) -> None:
    """Any title and URL survives, whatever quotes, braces or scripts it has."""
    awkward = [
        PageRecord('/a?b={c}&d="e"', "quotes ' \" \\ {x,y} NULL", "h1", 3),
        PageRecord("/ü/日本", "", "", 0),
        PageRecord("/null", "NULL", "null", 1),
        PageRecord("/newline", "two\nlines\t,", "h2", 2),
    ]
    ledger.start_generation(generation("g1"), soon())
    ledger.save_pages("g1", awkward, soon())
    assert ledger.pages("g1", soon()) == {page.url: page for page in awkward}


def test_saving_replaces_and_the_last_of_a_batch_wins(ledger: Ledger) -> None:
    """A page that changed is known by its new hash."""
    ledger.start_generation(generation("g1"), soon())
    ledger.save_pages("g1", [PageRecord("/a", "A", "old", 1)], soon())
    ledger.save_pages("g1", [PageRecord("/a", "A", "", 1), PageRecord("/a", "A2", "new", 2)], soon())
    ledger.save_pages("g1", [], soon())
    assert ledger.pages("g1", soon()) == {"/a": PageRecord("/a", "A2", "new", 2)}


def test_generations_do_not_share_pages(ledger: Ledger) -> None:
    """Building the next index beside the live one does not disturb it."""
    for name in ("g1", "g2"):
        ledger.start_generation(generation(name), soon())
        ledger.save_pages(name, [PageRecord("/a", name, "h", 1), PageRecord("/b", name, "h", 1)], soon())
    ledger.remove_pages("g1", ["/a", "/unknown"], soon())
    ledger.remove_pages("g1", [], soon())
    assert list(ledger.pages("g1", soon())) == ["/b"]
    assert list(ledger.pages("g2", soon())) == ["/a", "/b"]


def test_forgetting_takes_the_pages_along(ledger: Ledger) -> None:
    """A retired index leaves no rows behind; forgetting what is not there is fine."""
    ledger.start_generation(generation("g1"), soon())
    ledger.save_pages("g1", [PageRecord("/a", "A", "h", 1)], soon())
    ledger.forget_generation("g1", soon())
    ledger.forget_generation("g1", soon())
    assert ledger.generations(soon()) == []
    assert ledger.pages("g1", soon()) == {}


def test_ten_thousand_pages_are_one_call(ledger: Ledger) -> None:
    """A large site is recorded without a round trip a page."""
    ledger.start_generation(generation("g1"), soon())
    ledger.save_pages("g1", [PageRecord(f"/{n}", f"Page {n}", "h", n) for n in range(10_000)], soon())
    assert len(ledger.pages("g1", soon())) == 10_000


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_postgres_cannot_hold_is_rejected(ledger: Ledger, text: str) -> None:
    """A broken page is named as what it is, and the connection goes on working."""
    ledger.start_generation(generation("g1"), soon())
    with pytest.raises(Rejected):
        ledger.save_pages("g1", [PageRecord("/a", text, "h", 1)], soon())
    assert ledger.pages("g1", soon()) == {}


def test_pages_of_an_unknown_generation_are_rejected(ledger: Ledger) -> None:
    """Pages cannot be recorded for an index that does not exist."""
    with pytest.raises(Rejected, match="23503"):
        ledger.save_pages("nowhere", [PageRecord("/a", "A", "h", 1)], soon())


def test_every_write_moves_the_version_and_nothing_else_does(pool: Pool) -> None:
    """Two halves of a recovery point would be taken for one state of the index although pages changed."""
    ledger = NeonLedger(pool)
    versions = [ledger.version(soon())]
    writes = (
        lambda: ledger.start_generation(generation("g1"), soon()),
        lambda: ledger.save_pages("g1", [PageRecord("/a", "A", "h", 1)], soon()),
        lambda: ledger.remove_pages("g1", ["/a"], soon()),
        lambda: ledger.finish_generation("g1", 0, 0, soon()),
        lambda: ledger.forget_generation("g1", soon()),
        lambda: ledger.step(soon()),
    )
    for write in writes:
        write()
        versions.append(ledger.version(soon()))
    assert versions == list(range(versions[0], versions[0] + len(writes) + 1))
    ledger.generations(soon())
    with pytest.raises(Missing):
        ledger.finish_generation("nowhere", 1, 1, soon())
    assert ledger.version(soon()) == versions[-1]


def test_a_second_run_is_told_who_holds_the_lease(pool: Pool) -> None:
    """Two ingestions never write at once, and the second one learns who is at it and since when."""
    with (
        NeonLedger(pool).lease(soon()),
        pytest.raises(PreconditionFailed, match=r"process \d+ on .* since 20\d\d-.* UTC"),
        NeonLedger(pool).lease(soon()),
    ):
        pytest.fail("both hold the lease")
    with NeonLedger(pool).lease(soon()):
        pass


def test_of_many_that_start_together_one_gets_the_lease(pool: Pool) -> None:
    """A scheduler that fires twice starts one ingestion."""
    outcomes: list[str] = []
    together, decided = threading.Barrier(4), threading.Barrier(4)

    def contend() -> None:
        together.wait()
        try:
            with NeonLedger(pool).lease(soon()):
                outcomes.append("held")
                decided.wait()
        except PreconditionFailed:
            outcomes.append("refused")
            decided.wait()

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held", "refused", "refused", "refused"]


def test_the_lease_of_a_killed_holder_is_taken_over(pool: Pool) -> None:
    """After a crash the next ingestion starts by itself, and the dead one can no longer write."""
    crashed = NeonLedger(pool, beat_seconds=3600)
    with crashed.lease(soon()):
        crashed.start_generation(generation("g1"), soon())
        expire(pool)
        with NeonLedger(pool).lease(soon()), pytest.raises(PreconditionFailed, match="lost"):
            crashed.save_pages("g1", [PageRecord("/a", "A", "h", 1)], soon())
        assert crashed.pages("g1", soon()) == {}
        with pytest.raises(PreconditionFailed, match="lost"):
            crashed.check_lease(soon())
    crashed.check_lease(soon())


def test_the_heartbeat_keeps_the_lease(pool: Pool) -> None:
    """An ingestion that takes hours is not interrupted by the next one."""
    holder = NeonLedger(pool, beat_seconds=0.01)
    with holder.lease(soon()):
        expire(pool)
        end = soon()
        while left(pool) < 20:
            assert not end.expired()
        with pytest.raises(PreconditionFailed), NeonLedger(pool).lease(soon()):
            pass


def test_the_heartbeat_goes_on_after_an_outage(tls: TlsServer, tls_database: DatabaseUrl) -> None:
    """An ingestion of hours would lose its lease to one connection that was cut."""
    with (
        FaultProxy(("127.0.0.1", tls.port)) as proxy,
        Pool(replace(tls_database, port=proxy.port)) as pool,
        NeonLedger(pool, beat_seconds=0.01).lease(soon()),
    ):
        begun, end = proxy.connections, soon()
        proxy.cut_after(0)
        while proxy.connections - begun < 4:
            assert not end.expired()
        proxy.heal()
        expire(pool)
        while left(pool) < 20:
            assert not end.expired()


def test_an_exception_gives_the_lease_back(pool: Pool) -> None:
    """An ingestion that failed can be started again at once."""
    with pytest.raises(ZeroDivisionError), NeonLedger(pool).lease(soon()):
        raise ZeroDivisionError
    with NeonLedger(pool).lease(soon()):
        pass


def test_a_locked_table_is_a_timeout(ledger: Ledger, pool: Pool) -> None:
    """A call never outlasts its deadline, and the connection is still good afterwards."""
    ledger.start_generation(generation("g1"), soon())
    with pool.transaction(soon(), "hold") as holder:
        holder.script("LOCK TABLE pages IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TimedOut):
            ledger.save_pages("g1", [PageRecord("/a", "A", "h", 1)], Deadline.after(0.2))
        with pytest.raises(TimedOut):
            ledger.pages("g1", Deadline.after(0.2))
        with pytest.raises(TimedOut):
            ledger.pages("g1", Deadline.after(0.0))
    assert ledger.pages("g1", soon()) == {}


def expire(pool: Pool) -> None:
    """What half a minute without a heartbeat does."""
    with pool.transaction(soon(), "expire") as transaction:
        transaction.query("UPDATE leases SET expires_at = clock_timestamp() - interval '1 second'")


def left(pool: Pool) -> float:
    rows = pool.statement(
        "SELECT extract(epoch FROM expires_at - clock_timestamp()) FROM leases", {}, soon(), "look"
    )
    return float(rows[0][0])
