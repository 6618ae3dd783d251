"""The log of answers of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

from shared.adapters.neon.pool import Pool
from shared.ports import AnswerRecord
from shared.resilience.deadline import Deadline

# One statement: both rows or neither, in one round trip.
_RECORD = """
WITH conversation AS (
    INSERT INTO conversations (id, started_at)
    VALUES (:conversation_id, to_timestamp(CAST(:asked_at AS double precision)))
    ON CONFLICT (id) DO NOTHING
)
INSERT INTO answers
    (id, conversation_id, asked_at, question, kind, answer, citations, generation_id, rung)
VALUES
    (:id, :conversation_id, to_timestamp(CAST(:asked_at AS double precision)), :question, :kind, :answer,
     CAST(:citations AS text[]), :generation_id, :rung)
ON CONFLICT (id) DO NOTHING
"""


class NeonAnswerLog:
    """See :class:`shared.ports.AnswerLog`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def record(self, answer: AnswerRecord, deadline: Deadline) -> None:
        params = {
            "id": answer.id,
            "conversation_id": answer.conversation_id,
            "asked_at": answer.asked_at,
            "question": answer.question,
            "kind": answer.kind,
            "answer": answer.answer,
            "citations": list(answer.citations),
            "generation_id": answer.generation_id,
            "rung": answer.rung,
        }
        self._pool.statement(_RECORD, params, deadline, "record the answer")

    def ping(self, deadline: Deadline) -> None:
        self._pool.statement("SELECT 1", {}, deadline, "ping")
