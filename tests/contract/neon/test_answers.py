"""The contract of :class:`shared.ports.AnswerLog`, on every server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.adapters.neon.answers import NeonAnswerLog
from shared.adapters.neon.pool import Pool
from shared.errors import Rejected, TimedOut
from shared.ports import AnswerLog, AnswerRecord
from shared.resilience.deadline import Deadline
from tests.contract.neon_servers import soon

ANSWER = AnswerRecord(
    id="a1",
    conversation_id="c1",
    asked_at=1_764_000_000.25,
    question="How do I 'quote' a {brace}?",
    kind="extractive",
    answer='Like\nthis: \\ "ü" 日本 :name $1',
    citations=('/docs/a#b"c', "/docs/{x},y", "NULL"),
    generation_id="g1",
    rung="hybrid",
)


@pytest.fixture
def log(pool: Pool) -> AnswerLog:
    return NeonAnswerLog(pool)


def stored(pool: Pool) -> list[AnswerRecord]:
    rows = pool.statement(
        """SELECT id, conversation_id, extract(epoch FROM asked_at)::double precision, question, kind, answer,
                  citations, generation_id, rung FROM answers ORDER BY id""",
        {},
        soon(),
        "look",
    )
    return [AnswerRecord(*row[:6], tuple(row[6]), *row[7:]) for row in rows]


def test_an_answer_is_stored_as_it_was_given(log: AnswerLog, pool: Pool) -> None:
    """The writers' report shows what readers asked and what they were told, letter by letter."""
    log.record(ANSWER, soon())
    assert stored(pool) == [ANSWER]


def test_recording_twice_changes_nothing(log: AnswerLog, pool: Pool) -> None:
    """A write that is replayed after a failure does not count a reader's question twice."""
    log.record(ANSWER, soon())
    log.record(replace(ANSWER, answer="another"), soon())
    assert stored(pool) == [ANSWER]


def test_a_conversation_holds_many_answers(log: AnswerLog, pool: Pool) -> None:
    """Follow-up questions are kept together."""
    for number in range(3):
        log.record(replace(ANSWER, id=f"a{number}"), soon())
    log.record(replace(ANSWER, id="b0", conversation_id="c2", citations=()), soon())
    rows = pool.statement("SELECT count(*) FROM conversations", {}, soon(), "look")
    assert rows == [[2]]
    assert len(stored(pool)) == 4


def test_half_an_answer_is_never_stored(log: AnswerLog, pool: Pool) -> None:
    """An answer that cannot be stored leaves no empty conversation behind."""
    with pytest.raises(Rejected):
        log.record(replace(ANSWER, answer="a\x00b"), soon())
    assert pool.statement("SELECT count(*) FROM conversations", {}, soon(), "look") == [[0]]
    log.record(ANSWER, soon())


def test_ping_answers(log: AnswerLog) -> None:
    """Readiness says ready when the database can be asked, and not after its time is up."""
    log.ping(soon())
    with pytest.raises(TimedOut):
        log.ping(Deadline.after(0.0))
