"""Reading ahead: in order, a few at a time, and ended at any moment."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from shared.ingestion.ahead import in_order


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_results_come_in_the_order_of_their_inputs(workers: int, size: int) -> None:
    """The second of two pages with one address would be kept, now and then."""

    def slow(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    assert list(in_order(slow, range(size), workers)) == list(range(size))


def test_few_are_under_way_and_few_are_held() -> None:
    """A site would be in memory whole."""
    guard, now, most, taken = threading.Lock(), [0], [0], [0]

    def inputs() -> Iterator[int]:
        for number in range(50):
            taken[0] = number
            yield number

    def work(number: int) -> int:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.002)
        with guard:
            now[0] -= 1
        return number

    for number in in_order(work, inputs(), 3):
        assert taken[0] <= number + 7
    assert most[0] <= 3


def test_an_error_comes_in_its_turn() -> None:
    """A run would end before what was read, or go on as if nothing had happened."""

    def work(number: int) -> int:
        return 1 // (3 - number)

    found = in_order(work, range(10), 4)
    assert [next(found) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_one_that_nobody_goes_on_with_can_be_collected_anywhere() -> None:
    """A run that failed would hang the next one: any thread that collects garbage ends its generator."""

    def keep(number: int) -> int:
        time.sleep(0.001)
        return number

    before = threading.active_count()
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            cycle: list[object] = [in_order(keep, range(50), 4)]
            cycle.append(cycle)
            next(cycle[0])  # type: ignore[call-overload]
            del cycle
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    end = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before
