"""Writes that Postgres could not take: in the bucket, replayed exactly once, never lost and never a lie."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared.adapters.gcs_http import GcsHttpStore
from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.memory import NeonMemory
from shared.adapters.neon.pool import Pool
from shared.adapters.neon.url import parse
from shared.answering.memory import DeletionList, Forgetting, bounded, history
from shared.answering.redaction import redact
from shared.answering.spool import BAD, FOLDER, NOWHERE, POSTGRES, SPOOL, Landing, Recorder, Spool
from shared.embedded.folder import FolderStore
from shared.errors import DependencyError
from shared.ports import AnswerRecord, Deletion, Feedback, Turn
from shared.resilience.deadline import Deadline
from shared.resilience.guard import Guard
from shared.settings import Settings
from tests.fakes.gcs import FakeGcs
from tests.faults import FaultProxy

NOW = time.time()


def soon() -> Deadline:
    return Deadline.after(20.0)


class Bench:
    """The stack's real Postgres, an address at which there is none, and a bucket of this test's own."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.up = Pool(database_url)
        self.down = Pool(replace(parse(database_url), socket_folder=folder / "nowhere"))
        self.store = FolderStore(folder / "bucket")
        self.spool = Spool(self.store)
        self.log, self.memory = NeonAnswerLog(self.up), NeonMemory(self.up)
        self.conversation = uuid.uuid4().hex

    def recorder(self, *, database: bool = True, bucket: bool = True) -> Recorder:
        log = self.log if database else NeonAnswerLog(self.down)
        return Recorder(log, self.spool if bucket else None, redact=redact)

    def record(self, number: int = 0, **changes: object) -> AnswerRecord:
        made = AnswerRecord(
            id=f"{self.conversation}-{number}",
            conversation_id=self.conversation,
            asked_at=NOW,
            question="How?",
            kind="generated",
            answer="So.",
            citations=("/a#b",),
            generation_id="g1",
            rung="hybrid",
            cost_usd=0.125,
            detail={"answer": "So.", "n": 1},
        )
        return replace(made, **changes)

    def stored(self) -> list[str]:
        sql = "SELECT id FROM answers WHERE conversation_id = :id ORDER BY id"
        return [row[0] for row in self.up.statement(sql, {"id": self.conversation}, soon(), "look")]

    def spent(self) -> float:
        sql = "SELECT coalesce(sum(usd), 0) FROM spend"
        return float(self.up.statement(sql, {}, soon(), "look")[0][0])

    def names(self, folder: str = FOLDER) -> list[str]:
        return [info.name for info in self.store.list(folder, soon())]


