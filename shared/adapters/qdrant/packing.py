"""Qdrant's JSON to packed points, at the speed that whole collections need."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from shared.ports.bulk import PackedPage, PackedPoint, PackedSparse, PackedVector


class SparseForm(msgspec.Struct, gc=False):
    """Qdrant's sparse vector."""

    indices: list[int]
    values: list[float]


class RecordForm(msgspec.Struct, gc=False):
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
            size = len(vector.indices)
            return PackedSparse(_terms(size)(*vector.indices), _numbers(len(vector.values))(*vector.values))
        return _numbers(len(vector))(*vector)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a vector cannot be kept in 32 bits ({error})") from None


@cache
def _numbers(size: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{size}f").pack


@cache
def _terms(size: int) -> Callable[..., bytes]:
    return struct.Struct(f"<{size}I").pack


def _text(identity: str | int) -> str:
    if isinstance(identity, int):
        raise ValueError(f"point {identity} has a number as id, points of Lectern have UUIDs")  # noqa: TRY004
    return identity
