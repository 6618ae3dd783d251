"""How far long work is, how fast it goes and how long it will take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` (where the end is not known, an estimate) of a phase after ``seconds``."""

    phase: str
    done: int
    total: int
    unit: str
    seconds: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds until the end of the phase at this rate; None before anything is known."""
        return max(0, self.total - self.done) / self.rate if self.rate else None


Watch = Callable[[Progress], object]
"""Told of progress, at most a few times a second and at the end of a phase."""


def nobody(_progress: Progress) -> None:
    """Watches nothing."""


class Meter:
    """Counts one phase. Safe to share among threads."""

    def __init__(
        self,
        phase: str,
        total: int,
        watch: Watch,
        *,
        unit: str = "bytes",
        every: float = 0.25,
        clock: Clock = time.monotonic,
    ) -> None:
        self._phase = phase
        self._total = total
        self._watch = watch
        self._unit = unit
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._began = self._told = clock()

    def add(self, amount: int) -> None:
        """So much more is done."""
        with self._lock:
            self._done += amount
            now = self._clock()
            due = now - self._told >= self._every
            if due:
                self._told = now
        if due:
            self._tell(self._total)

    def end(self) -> float:
        """The phase is over; seconds that it took."""
        self._tell(self._done)
        return self._clock() - self._began

    def counted(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """``blocks``, each counted as it is taken."""
        for block in blocks:
            yield block
            self.add(len(block))

    def _tell(self, total: int) -> None:
        seconds = self._clock() - self._began
        self._watch(Progress(self._phase, self._done, max(total, self._done), self._unit, seconds))
