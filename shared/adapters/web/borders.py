"""Where a site ends."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from shared.adapters.web.connections import FETCH, SERVICE
from shared.errors import Rejected

_PORTS = {"http": 80, "https": 443}


class Borders:
    """The site at ``base``: one scheme, host and port, and what lies below one path.

    ``allowed`` are hosts that may be asked over plain HTTP. Raises :class:`~shared.errors.Rejected` for a
    base that must not be fetched by its form.
    """

    def __init__(self, base: str, allowed: Iterable[str]) -> None:
        self.base = base if base.endswith("/") else base + "/"
        self._origin, problem = _origin(self.base)
        if not problem and self._origin[0] != "https" and self._origin[1] not in allowed:
            problem = "it is not https"
        if problem:
            hint = "Give an https address, or name the host in LECTERN_SITE_ALLOWED_HOSTS."
            raise Rejected(SERVICE, FETCH, f"{self.base} must not be fetched: {problem}", hint=hint)

    def check(self, url: str) -> None:
        """Raise :class:`~shared.errors.Rejected` for an address that is not part of the site."""
        origin, problem = _origin(url)
        path = "" if problem else unquote(urlsplit(url).path) or "/"
        if not problem and (
            origin != self._origin or not (path + "/").startswith(unquote(urlsplit(self.base).path))
        ):
            problem = "it is another site"
        if not problem and ".." in path.replace("\\", "/").split("/"):
            problem = "its path has `..`"
        if problem:
            raise Rejected(SERVICE, FETCH, f"{url[:200]!a} is not part of {self.base}: {problem}")


def _origin(url: str) -> tuple[tuple[str, str, int], str]:
    """Scheme, host and port, and what is wrong with the address."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return ("", "", 0), "it is no address"
    host = (parts.hostname or "").rstrip(".")
    origin = (parts.scheme, host, port)
    if parts.scheme not in _PORTS or not host:
        return origin, "it is no web address"
    return origin, "it holds credentials" if "@" in parts.netloc else ""
