"""Cuts what is sent in requests into pieces of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(
    items: Iterable[T], weight: Callable[[T], int], *, most: int, most_weight: int
) -> Iterator[list[T]]:
    """Lists of at most ``most`` items that weigh at most ``most_weight``, in their order; a heavier item goes
    alone.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        own = weight(item)
        if batch and (len(batch) == most or total + own > most_weight):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += own
    if batch:
        yield batch
