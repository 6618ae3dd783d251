"""Hashes of what pages were read from."""

from __future__ import annotations

from hashlib import blake2b


def source_digest(kind: str, *facts: str, data: bytes = b"") -> str:
    """``kind`` and a digest: hashes of different kinds of sources never compare equal."""
    digest = blake2b(repr(facts).encode("utf-8", "surrogatepass"), digest_size=16)
    digest.update(b"\x00")
    digest.update(data)
    return f"{kind}:{digest.hexdigest()}"
