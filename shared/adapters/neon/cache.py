"""The answer cache of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence

from shared.adapters.neon.pool import Pool
from shared.ports import CacheEntry, Kept
from shared.resilience.deadline import Deadline

_GET = """
SELECT (SELECT payload FROM cached_answers WHERE key = :key AND expires_at > now()),
       (SELECT coalesce(max(epoch), 0) FROM cache_epoch)
"""
# FOR SHARE waits for a change of pages that is under way, and then sees its epoch.
_PUT = """
WITH same AS (
    SELECT 1 FROM cache_epoch WHERE epoch = CAST(:epoch AS bigint) FOR SHARE
)
INSERT INTO cached_answers (key, generation_id, payload, pages, expires_at)
SELECT :key, :generation_id, CAST(:payload AS jsonb), CAST(:pages AS text[]),
       now() + make_interval(secs => CAST(:seconds AS double precision))
FROM same
ON CONFLICT (key) DO UPDATE SET
    generation_id = excluded.generation_id, payload = excluded.payload, pages = excluded.pages,
    expires_at = excluded.expires_at
RETURNING key
"""
# The epoch first: its row lock keeps answers out that were made from the pages as they were.
_NEW_EPOCH = "UPDATE cache_epoch SET epoch = epoch + 1"
_FORGET = "DELETE FROM cached_answers WHERE pages && CAST(:urls AS text[]) RETURNING key"


class NeonCache:
    """See :class:`shared.ports.AnswerCache`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def get(self, key: str, deadline: Deadline) -> Kept:
        payload, epoch = self._pool.statement(_GET, {"key": key}, deadline, "look for a cached answer")[0]
        return Kept(payload, epoch)

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:
        params = {
            "key": key,
            "generation_id": entry.generation_id,
            "payload": json.dumps(entry.payload),
            "pages": list(entry.pages),
            "epoch": epoch,
            "seconds": seconds,
        }
        return bool(self._pool.statement(_PUT, params, deadline, "keep an answer"))

    def forget_pages(self, urls: Sequence[str], deadline: Deadline) -> int:
        if not urls:
            return 0
        with self._pool.transaction(deadline, "forget cached answers") as transaction:
            transaction.query(_NEW_EPOCH)
            return len(transaction.query(_FORGET, urls=list(urls)))
