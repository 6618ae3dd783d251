"""Hashes of what pages were read from."""

from __future__ import annotations

from hashlib import blake2b


def source_digest(kind: str, place: str, *facts: str, data: bytes = b"") -> str:
    """``kind``, a digest of ``place`` and one of the rest: hashes of different kinds of sources, or of
    different places, never compare equal.
    """
    digest = blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(b"\x00")
    digest.update(data)
    return f"{kind}:{place_digest(place)}:{digest.hexdigest()}"


def place_digest(place: str) -> str:
    return blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def place_of(hashed: str) -> str:
    """The digest of the place that a :func:`source_digest` or a validator was made for; empty for most other
    hashes, and the digest of no place for the rest.
    """
    parts = hashed.split(":", 2)
    return parts[1] if len(parts) == 3 else ""  # noqa: PLR2004 - kind, place, content


def place_alone(hashed: str) -> str:
    """A hash that tells of which place ``hashed`` is, and stands for nothing that was read there: the page is
    read again, and its address is known should that fail. Empty where the place is not told.
    """
    place = place_of(hashed)
    return f"place:{place}:" if place else ""
