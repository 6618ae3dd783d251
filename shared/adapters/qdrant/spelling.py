"""Packed points to Qdrant's JSON. A module of its own, because it needs numpy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from shared.ports.bulk import PackedPoint, PackedSparse, PackedVector

_DECIMALS = 9
"""Enough for nearly every number of a unit vector; the others are written in full."""


def upsert_body(points: Iterable[PackedPoint]) -> bytes:
    """The body of an upsert; numbers as short as they can be said exactly."""
    return msgspec.json.encode({"points": [_record(point) for point in points]})


def _record(point: PackedPoint) -> dict[str, Any]:
    vectors = {name: _spelled(vector) for name, vector in point.vectors.items()}
    return {"id": point.id, "vector": vectors, "payload": point.payload}


def _spelled(vector: PackedVector) -> Any:
    if isinstance(vector, PackedSparse):
        return {"indices": np.frombuffer(vector.indices, "<u4").tolist(), "values": _short(vector.values)}
    return _short(vector)


def _short(numbers: bytes) -> list[float]:
    """A float32 in full takes 17 digits in JSON; rounded it takes 9, where that means the same float32."""
    exact = np.frombuffer(numbers, "<f4")
    rounded = np.round(exact.astype(np.float64), _DECIMALS)
    spelled: list[float] = np.where(rounded.astype(np.float32) == exact, rounded, exact).tolist()
    return spelled
