"""What a question needs of the database before its first token, in one round trip.

May this caller ask, was this asked before, what was spent, what was said before: one
statement answers all four, because each round trip to another region costs the reader tens of
milliseconds.
"""

from __future__ import annotations

from shared.adapters.neon.pool import Pool
from shared.ports import Allowance, Opening, Turn
from shared.resilience.deadline import Deadline

# The bucket refills with time up to its capacity; a refused request takes nothing out of it.
# An insertion that waited for another one has an older now() than the row: never refill backwards.
_REFILLED = """least(
    CAST(:capacity AS double precision),
    bucket.tokens + CAST(:per_second AS double precision)
        * greatest(0, CAST(extract(epoch FROM now() - bucket.updated_at) AS double precision))
)"""

_OPEN = f"""
WITH bucket AS (
    INSERT INTO rate_limits AS bucket (key, tokens, granted, updated_at)
    VALUES (:caller, CAST(:capacity AS double precision) - 1, TRUE, now())
    ON CONFLICT (key) DO UPDATE SET
        tokens = {_REFILLED} - CASE WHEN {_REFILLED} >= 1 THEN 1 ELSE 0 END,
        granted = {_REFILLED} >= 1,
        updated_at = greatest(bucket.updated_at, now())
    RETURNING tokens, granted
), history AS (
    SELECT asked_at, question, answer FROM answers
    WHERE conversation_id = :conversation ORDER BY asked_at DESC LIMIT CAST(:turns AS integer)
), month AS (
    SELECT day, usd FROM spend WHERE day >= date_trunc('month', now() AT TIME ZONE 'UTC')
)
SELECT
    bucket.granted,
    bucket.tokens,
    (SELECT payload FROM cached_answers WHERE key = :cache_key AND expires_at > now()),
    (SELECT coalesce(sum(usd), 0) FROM month WHERE day = (now() AT TIME ZONE 'UTC')::date),
    (SELECT coalesce(sum(usd), 0) FROM month),
    (SELECT coalesce(jsonb_agg(jsonb_build_array(question, answer) ORDER BY asked_at), '[]') FROM history),
    (SELECT coalesce(max(epoch), 0) FROM cache_epoch)
FROM bucket
"""  # noqa: S608 - put together from constants

_ADD_SPEND = """
INSERT INTO spend (day, usd)
VALUES ((now() AT TIME ZONE 'UTC')::date, CAST(:usd AS double precision))
ON CONFLICT (day) DO UPDATE SET usd = spend.usd + excluded.usd
"""


def open_question(
    pool: Pool,
    deadline: Deadline,
    *,
    caller: str,
    allowance: Allowance,
    cache_key: str,
    conversation_id: str,
    questions_back: int = 6,
) -> Opening:
    """Take one request out of the caller's bucket and read cache, spend and history.

    ``caller`` names the bucket; at most ``questions_back`` earlier questions are returned, each
    with its answer. Errors are those of :class:`shared.ports.AnswerLog`.
    """
    params = {
        "caller": caller,
        "capacity": allowance.capacity,
        "per_second": allowance.per_second,
        "cache_key": cache_key,
        "conversation": conversation_id,
        "turns": questions_back,
    }
    granted, tokens, cached, today, month, history, epoch = pool.statement(
        _OPEN, params, deadline, "open a question"
    )[0]
    return Opening(
        granted=granted,
        retry_after=0.0 if granted else (1.0 - tokens) / allowance.per_second,
        cached=cached,
        spent_today=today,
        spent_this_month=month,
        history=tuple(
            turn for question, answer in history for turn in (Turn("user", question), Turn("model", answer))
        ),
        epoch=epoch,
    )


def add_spend(pool: Pool, usd: float, deadline: Deadline) -> None:
    """Add to what was spent today."""
    pool.statement(_ADD_SPEND, {"usd": usd}, deadline, "add to the spend meter")
