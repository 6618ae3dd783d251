"""API keys of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

from shared.adapters.neon.pool import Pool
from shared.ports import ApiKey
from shared.resilience.deadline import Deadline

_ADD = """
INSERT INTO api_keys (id, name, hash, requests_per_minute, created_at)
VALUES (:id, :name, :hash, CAST(:requests_per_minute AS integer),
        to_timestamp(CAST(:created_at AS double precision)))
"""
_ALL = """
SELECT id, name, hash, requests_per_minute, CAST(extract(epoch FROM created_at) AS double precision),
       CAST(extract(epoch FROM revoked_at) AS double precision)
FROM api_keys ORDER BY created_at, id
"""
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL RETURNING id"


class NeonApiKeys:
    """See :class:`shared.ports.ApiKeys`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def add(self, key: ApiKey, deadline: Deadline) -> None:
        params = {
            "id": key.id,
            "name": key.name,
            "hash": key.hash,
            "requests_per_minute": key.requests_per_minute,
            "created_at": key.created_at,
        }
        self._pool.statement(_ADD, params, deadline, f"add API key {key.id}")

    def all(self, deadline: Deadline) -> list[ApiKey]:
        return [ApiKey(*row) for row in self._pool.statement(_ALL, {}, deadline, "read the API keys")]

    def revoke(self, key_id: str, deadline: Deadline) -> bool:
        return bool(self._pool.statement(_REVOKE, {"id": key_id}, deadline, f"revoke API key {key_id}"))
