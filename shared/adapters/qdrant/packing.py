"""Qdrant's JSON to packed points, at the speed that whole collections need."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from shared.ports.bulk import PackedPage, PackedPoint, PackedSparse, PackedVector


class SparseForm(msgspec.Struct):
    """Qdrant's sparse vector."""

    indices: list[int]
    values: list[float]


class RecordForm(msgspec.Struct):
    """Qdrant's record of a scroll; a vector without a name stands bare."""

    id: str | int
    payload: dict[str, Any] | None = None
    vector: dict[str, list[float] | SparseForm] | list[float] | None = None


class ScrollForm(msgspec.Struct):
    """Qdrant's answer to a scroll."""

    points: list[RecordForm]
    next_page_offset: str | int | None = None


def page_of(answer: ScrollForm) -> PackedPage:
    """The page, packed. Raises ValueError for what no point of ours holds: a numbered id, a number that is
    not a 32-bit float.
    """
    following = answer.next_page_offset
    return PackedPage(
        tuple(_point(record) for record in answer.points), None if following is None else _text(following)
    )


def _point(record: RecordForm) -> PackedPoint:
    vector = record.vector or {}
    named = vector if isinstance(vector, dict) else {"": vector}
    packed = {name: _packed(each) for name, each in named.items()}
    return PackedPoint(_text(record.id), packed, record.payload or {})


def _packed(vector: list[float] | SparseForm) -> PackedVector:
    try:
        if isinstance(vector, SparseForm):
            return PackedSparse(_pack("I", vector.indices), _pack("f", vector.values))
        return _pack("f", vector)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a vector cannot be kept in 32 bits ({error})") from None


def _pack(kind: str, numbers: Sequence[float]) -> bytes:
    return _struct(kind, len(numbers)).pack(*numbers)


@cache
def _struct(kind: str, size: int) -> struct.Struct:
    return struct.Struct(f"<{size}{kind}")


def _text(identity: str | int) -> str:
    if isinstance(identity, int):
        raise ValueError(f"point {identity} has a number as id, points of Lectern have UUIDs")  # noqa: TRY004
    return identity
