"""Progress of long transfers: how much, how fast, how much longer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from shared.cli.console import err, say

_MB = 1_000_000


@contextmanager
def byte_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar in bytes on standard error; the yielded function takes (done, total) and may be told of another
    total at any time. Where standard error is not a terminal, a line is printed at each tenth instead.
    """
    if not err.is_terminal:
        yield _tenths(title)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _tenths(title: str) -> Callable[[int, int], None]:
    started, last = time.monotonic(), -1

    def update(done: int, total: int) -> None:
        nonlocal last
        tenth = 10 * done // max(total, 1)
        if tenth <= last:
            return
        last = tenth
        seconds = max(time.monotonic() - started, 1e-3)
        left = (total - done) * seconds / done if done else 0.0
        rate = f"{done / _MB / seconds:.1f} MB/s, {left:.0f} s left"
        say(f"{title} {done / _MB:.1f} of {total / _MB:.1f} MB ({rate})")

    return update
