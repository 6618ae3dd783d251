"""Which addresses of the network may be connected to. Pure, but for :func:`look_up`.

A page decides where its redirects lead, and whoever holds a name decides what it resolves to. Both must not
reach what only this machine can: its own services, its network, the metadata server with its tokens.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int, float], Sequence[str]]
"""Addresses of a host: its name, a port, seconds. Raises OSError when there are none in that time."""

METADATA_NAMES = frozenset(("metadata.google.internal", "metadata.goog", "metadata", "instance-data"))
_METADATA = frozenset(
    ipaddress.ip_address(one)
    for one in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, section 2.5.5.1: deprecated
_LOCAL = tuple(
    ipaddress.ip_network(one)
    for one in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)


def refusal(address: str, *, allow_local: bool = False) -> str:
    """Why ``address`` must not be connected to; empty when it may.

    Good are public addresses and, with ``allow_local``, loopback and private networks; never link-local,
    multicast, unspecified or metadata addresses. Addresses that carry another one (IPv4-mapped, NAT64 of
    RFC 6052, 6to4, Teredo) are judged by both.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "it is no address"
    for one in _meanings(found):
        problem = _problem(one, allow_local=allow_local)
        if problem:
            return problem
    return ""


def _problem(one: Address, *, allow_local: bool) -> str:
    if one in _METADATA:
        return "it is a metadata server"
    if any(one in network for network in _LOCAL if network.version == one.version):
        return "" if allow_local else "it is in a private network"
    if one.is_link_local or one.is_multicast or one.is_unspecified or one.is_reserved or not one.is_global:
        return "it is not a public address"
    return ""


def _meanings(address: Address) -> Iterator[Address]:
    """The addresses that a packet to ``address`` may end at."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    inner: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address in _NAT64_LOCAL or (address in _IPV4_COMPATIBLE and int(address) > 1):
        inner.append(ipaddress.IPv4Address(0))
    yield from (one for one in inner if one is not None)
    if address.ipv4_mapped is None and address not in _NAT64:
        yield address


def look_up(host: str, port: int, seconds: float) -> Sequence[str]:
    """Addresses of ``host`` from the system's resolver, which knows no time limit of its own."""
    found: list[Sequence[str] | OSError] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append(list(dict.fromkeys(str(answer[4][0]) for answer in answers)))
        except (OSError, UnicodeError) as error:
            found.append(OSError(str(error)))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    answer = found[0] if found else TimeoutError(f"no answer about {host} in {seconds:.0f} s")
    if isinstance(answer, OSError):
        raise answer
    return answer
