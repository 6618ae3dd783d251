"""Bodies within bounds, before and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from shared.adapters.web.connections import FETCH, SERVICE
from shared.errors import Garbled, Rejected

MOST_RATIO = 100
"""Times that a body may grow by decompression; HTML grows about fivefold, at most some thirty times."""
_FREE = 1 << 20
"""Bytes below which the ratio does not matter."""
_STEP = 1 << 16


def read_body(chunks: Iterable[bytes], encoding: str, most: int, url: str) -> bytes:
    """The body, decompressed. Nothing but gzip is asked for, and nothing else is taken.

    Raises :class:`~shared.errors.Rejected` for a body longer than ``most`` or a decompression bomb,
    :class:`~shared.errors.Garbled` for broken gzip.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _plain(chunks, most, url)
    if name not in ("gzip", "x-gzip"):
        raise Rejected(SERVICE, FETCH, f"{url} came as {name[:40]!a}, which was not asked for")
    try:
        return _Gzip(most, url).read(chunks)
    except zlib.error as error:
        raise Garbled(SERVICE, FETCH, f"{url} came as gzip that cannot be read: {error}") from error


def _plain(chunks: Iterable[bytes], most: int, url: str) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise too_large(url, most)
    return bytes(body)


class _Gzip:
    """Decompresses in small steps, so that a bomb is noticed before it is in memory."""

    def __init__(self, most: int, url: str) -> None:
        self._most = most
        self._url = url
        self._body = bytearray()
        self._taken = 0
        self._engine = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def read(self, chunks: Iterable[bytes]) -> bytes:
        for chunk in chunks:
            self._taken += len(chunk)
            if self._taken > self._most:
                raise too_large(self._url, self._most)
            self._feed(chunk)
        if not self._engine.eof:
            raise zlib.error("it ends before its end")
        return bytes(self._body)

    def _feed(self, chunk: bytes) -> None:
        while chunk and not self._engine.eof:
            self._body += self._engine.decompress(chunk, _STEP)
            chunk = self._engine.unconsumed_tail
            self._check()
        # What follows the end is no page; some servers pad.

    def _check(self) -> None:
        if len(self._body) > self._most:
            raise too_large(self._url, self._most)
        if len(self._body) > max(_FREE, MOST_RATIO * self._taken):
            raise Rejected(
                SERVICE, FETCH, f"{self._url} grows more than {MOST_RATIO} times when decompressed"
            )


def too_large(url: str, most: int) -> Rejected:
    return Rejected(SERVICE, FETCH, f"{url} is larger than {most / 2**20:.1f} MiB", hint="Split the page.")
