"""Fetches the pages of one site: bounded in time, size, redirects and pace, and never outside of the site."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urldefrag, urljoin

import httpcore
import httpx

from shared.adapters.web.answers import error_of, headers_of, length_of, translated
from shared.adapters.web.bodies import read_body, too_large
from shared.adapters.web.borders import Borders
from shared.adapters.web.connections import FETCH, SERVICE, CheckedBackend
from shared.adapters.web.hosts import Resolve, look_up
from shared.adapters.web.pace import Pace
from shared.errors import DependencyError, Garbled, Rejected
from shared.ports import Fetched
from shared.resilience.budget import RetryBudget
from shared.resilience.deadline import Clock, Deadline
from shared.resilience.retry import Patience, retry

MOST_REDIRECTS = 5
_READ_SECONDS = 20.0
_PATIENCE = Patience(tries=4, first_pause=0.5, longest_pause=8.0)
_AGENT = "Lectern (documentation ingestion)"
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class SafeFetcher:
    """Implements :class:`~shared.ports.Fetcher` for the site at ``base``.

    ``allowed_hosts`` may be reached over plain HTTP and in private networks; all others over HTTPS at public
    addresses alone. ``connections`` and ``per_second`` bound what the site is asked at a time. A request is
    tried again after errors that may pass, after the pause that the site asks for. ``resolve``, ``tls``,
    ``clock`` and ``sleep`` are for tests.

    Raises :class:`~shared.errors.Rejected` for a ``base`` that must not be fetched by its form.
    """

    def __init__(
        self,
        base: str,
        *,
        allowed_hosts: Iterable[str] = (),
        connections: int = 4,
        per_second: float = 20.0,
        resolve: Resolve = look_up,
        tls: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        allowed = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._borders = Borders(base, allowed)
        self._backend = CheckedBackend(resolve, allowed)
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(trust_env=False),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=15.0,
            network_backend=self._backend,
        )
        self._pace = Pace(per_second, clock=clock, sleep=sleep)
        self._budget = RetryBudget(clock)
        self._sleep = sleep

    @property
    def base(self) -> str:
        return self._borders.base

    def close(self) -> None:
        """Close its connections."""
        self._pool.close()

    def fetch(
        self, url: str, deadline: Deadline, *, most_bytes: int, etag: str = "", modified: str = ""
    ) -> Fetched:
        asked = _conditions(etag, modified)
        return retry(
            lambda left: self._follow(url, left, most_bytes, asked),
            deadline,
            self._budget,
            jitter=random.SystemRandom(),
            patience=_PATIENCE,
            sleep=self._sleep,
        )

    def _follow(self, url: str, deadline: Deadline, most: int, asked: Mapping[str, str]) -> Fetched:
        """The answer at the end of the redirects; each place on the way is checked like the first."""
        here = _joined("", url)
        for _ in range(MOST_REDIRECTS + 1):
            self._borders.check(here)
            self._pace.wait(deadline)
            found = self._get(here, deadline, most, asked)
            if isinstance(found, Fetched):
                return found
            here = _joined(here, found)
        raise Rejected(SERVICE, FETCH, f"{url} redirects more than {MOST_REDIRECTS} times")

    def _get(self, url: str, deadline: Deadline, most: int, asked: Mapping[str, str]) -> Fetched | str:
        """The answer, or where it redirects to."""
        self._backend.begin(deadline)
        try:
            seconds = deadline.timeout(_READ_SECONDS, attempted=f"fetching {url}")
            times = {"connect": seconds, "read": seconds, "write": seconds, "pool": deadline.remaining()}
            address = httpx.URL(url)
            headers = {"Host": address.netloc.decode("ascii"), "User-Agent": _AGENT, **asked}
            headers["Accept-Encoding"] = "gzip"
            with self._pool.stream(
                "GET",
                httpcore.URL(
                    scheme=address.raw_scheme,
                    host=address.raw_host,
                    port=address.port,
                    target=address.raw_path,
                ),
                headers=list(headers.items()),
                extensions={"timeout": times},
            ) as response:
                return self._read(url, response, most)
        except Exception as error:
            found = translated(error, url)
            if found is error:
                raise
            raise found from error

    def _read(self, url: str, response: httpcore.Response, most: int) -> Fetched | str:
        heads = headers_of(response.headers)
        if response.status in _REDIRECTS:
            if "location" not in heads:
                raise Garbled(SERVICE, FETCH, f"{url} redirects to nowhere")
            return heads["location"]
        fresh = response.status != httpx.codes.NOT_MODIFIED
        if fresh and response.status != httpx.codes.OK:
            raise self._paused(error_of(url, response.status, heads))
        if length_of(heads) > most:
            raise too_large(url, most)
        chunks = response.iter_stream() if fresh else ()
        return Fetched(
            url,
            read_body(chunks, heads.get("content-encoding", "") if fresh else "", most, url),
            fresh,
            etag=heads.get("etag", ""),
            modified=heads.get("last-modified", ""),
            content_type=heads.get("content-type", "").partition(";")[0].strip().lower(),
            robots=heads.get("x-robots-tag", ""),
        )

    def _paused(self, error: DependencyError) -> DependencyError:
        """A pause that the site asks for holds for every request, not only for this one."""
        if error.retry_after:
            self._pace.hold(error.retry_after)
        return error


def _joined(here: str, target: str) -> str:
    """Where ``target`` leads from ``here``, without a fragment; what is no address is left as it is."""
    try:
        return urldefrag(urljoin(here, target)).url
    except ValueError:
        return target


def _conditions(etag: str, modified: str) -> dict[str, str]:
    if etag and etag.isascii():
        return {"If-None-Match": etag}
    return {"If-Modified-Since": modified} if modified else {}
