"""Conversations, limits and spend of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shared.adapters.neon import opening
from shared.adapters.neon.pool import Pool, Transaction
from shared.ports import Allowance, Deletion, Opening
from shared.resilience.deadline import Deadline

_LIMITS_KEPT_DAYS = 2
"""Visitors' keys change with the day, and a bucket is full again long before."""

_REMEMBER = """
INSERT INTO deletions (conversation_id, deleted_at)
SELECT (one ->> 0), to_timestamp(CAST(one ->> 1 AS double precision))
FROM jsonb_array_elements(CAST(:deletions AS jsonb)) AS one
ON CONFLICT (conversation_id) DO UPDATE SET
    deleted_at = greatest(deletions.deleted_at, excluded.deleted_at)
"""
_CARRY_OUT = """
WITH gone AS (
    DELETE FROM answers USING deletions
    WHERE deletions.conversation_id = answers.conversation_id AND answers.asked_at <= deletions.deleted_at
    RETURNING answers.id
), verdicts AS (
    DELETE FROM feedback USING gone WHERE feedback.answer_id = gone.id
)
SELECT count(*) FROM gone
"""
# Two steps: an answer that is recorded meanwhile waits for the lock and is then written with its
# conversation anew, instead of being taken along by the deletion.
_LOCK_EMPTY = """
SELECT id FROM conversations AS one
WHERE NOT EXISTS (SELECT 1 FROM answers WHERE conversation_id = one.id)
FOR UPDATE SKIP LOCKED
"""
_REMOVE_EMPTY = """
DELETE FROM conversations AS one
WHERE id = ANY(CAST(:ids AS text[]))
  AND NOT EXISTS (SELECT 1 FROM answers WHERE conversation_id = one.id)
"""
_DELETED_SINCE = """
SELECT conversation_id, CAST(extract(epoch FROM deleted_at) AS double precision) FROM deletions
WHERE deleted_at >= to_timestamp(CAST(:since AS double precision)) ORDER BY deleted_at, conversation_id
"""
_OLD = "now() - make_interval(secs => CAST(:seconds AS double precision))"
_PRUNE_ANSWERS = f"DELETE FROM answers WHERE asked_at < {_OLD} RETURNING id"  # noqa: S608 - from constants
_PRUNE_FEEDBACK = f"DELETE FROM feedback WHERE given_at < {_OLD}"  # noqa: S608 - from constants
_PRUNE_LIMITS = f"DELETE FROM rate_limits WHERE updated_at < {_OLD}"  # noqa: S608 - from constants
_PRUNE_CACHE = "DELETE FROM cached_answers WHERE expires_at < now()"
_TITLES = """
SELECT pages.title, pages.url FROM pages JOIN generations ON generations.id = pages.generation_id
WHERE generations.status = 'live' AND pages.title <> ''
ORDER BY pages.chunks DESC, pages.url LIMIT CAST(:limit AS integer)
"""
_SESSIONS = f"SELECT count(DISTINCT conversation_id) FROM answers WHERE asked_at >= {_OLD}"  # noqa: S608
_SECONDS_OF_DAY = 86_400.0


class NeonMemory:
    """See :class:`shared.ports.Memory`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def open_question(
        self,
        deadline: Deadline,
        *,
        caller: str,
        allowance: Allowance,
        cache_key: str,
        conversation_id: str,
        questions_back: int = 6,
    ) -> Opening:
        return opening.open_question(
            self._pool,
            deadline,
            caller=caller,
            allowance=allowance,
            cache_key=cache_key,
            conversation_id=conversation_id,
            questions_back=questions_back,
        )

    def add_spend(self, usd: float, deadline: Deadline) -> None:
        opening.add_spend(self._pool, usd, deadline)

    def delete_conversation(self, deletion: Deletion, deadline: Deadline) -> None:
        self.apply_deletions([deletion], deadline)

    def deletions(self, since: float, deadline: Deadline) -> list[Deletion]:
        rows = self._pool.statement(_DELETED_SINCE, {"since": since}, deadline, "read the deletions")
        return [Deletion(*row) for row in rows]

    def apply_deletions(self, deletions: Sequence[Deletion], deadline: Deadline) -> int:
        latest: dict[str, float] = {}
        for one in deletions:
            latest[one.conversation_id] = max(one.at, latest.get(one.conversation_id, one.at))
        with self._pool.transaction(deadline, "delete conversations") as transaction:
            if latest:
                transaction.query(_REMEMBER, deletions=json.dumps(list(latest.items())))
            removed = int(transaction.query(_CARRY_OUT)[0][0])
            _remove_empty(transaction)
        return removed

    def prune(self, keep_days: float, deadline: Deadline) -> int:
        kept = keep_days * _SECONDS_OF_DAY
        with self._pool.transaction(deadline, "prune conversations") as transaction:
            removed = transaction.query(_PRUNE_ANSWERS, seconds=kept)
            _remove_empty(transaction)
            transaction.query(_PRUNE_FEEDBACK, seconds=kept)
            transaction.query(_PRUNE_LIMITS, seconds=_LIMITS_KEPT_DAYS * _SECONDS_OF_DAY)
            transaction.query(_PRUNE_CACHE)
        return len(removed)

    def titles(self, limit: int, deadline: Deadline) -> list[tuple[str, str]]:
        rows = self._pool.statement(_TITLES, {"limit": limit}, deadline, "read page titles")
        return [(row[0], row[1]) for row in rows]

    def active_sessions(self, seconds: float, deadline: Deadline) -> int:
        return int(self._pool.statement(_SESSIONS, {"seconds": seconds}, deadline, "count sessions")[0][0])


def _remove_empty(transaction: Transaction) -> None:
    empty = [row[0] for row in transaction.query(_LOCK_EMPTY)]
    if empty:
        transaction.query(_REMOVE_EMPTY, ids=empty)