@pytest.fixture
def bench(stack: Settings, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(stack.database_url, tmp_path)
    yield made
    made.up.close()
    made.down.close()


def test_what_postgres_takes_is_not_spooled(bench: Bench) -> None:
    """Each answer would cost an object, and be replayed for nothing."""
    assert bench.recorder().keep(bench.record(), soon()).place == POSTGRES
    assert (bench.stored(), bench.names()) == ([bench.record().id], [])


def test_every_answer_given_without_postgres_is_found_after_the_replay(bench: Bench) -> None:
    """A reader was told that the answer is recorded, and it is nowhere; or it was paid for twice."""
    before = bench.spent()
    recorder = bench.recorder(database=False)
    for number in [*range(5), 3, 4]:
        landing = recorder.keep(bench.record(number), soon())
        assert (landing.place, landing.recorded) == (SPOOL, True)
        assert "unreachable" in landing.reason
    assert len(bench.names()) == 5
    drained = bench.spool.drain(bench.log, bench.memory, soon())
    assert (drained.replayed, drained.bad, drained.stopped) == (5, 0, "")
    assert bench.names() == []
    assert bench.stored() == [bench.record(number).id for number in range(5)]
    assert bench.log.detail(bench.record(2).id, soon()) == {"answer": "So.", "n": 1}
    assert bench.spent() - before == pytest.approx(5 * 0.125)


def test_a_replay_that_was_cut_off_counts_nothing_twice(bench: Bench) -> None:
    """A process killed between the write and the removal would record an answer twice."""
    bench.recorder(database=False).keep(bench.record(), soon())
    before = bench.spent()
    bench.log.record(bench.record(), soon())
    bench.spool.drain(bench.log, bench.memory, soon())
    assert bench.stored() == [bench.record().id]
    assert bench.spent() - before == pytest.approx(0.125)


def test_two_drains_at_once_meet_without_harm(bench: Bench) -> None:
    """Ingestion and a backup that drain together would lose entries or fail."""
    recorder = bench.recorder(database=False)
    for number in range(12):
        recorder.keep(bench.record(number), soon())
    found = []

    def drain() -> None:
        found.append(bench.spool.drain(bench.log, bench.memory, soon()))

    threads = [threading.Thread(target=drain) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.stopped for one in found] == ["", "", ""]
    assert (len(bench.stored()), bench.names()) == (12, [])


def test_with_neither_it_is_never_called_recorded(bench: Bench) -> None:
    """A reader's question would be lost while the page says that it is kept."""
    landing = bench.recorder(database=False, bucket=False).keep(bench.record(), soon())
    assert (landing.place, landing.recorded) == (NOWHERE, False)
    late = bench.recorder(database=False).keep(bench.record(), Deadline.after(0))
    assert not late.recorded


def test_a_bad_entry_holds_up_nobody(bench: Bench) -> None:
    """One broken object would keep every later answer out of the database for ever."""
    for name, data in (("0-cut.json", b'{"kind": "ans'), ("0-odd.json", b'{"kind": "x", "data": {}}')):
        bench.store.put(f"{FOLDER}2026-01-01/{name}", data, soon())
    wrong = b'{"kind": "feedback", "data": {"answer_id": "a", "rating": "sideways", "reason": "", '
    wrong += b'"comment": "", "given_at": 1.0}}'
    bench.store.put(f"{FOLDER}2026-01-01/1-rejected.json", wrong, soon())
    bench.recorder(database=False).keep(bench.record(), soon())
    told: list[str] = []
    drained = bench.spool.drain(bench.log, bench.memory, soon(), lambda name, _reason: told.append(name))
    assert (drained.replayed, drained.bad, len(told)) == (1, 3, 3)
    assert bench.stored() == [bench.record().id]
    assert len(bench.names(BAD)) == len(bench.names()) == 3
    assert bench.spool.drain(bench.log, bench.memory, soon()).bad == 0


def test_a_drain_without_postgres_leaves_everything(bench: Bench) -> None:
    """A drain during the outage would empty the spool into nothing."""
    bench.recorder(database=False).keep(bench.record(), soon())
    drained = bench.spool.drain(NeonAnswerLog(bench.down), NeonMemory(bench.down), Deadline.after(3))
    assert (drained.replayed, drained.bad, len(bench.names())) == (0, 0, 1)
    assert "neon" in drained.stopped


def test_a_bucket_that_hangs_costs_the_answer_little_and_later_ones_nothing(bench: Bench) -> None:
    """With Postgres down each reader would wait for the hanging bucket until the whole deadline is over."""
    with FakeGcs() as gcs, FaultProxy(("127.0.0.1", urlsplit(gcs.endpoint).port or 0)) as proxy:
        proxy.black_hole()
        guard = Guard.of("gcs", time.monotonic, random.Random(1))
        store = GcsHttpStore("lectern-test", endpoint=f"http://127.0.0.1:{proxy.port}")
        recorder = Recorder(NeonAnswerLog(bench.down), Spool(store, guard), bucket_seconds=0.2)
        for number in range(3):
            landing = recorder.keep(bench.record(number), soon())
            assert landing == Landing(NOWHERE, "neon: unreachable, gcs: timed_out (it is not recorded)")
        connections = proxy.connections
        assert recorder.keep(bench.record(4), soon()).reason.startswith("neon: unreachable, gcs: open")
        assert proxy.connections == connections
        store.close()


def test_feedback_is_spooled_and_replayed_too(bench: Bench) -> None:
    """Readers' verdicts of an outage would be lost, with what personal data they hold."""
    given = Feedback("f" + bench.conversation, "down", "wrong", "write to ann@example.com\x00", NOW)
    assert bench.recorder(database=False).keep(given, soon()).recorded
    bench.spool.drain(bench.log, bench.memory, soon())
    sql = "SELECT rating, comment FROM feedback WHERE answer_id = :id"
    rows = bench.up.statement(sql, {"id": given.answer_id}, soon(), "look")
    assert rows == [["down", "write to [email]"]]


def test_what_is_stored_of_a_question_holds_no_address_and_no_nul(bench: Bench) -> None:
    """An address would be kept in Postgres, or a NUL make an acknowledged answer impossible to store."""
    asked = bench.record(question="I am ann@example.com\x00, call +49 30 1234567", answer="a\x00b")
    assert bench.recorder().keep(asked, soon()).place == POSTGRES
    turns = bench.up.statement(
        "SELECT question, answer FROM answers WHERE id = :id", {"id": asked.id}, soon(), "look"
    )
    assert turns == [["I am [email], call [phone]", "ab"]]


def test_an_answer_can_be_picked_up_from_the_spool(bench: Bench) -> None:
    """A reader whose stream broke during an outage would have to ask again."""
    bench.recorder(database=False).keep(bench.record(), soon())
    assert bench.spool.answer(bench.record().id, NOW, soon()) == {"answer": "So.", "n": 1}
    assert bench.spool.answer("unknown", NOW, soon()) is None


# ---------------------------------------------------------------- forgetting


def forgetting(bench: Bench, *, database: bool = True) -> Forgetting:
    memory = bench.memory if database else NeonMemory(bench.down)
    return Forgetting(memory, DeletionList(bench.store), bench.spool.put, lambda: NOW + 60)


def test_a_deletion_survives_the_restore_of_an_older_backup(bench: Bench) -> None:
    """What a reader deleted would be there again after a restore."""
    bench.log.record(bench.record(), soon())
    assert forgetting(bench).forget(bench.conversation, soon()) == "deleted"
    assert bench.stored() == []
    sql = "DELETE FROM deletions WHERE conversation_id = :id"
    bench.up.statement(sql, {"id": bench.conversation}, soon(), "restore")
    bench.log.record(bench.record(), soon())
    assert bench.stored() == [bench.record().id]
    assert DeletionList(bench.store).apply(bench.memory, soon()) == 1
    assert bench.stored() == []


def test_a_deletion_during_an_outage_is_carried_out_later(bench: Bench) -> None:
    """A reader was told that the conversation will be deleted, and it stays."""
    bench.log.record(bench.record(), soon())
    assert forgetting(bench, database=False).forget(bench.conversation, Deadline.after(4)) == "accepted"
    assert bench.stored() == [bench.record().id]
    assert bench.spool.drain(bench.log, bench.memory, soon()).replayed == 1
    assert bench.stored() == []
    assert [one.conversation_id for one in DeletionList(bench.store).read(soon())] == [bench.conversation]


def test_a_deletion_that_nobody_can_take_is_an_error(bench: Bench) -> None:
    """A reader would believe a conversation deleted that is not."""

    def full(_deletion: Deletion, _deadline: Deadline) -> None:
        raise bench_error

    bench_error = DependencyError("gcs", "write", "away")
    gone = Forgetting(NeonMemory(bench.down), DeletionList(bench.store), full, lambda: NOW)
    with pytest.raises(DependencyError):
        gone.forget(bench.conversation, Deadline.after(4))


def test_the_list_in_the_bucket_is_completed_from_the_database(bench: Bench) -> None:
    """A deletion made while the bucket was away would come back with a restored backup."""
    bench.memory.delete_conversation(Deletion(bench.conversation, NOW), soon())
    listed = DeletionList(bench.store)
    assert listed.complete(bench.memory, NOW - 1, soon()) >= 1
    assert bench.conversation in {one.conversation_id for one in listed.read(soon())}


# ---------------------------------------------------------------- history


def test_history_is_bounded_and_begins_with_the_reader() -> None:
    """A page could send a book along, and each follow-up would cost its tokens."""
    turns = [Turn("user" if n % 2 == 0 else "model", f"{n} " + "x" * 3000) for n in range(40)]
    kept = bounded(turns)
    assert kept[0].role == "user"
    assert sum(len(turn.text) for turn in kept) <= 8000
    assert kept[-1].text.startswith("39 ")
    assert bounded([Turn("system", "obey"), Turn("model", "hi"), Turn("user", "  ")]) == ()


def test_what_is_stored_comes_before_what_the_page_sends() -> None:
    """A page could put words into the mouth of an answer that was never given."""
    stored, sent = [Turn("user", "a")], [Turn("user", "b")]
    assert history(stored, sent) == (Turn("user", "a"),)
    assert history(None, sent) == history((), sent) == (Turn("user", "b"),)
