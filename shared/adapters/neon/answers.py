"""The log of answers of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

import json
from typing import Any

from shared.adapters.neon.pool import Pool
from shared.ports import AnswerRecord, Feedback, Json
from shared.resilience.deadline import Deadline

# One statement: all rows or none, in one round trip. What it cost is counted with it, so a write that is
# replayed from the spool is paid for once. What a reader deleted stays deleted, also when the spool is late.
_RECORD = """
WITH given AS (
    SELECT to_timestamp(CAST(:asked_at AS double precision)) AS asked_at
    WHERE NOT EXISTS (
        SELECT 1 FROM deletions
        WHERE conversation_id = :conversation_id
          AND deleted_at >= to_timestamp(CAST(:asked_at AS double precision))
    )
), conversation AS (
    INSERT INTO conversations (id, started_at) SELECT :conversation_id, asked_at FROM given
    ON CONFLICT (id) DO NOTHING
), recorded AS (
    INSERT INTO answers
        (id, conversation_id, asked_at, question, kind, answer, citations, generation_id, rung, detail)
    SELECT
        :id, :conversation_id, asked_at, :question, :kind, :answer, CAST(:citations AS text[]),
        :generation_id, :rung, CAST(:detail AS jsonb)
    FROM given
    ON CONFLICT (id) DO NOTHING
    RETURNING asked_at
)
INSERT INTO spend (day, usd)
SELECT (asked_at AT TIME ZONE 'UTC')::date, CAST(:cost_usd AS double precision) FROM recorded
WHERE CAST(:cost_usd AS double precision) > 0
ON CONFLICT (day) DO UPDATE SET usd = spend.usd + excluded.usd
"""
_FEEDBACK = """
INSERT INTO feedback (answer_id, rating, reason, comment, given_at)
VALUES (:answer_id, :rating, :reason, :comment, to_timestamp(CAST(:given_at AS double precision)))
ON CONFLICT (answer_id) DO UPDATE SET
    rating = excluded.rating, reason = excluded.reason, comment = excluded.comment,
    given_at = excluded.given_at
WHERE feedback.given_at <= excluded.given_at
"""
_SPENT = """
SELECT coalesce(sum(usd), 0) FROM spend WHERE day >= date_trunc('month', now() AT TIME ZONE 'UTC')
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
            "detail": _json(answer.detail),
            "cost_usd": answer.cost_usd,
        }
        self._pool.statement(_RECORD, params, deadline, "record the answer")

    def give_feedback(self, feedback: Feedback, deadline: Deadline) -> None:
        params = {
            "answer_id": feedback.answer_id,
            "rating": feedback.rating,
            "reason": feedback.reason,
            "comment": feedback.comment,
            "given_at": feedback.given_at,
        }
        self._pool.statement(_FEEDBACK, params, deadline, "store the feedback")

    def detail(self, answer_id: str, deadline: Deadline) -> Json | None:
        sql = "SELECT detail FROM answers WHERE id = :id"
        rows = self._pool.statement(sql, {"id": answer_id}, deadline, "read the answer")
        found: Any = rows[0][0] if rows else None
        return found if isinstance(found, dict) else None

    def ping(self, deadline: Deadline) -> None:
        self._pool.statement("SELECT 1", {}, deadline, "ping")

    def spent_this_month(self, deadline: Deadline) -> float:
        return float(self._pool.statement(_SPENT, {}, deadline, "read the spend meter")[0][0])


def _json(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value)
