"""Who asks, without knowing who: a visitor's key is a salted hash of an address that changes every day."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from functools import lru_cache

_IPV6_PREFIX = 64
_LONGEST_HEADER = 4096


def client_address(remote: str, forwarded_for: str, trusted_proxies: int, balancer: str = "") -> str:
    """The address of the caller, in its shortest form.

    ``remote`` is the peer of the connection, ``forwarded_for`` the header ``X-Forwarded-For``, to which each
    proxy adds its peer at the right. Only what a trusted proxy added can be believed: with n of them, the
    n-th entry from the right. On Cloud Run n is 1 (Google's front end), behind a load balancer 2, and without
    a proxy 0, when the header is ignored. A header with fewer entries passed fewer proxies: its first counts.
    An IPv6 caller is its /64 network, since one visitor commands a whole one.

    ``balancer`` is the address of a load balancer that callers can pass by, since chat's own stays open. It
    is one proxy more where it is the last entry: the balancer writes the caller and then itself, and who
    passes it by has Google's front end write the caller's own address there.
    (https://cloud.google.com/load-balancing/docs/https#x-forwarded-for_header)
    """
    entries = [part.strip() for part in forwarded_for[-_LONGEST_HEADER:].split(",") if part.strip()]
    if balancer and entries and _network(entries[-1]) == _network(balancer):
        trusted_proxies += 1
    if trusted_proxies and entries:
        return _network(entries[max(0, len(entries) - trusted_proxies)]) or _network(remote) or "unknown"
    return _network(remote) or "unknown"


def _network(text: str) -> str:
    """The address in normal form, without a port; empty when it is none."""
    host = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return str(address)


class VisitorKeys:
    """Names for visitors that tell nothing, and by which nobody can be followed from one day to the next.

    ``secret`` must be the same on all instances for a limit that they share. ``now`` gives Unix seconds. The
    salt of a day is HMAC-SHA256 of the UTC date under the secret. The browser's name is left out: it is the
    caller's own choice, and each new one would be a new visitor with a full bucket.
    """

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now

    def key(self, kind: str, identity: str) -> str:
        """The bucket's name of today for an address, a subject or an e-mail address."""
        day = dt.datetime.fromtimestamp(self._now(), dt.UTC).date().isoformat()
        named = f"{kind}\x00{identity}".encode("utf-8", "surrogatepass")
        return f"{kind}:{hmac.new(_salt(self._secret, day), named, hashlib.sha256).hexdigest()[:32]}"


@lru_cache(maxsize=8)
def _salt(secret: bytes, day: str) -> bytes:
    return hmac.new(secret, b"lectern visitors " + day.encode(), hashlib.sha256).digest()
