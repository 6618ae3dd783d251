"""A digest of points that does not depend on their order, so that two engines can be compared."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from shared.ports import Point, SparseVector
from shared.ports.bulk import PackedPoint, PackedSparse, PackedVector
from shared.retrieval.chunks import STATISTICS_ID

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def points_digest(points: Iterable[Point]) -> str:
    """32 hex digits: the sum, modulo 2^128, of a blake2b of each point (id, vectors as float32, payload).

    The reserved point counts without its facts: generations that were built apart from the same site
    with the same rules have the same digest.
    """
    running = RunningDigest()
    for point in points:
        running.add(packed(point))
    return running.text


class RunningDigest:
    """The digest of the points added so far; sums of parts add up to that of the whole."""

    def __init__(self) -> None:
        self._total = 0

    def add(self, point: PackedPoint) -> None:
        self._total += int.from_bytes(point_digest(point), "big")

    def add_part(self, text: str) -> None:
        """Count the points of a part, of which this is the digest. Raises ValueError for no digest."""
        self._total += int(text, 16)

    @property
    def text(self) -> str:
        """32 hex digits."""
        return f"{self._total % _MODULUS:032x}"


def point_digest(point: PackedPoint) -> bytes:
    """16 bytes that stand for all that one point holds."""
    payload = point.payload
    if point.id == STATISTICS_ID:
        payload = {key: value for key, value in payload.items() if key != "facts"}
    state = blake2b(point.id.encode(), digest_size=_BYTES)
    state.update(msgspec.json.encode(payload, order="deterministic"))
    for name in sorted(point.vectors):
        state.update(name.encode())
        state.update(in_order(point.vectors[name]))
    return state.digest()


def packed(point: Point) -> PackedPoint:
    """The point with its vectors as bytes: numbers as float32, which is what engines keep."""
    return PackedPoint(point.id, {name: _packed(each) for name, each in point.vectors.items()}, point.payload)


def _packed(vector: Any) -> PackedVector:
    if not isinstance(vector, SparseVector):
        return struct.pack(f"<{len(vector)}f", *vector)
    size = len(vector.indices)
    return PackedSparse(struct.pack(f"<{size}I", *vector.indices), struct.pack(f"<{size}f", *vector.values))


def in_order(vector: PackedVector) -> bytes:
    """The vector as bytes, a sparse one by its term ids: engines give them back in orders of their own."""
    if not isinstance(vector, PackedSparse):
        return vector
    size = len(vector.indices) // 4
    terms = list(struct.unpack(f"<{size}I", vector.indices))
    if terms == sorted(terms):  # the usual case, and much the fastest way to see it
        return vector.indices + vector.values
    order = sorted(range(size), key=terms.__getitem__)
    weights = struct.unpack(f"<{size}f", vector.values)
    return struct.pack(f"<{size}I{size}f", *(terms[n] for n in order), *(weights[n] for n in order))
