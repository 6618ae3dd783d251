"""A digest of points that does not depend on their order, so that two engines can be compared."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from shared.ports import Point, SparseVector
from shared.retrieval.chunks import STATISTICS_ID

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def points_digest(points: Iterable[Point]) -> str:
    """32 hex digits: the sum, modulo 2^128, of a blake2b of each point (id, vectors as float32, payload).

    The reserved point counts without its facts: generations that were built apart from the same site
    with the same rules have the same digest.
    """
    total = sum(int.from_bytes(_digest(point), "big") for point in points) % _MODULUS
    return f"{total:032x}"


def _digest(point: Point) -> bytes:
    payload = dict(point.payload)
    if point.id == STATISTICS_ID:
        payload.pop("facts", None)
    state = blake2b(point.id.encode(), digest_size=_BYTES)
    state.update(msgspec.json.encode(payload, order="deterministic"))
    for name in sorted(point.vectors):
        state.update(name.encode())
        state.update(_packed(point.vectors[name]))
    return state.digest()


def _packed(vector: Any) -> bytes:
    """Terms in order of their ids, then numbers as float32: what engines keep."""
    if not isinstance(vector, SparseVector):
        return struct.pack(f"<{len(vector)}f", *vector)
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    terms = struct.pack(f"<{len(pairs)}I", *(index for index, _ in pairs))
    return terms + struct.pack(f"<{len(pairs)}f", *(value for _, value in pairs))
