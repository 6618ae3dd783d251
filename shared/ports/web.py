"""Pages of a site over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. ``url`` is the address that gave it, after redirects; ``body`` is decompressed.

    ``fresh`` is False when the site said that nothing has changed since ``etag`` or ``modified`` (304); then
    there is no body. ``robots`` has the values of ``X-Robots-Tag``, one a line.
    """

    url: str
    body: bytes
    fresh: bool = True
    etag: str = ""
    modified: str = ""
    content_type: str = ""
    robots: str = ""


class Fetcher(Protocol):
    """Reads pages of one site, and of no other.

    Errors: ``Missing`` (404, 410), ``AccessDenied`` (401, 403), ``Throttled``, ``Overloaded``,
    ``Unreachable``, ``TimedOut``, ``Interrupted``, ``Garbled`` (no HTTP, or not decompressible);
    ``Rejected`` for what must not be fetched: an address outside of the site, a host in a private network, an
    answer beyond its bounds, too many redirects.
    """

    @property
    def base(self) -> str:
        """The site's address, ending in a slash: what is fetched begins with it."""
        ...

    def fetch(
        self, url: str, deadline: Deadline, *, most_bytes: int, etag: str = "", modified: str = ""
    ) -> Fetched:
        """The answer to ``GET url``. With ``etag`` or ``modified``, of an earlier answer, one that has not
        changed is not sent again. ``most_bytes`` bounds the body, before and after decompression.
        """
        ...
