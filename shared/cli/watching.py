"""Progress of long work in bytes, points or steps, with its rate and the time left, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shared.cli.console import err, say
from shared.recovery.progress import Progress, Watch

_PREFIXES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_LINE_SECONDS = 10.0
"""Between two lines of one phase where standard error is not a terminal."""


def amount(number: float, unit: str) -> str:
    """``1234567 bytes`` as ``1.2 MB``; other units as they are."""
    if unit == "bytes":
        for name, size in _PREFIXES:
            if number >= size:
                return f"{number / size:.1f} {name}"
    return f"{number:,.0f} {unit}"


def line(progress: Progress) -> str:
    """``load: 12.0 MB of 40.0 MB, 6.0 MB/s, 0:05 left``"""
    if progress.done >= progress.total:
        return f"{progress.phase}: {amount(progress.done, progress.unit)} in {_time(progress.seconds)}"
    parts = [f"{amount(progress.done, progress.unit)} of {amount(progress.total, progress.unit)}"]
    if progress.left is not None:
        parts += [f"{amount(progress.rate, progress.unit)}/s", f"{_time(progress.left)} left"]
    return f"{progress.phase}: {', '.join(parts)}"


@contextmanager
def watching() -> Iterator[Watch]:
    """What shows progress: bars on a terminal, else a line now and then and at the end of each phase."""
    if not err.is_terminal:
        yield _lines(time.monotonic)
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    with Bars(BarColumn(bar_width=24), TextColumn("{task.description}"), console=err) as bars:
        tasks: dict[str, int] = {}

        def show(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = int(bars.add_task(progress.phase))
            task = bars.tasks[tasks[progress.phase]].id
            bars.update(task, completed=progress.done, total=progress.total, description=line(progress))

        yield show


def _lines(clock: Callable[[], float]) -> Watch:
    told: dict[str, float] = {}

    def show(progress: Progress) -> None:
        ended = progress.done >= progress.total
        if ended or clock() - told.setdefault(progress.phase, clock()) >= _LINE_SECONDS:
            told[progress.phase] = clock()
            say(line(progress))

    return show


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
