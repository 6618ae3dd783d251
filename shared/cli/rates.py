"""Progress of long transfers: how much, how fast, how much longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from shared.cli.console import err, say

_MB = 1_000_000
_TENTHS = 10

Told = Callable[[str, int, int, str], None]
"""A phase, how much of it is done, of how much, and in what unit (``bytes`` or a word)."""


@contextmanager
def phases() -> Iterator[Told]:
    """A bar for each phase on standard error, with rate and time left; totals may change at any time. Where
    standard error is not a terminal, a line is printed at each tenth instead.
    """
    if not err.is_terminal:
        yield _Lines().told
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as progress:
        yield _Bars(progress).told


@contextmanager
def byte_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """One phase that is counted in bytes; the yielded function takes (done, total)."""
    with phases() as told:
        yield lambda done, total: told(title, done, total, "bytes")


class _Pace:
    """How fast one phase goes."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tenth = -1

    def words(self, done: int, total: int, unit: str) -> str:
        seconds = max(time.monotonic() - self.started, 1e-3)
        left = (total - done) * seconds / done if done else 0.0
        if unit == "bytes":
            amount = f"{done / _MB:.1f} of {total / _MB:.1f} MB, {done / _MB / seconds:.1f} MB/s"
        else:
            amount = f"{done} of {total} {unit}, {done / seconds:.0f}/s"
        return f"{amount}, {left:.0f} s left" if done < total else f"{amount}, {seconds:.1f} s"


class _Lines:
    def __init__(self) -> None:
        self._paces: dict[str, _Pace] = {}

    def told(self, phase: str, done: int, total: int, unit: str) -> None:
        pace = self._paces.setdefault(phase, _Pace())
        tenth = _TENTHS * done // max(total, 1)
        if tenth > pace.tenth:
            pace.tenth = tenth
            say(f"{phase}: {pace.words(done, total, unit)}")


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._paces: dict[str, _Pace] = {}
        self._tasks: dict[str, object] = {}

    def told(self, phase: str, done: int, total: int, unit: str) -> None:
        pace = self._paces.setdefault(phase, _Pace())
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total, rate="")
        task = self._tasks[phase]
        rate = pace.words(done, total, unit)
        self._progress.update(task, completed=done, total=total, rate=rate)  # type: ignore[arg-type]
