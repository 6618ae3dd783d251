"""The contracts of :class:`shared.ports.Memory` and ``ApiKeys``, and what the log keeps beside answers."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.keys import NeonApiKeys
from shared.adapters.neon.ledger import NeonLedger
from shared.adapters.neon.memory import NeonMemory
from shared.adapters.neon.pool import Pool
from shared.errors import Rejected
from shared.ports import Allowance, ApiKey, Deletion, Feedback, Generation, PageRecord
from tests.contract.neon.test_answers import ANSWER, stored
from tests.contract.neon_servers import soon

NOW = 1_764_000_000.0


@pytest.fixture
def log(pool: Pool) -> NeonAnswerLog:
    return NeonAnswerLog(pool)


@pytest.fixture
def memory(pool: Pool) -> NeonMemory:
    return NeonMemory(pool)


def ids(pool: Pool) -> list[str]:
    return [one.id for one in stored(pool)]


def history(memory: NeonMemory, conversation: str) -> list[str]:
    allowance = Allowance(1000, 1.0)
    found = memory.open_question(
        soon(), caller="x", allowance=allowance, cache_key="", conversation_id=conversation
    )
    return [turn.text for turn in found.history]


def test_a_deleted_conversation_is_gone_and_stays_gone(log, memory, pool: Pool) -> None:
    """A reader's deleted words would come back with a restored backup or a late replay from the spool."""
    log.record(replace(ANSWER, id="old", asked_at=NOW), soon())
    log.record(replace(ANSWER, id="other", conversation_id="c2", asked_at=NOW), soon())
    log.give_feedback(Feedback("old", "up", "", "my name is Ann", NOW), soon())
    memory.delete_conversation(Deletion("c1", NOW + 10), soon())
    assert ids(pool) == ["other"]
    assert pool.statement("SELECT count(*) FROM feedback", {}, soon(), "look") == [[0]]
    log.record(replace(ANSWER, id="replayed", asked_at=NOW + 5), soon())
    assert ids(pool) == ["other"]
    log.record(replace(ANSWER, id="new", asked_at=NOW + 20), soon())
    assert ids(pool) == ["new", "other"]
    assert history(memory, "c1") == [ANSWER.question, ANSWER.answer]


def test_deletions_are_applied_to_what_a_backup_brought_back(log, memory, pool: Pool) -> None:
    """A restored database would answer follow-ups with what a reader deleted after the backup."""
    log.record(replace(ANSWER, id="a", asked_at=NOW), soon())
    log.record(replace(ANSWER, id="b", conversation_id="c2", asked_at=NOW), soon())
    from_the_bucket = [Deletion("c1", NOW + 1), Deletion("c2", NOW - 1), Deletion("c1", NOW - 5)]
    assert memory.apply_deletions(from_the_bucket, soon()) == 1
    assert memory.apply_deletions(from_the_bucket, soon()) == 0
    assert ids(pool) == ["b"]
    assert memory.deletions(NOW, soon()) == [Deletion("c1", NOW + 1)]
    assert pool.statement("SELECT id FROM conversations", {}, soon(), "look") == [["c2"]]


def test_old_conversations_are_pruned(log, memory, pool: Pool) -> None:
    """What readers asked would be kept for longer than the operator promised."""
    log.record(replace(ANSWER, id="old", conversation_id="c0", asked_at=time.time() - 31 * 86_400), soon())
    log.record(replace(ANSWER, id="young", asked_at=time.time() - 29 * 86_400), soon())
    log.give_feedback(Feedback("old", "up", "", "", time.time() - 31 * 86_400), soon())
    assert memory.prune(30, soon()) == 1
    assert ids(pool) == ["young"]
    assert pool.statement("SELECT id FROM conversations", {}, soon(), "look") == [["c1"]]


def test_the_latest_feedback_counts(log, pool: Pool) -> None:
    """A verdict that was spooled and replayed late would replace the one the reader changed it to."""
    log.give_feedback(Feedback("a", "down", "wrong", "no", NOW + 2), soon())
    log.give_feedback(Feedback("a", "up", "", "", NOW + 1), soon())
    assert pool.statement("SELECT rating, reason FROM feedback", {}, soon(), "look") == [["down", "wrong"]]


def test_an_answer_can_be_picked_up(log) -> None:
    """A reader whose stream broke would have to ask, and the operator to pay, again."""
    detail = {"answer": 'it\'s "ü"', "citations": [{"n": 1}]}
    log.record(replace(ANSWER, detail=detail), soon())
    assert log.detail(ANSWER.id, soon()) == detail
    assert log.detail("unknown", soon()) is None


def test_spend_counts_a_replayed_answer_once_and_on_its_own_day(log, memory, pool: Pool) -> None:
    """A replay would stop generation for the day, because the meter counted an answer twice or today."""
    for _ in range(2):
        log.record(replace(ANSWER, asked_at=time.time() - 40 * 86_400, cost_usd=0.5), soon())
    memory.add_spend(0.25, soon())
    assert log.spent_this_month(soon()) == 0.25
    rows = pool.statement("SELECT usd FROM spend ORDER BY day", {}, soon(), "look")
    assert rows == [[0.5], [0.25]]
    opening = memory.open_question(
        soon(), caller="x", allowance=Allowance(1, 1), cache_key="", conversation_id=""
    )
    assert (opening.spent_today, opening.spent_this_month) == (0.25, 0.25)


def test_titles_are_those_of_the_live_generation(memory, pool: Pool) -> None:
    """The page would suggest questions about pages that readers cannot be answered from."""
    ledger = NeonLedger(pool)
    for name in ("g1", "g2"):
        ledger.start_generation(Generation(name, "f", "s", "building", 0, 0), soon())
        pages = [PageRecord(f"/{name}/{n}", f"Page {n}", "h", n) for n in range(4)]
        ledger.save_pages(name, pages, soon())
    ledger.finish_generation("g2", 4, 6, soon())
    assert memory.titles(2, soon()) == [("Page 3", "/g2/3"), ("Page 2", "/g2/2")]


def test_active_sessions_are_conversations_of_late(log, memory) -> None:
    """The dashboard would count questions, or last week's readers, as sessions."""
    for number in range(3):
        log.record(replace(ANSWER, id=f"a{number}", asked_at=time.time() - 10), soon())
    log.record(replace(ANSWER, id="b", conversation_id="c2", asked_at=time.time() - 5000), soon())
    assert memory.active_sessions(1800, soon()) == 1


def test_api_keys_are_added_listed_and_revoked_once(pool: Pool) -> None:
    """A revoked key would go on working, or two keys would be one."""
    keys = NeonApiKeys(pool)
    with pool.transaction(soon(), "empty") as transaction:
        transaction.script("TRUNCATE api_keys")
    first = ApiKey("k1", "docs site", "a" * 64, 60, NOW)
    keys.add(first, soon())
    with pytest.raises(Rejected):
        keys.add(replace(first, id="k2"), soon())
    assert keys.all(soon()) == [first]
    assert [keys.revoke("k1", soon()) for _ in range(2)] == [True, False]
    assert keys.all(soon())[0].revoked_at is not None
