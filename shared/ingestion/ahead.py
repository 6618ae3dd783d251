"""Does something for many inputs a few at a time, and gives the results in the order of the inputs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(do: Callable[[T], R], inputs: Iterable[T], workers: int) -> Iterator[R]:
    """``do`` of each input, ``workers`` at a time: for what waits for others. Twice as many results are held
    at most. What ``do`` raises is raised here, in its turn.

    Whoever stops iterating leaves the rest undone; what is under way ends by itself.
    """
    if workers == 1:
        yield from map(do, inputs)
        return
    # Not an executor: this generator may be ended by the garbage collector, in the middle of anything, where
    # taking a lock can wait for ever. Putting into a simple queue takes none.
    todo: SimpleQueue[_Job[T, R] | None] = SimpleQueue()
    waiting: deque[_Job[T, R]] = deque()
    threads = 0
    try:
        for one in inputs:
            if len(waiting) == 2 * workers:
                yield waiting.popleft().result()
            job = _Job(do, one)
            waiting.append(job)
            todo.put(job)
            if threads < workers:
                threads += 1
                threading.Thread(target=_work, args=(todo,), name="reading", daemon=True).start()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.wanted = False
        for _ in range(threads):
            todo.put(None)


class _Job(Generic[T, R]):
    """One input, and what came of it."""

    def __init__(self, do: Callable[[T], R], one: T) -> None:
        self.wanted = True
        self._do = do
        self._one = one
        self._answer: SimpleQueue[tuple[R | None, Exception | None]] = SimpleQueue()

    def run(self) -> None:
        try:
            self._answer.put((self._do(self._one), None))
        except Exception as error:  # noqa: BLE001 - raised where the result is asked for
            self._answer.put((None, error))

    def result(self) -> R:
        value, error = self._answer.get()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]


def _work(todo: SimpleQueue[_Job[T, R] | None]) -> None:
    while (job := todo.get()) is not None:
        if job.wanted:
            job.run()
