"""The answer cache of :mod:`shared.ports` in Redis, for operators who have one: the setting ``redis_url``.

Three kinds of keys, all in one hash slot: an answer, the answers of a page, and the epoch, which is Redis's
clock at the last change of pages, so that it never comes again after Redis lost it. Each step is one script,
so nothing happens between its parts. https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from shared.errors import AccessDenied, DependencyError, Garbled, Overloaded, Rejected, TimedOut, Unreachable
from shared.ports import CacheEntry, Kept
from shared.resilience.deadline import Deadline

T = TypeVar("T")
_Argument = str | bytes | int
SERVICE = "redis"
_SECONDS = 0.5

_GET = "return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]) or '0'}"
_PUT = """
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
local life = tonumber(ARGV[3])
if life <= 0 then redis.call('DEL', KEYS[2]) return 1 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', life)
for i = 3, #KEYS do
  redis.call('SADD', KEYS[i], KEYS[2])
  if redis.call('PTTL', KEYS[i]) < life then redis.call('PEXPIRE', KEYS[i], life) end
end
return 1
"""
_FORGET = """
local now = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d%06d', now[1], now[2]))
local gone = 0
for i = 2, #KEYS do
  for _, key in ipairs(redis.call('SMEMBERS', KEYS[i])) do gone = gone + redis.call('DEL', key) end
  redis.call('DEL', KEYS[i])
end
return gone
"""
_KINDS: tuple[tuple[type[Exception], type[DependencyError]], ...] = (
    (redis.TimeoutError, TimedOut),
    (redis.AuthenticationError, AccessDenied),
    (NoPermissionError, AccessDenied),
    (redis.BusyLoadingError, Overloaded),
    (redis.OutOfMemoryError, Overloaded),
    (redis.ReadOnlyError, Overloaded),
    (redis.ConnectionError, Unreachable),
    (redis.InvalidResponse, Garbled),
    (redis.ResponseError, Rejected),
)


class RedisCache:
    """See :class:`shared.ports.AnswerCache`. ``url``: ``redis://`` or ``rediss://``, verified TLS.

    ``namespace`` keeps two deployments on one Redis apart. One call takes at most half a second.
    """

    def __init__(self, url: str, namespace: str = "") -> None:
        self._space = f"{{lectern}}:{namespace}" if namespace else "{lectern}"
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_SECONDS,
            socket_connect_timeout=_SECONDS,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, key: str, deadline: Deadline) -> Kept:
        operation = "look for a cached answer"
        kept, epoch = self._run(operation, deadline, _GET, [self._answer(key), self._epoch])
        try:
            return Kept(None if kept is None else msgspec.json.decode(kept, type=dict[str, Any]), int(epoch))
        except ValueError as error:
            raise Garbled(SERVICE, operation, f"what is kept is no answer: {error}") from error

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:
        keys = [self._epoch, self._answer(key), *map(self._page, entry.pages)]
        arguments = (epoch, msgspec.json.encode(entry.payload), round(seconds * 1000))
        return bool(self._run("keep an answer", deadline, _PUT, keys, *arguments))

    def forget_pages(self, urls: Sequence[str], deadline: Deadline) -> int:
        if not urls:
            return 0
        keys = [self._epoch, *map(self._page, urls)]
        return int(self._run("forget cached answers", deadline, _FORGET, keys))

    @property
    def _epoch(self) -> str:
        return f"{self._space}:epoch"

    def _answer(self, key: str) -> str:
        return f"{self._space}:answer:{key}"

    def _page(self, url: str) -> str:
        return f"{self._space}:page:{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"

    def _run(
        self,
        operation: str,
        deadline: Deadline,
        script: str,
        keys: Sequence[str],
        *arguments: str | bytes | int,
    ) -> Any:
        if deadline.expired():
            raise TimedOut(SERVICE, operation, "no time left")
        return _translated(operation, lambda: self._client.eval(script, len(keys), *keys, *arguments))


def _translated(operation: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (redis.RedisError, OSError, ValueError) as error:
        for raised, kind in _KINDS:
            if isinstance(error, raised):
                raise kind(
                    SERVICE, operation, str(error) or type(error).__name__, hint=_hint(kind)
                ) from error
        raise Garbled(SERVICE, operation, f"the answer is not Redis's ({type(error).__name__})") from error


def _hint(kind: type[DependencyError]) -> str:
    return "Check REDIS_URL." if kind in (AccessDenied, Unreachable) else ""
