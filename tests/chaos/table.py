"""The table of outcomes, for the terminal and for the repository."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.matrix import cells, meaningless
from tests.chaos.run import AFTERWARDS, AT_ONCE, Outcome

_HEAD = """\
# The failure matrix

Written by `make chaos`. The chat function runs under gunicorn with 8 threads, a fresh process for each cell;
real Postgres (TLS), Qdrant's engine and Redis stand behind proxies that fail as networks do, beside the
stand-ins for Gemini and Cloud Storage. {at_once} readers ask at once when the fault begins ("first": the
slowest of them, deadline 20 s), then {afterwards} one after the other ("settled": the slowest of them, under
5 s once the breakers are open). Each must get status 200, the passage that answers, the rung and writer
below, and in `degraded` the name of each failed service that it needed. Each answer with `recorded: true` is
looked up in Postgres after the spool is drained.

{count} cells in {minutes:.1f} minutes; {good} are as they must be.

| down | fault | rung | writer | recorded | first, s | settled, s | |
|---|---|---|---|---|--:|--:|---|
"""
_NOTES = """
A generator that is 5 s slow is not down: its readers wait for it, so "settled" is above 5 s there. The
embedding service is not asked, and so not named, while Qdrant is down; the bucket is needed only without
Postgres; without Redis the cache is this instance's own, and nothing of the answer is lost.

## Cells without meaning

| down | fault | why |
|---|---|---|
"""


def line(outcome: Outcome) -> str:
    """One outcome for the terminal."""
    times = f"{outcome.first_seconds:5.1f} s {outcome.settled_seconds:5.1f} s"
    found = f"{outcome.rungs:9} {outcome.writers:22} {outcome.recorded:5} {times}"
    return f"{outcome.cell.name:45} {found}  {'; '.join(outcome.problems) or 'ok'}"


def written(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The page of the repository."""
    good = sum(not one.problems for one in outcomes)
    head = _HEAD.format(
        at_once=AT_ONCE, afterwards=AFTERWARDS, count=len(outcomes), minutes=seconds / 60, good=good
    )
    silent = [cell for cell in cells() if meaningless(cell)]
    nothing = "".join(f"| {' + '.join(one.down)} | {one.fault} | {meaningless(one)} |\n" for one in silent)
    return head + "".join(map(_row, outcomes)) + _NOTES + nothing


def _row(one: Outcome) -> str:
    cell = f"| {' + '.join(one.cell.down)} | {one.cell.fault} | {one.rungs} | {one.writers} | {one.recorded} "
    times = f"| {one.first_seconds:.1f} | {one.settled_seconds:.1f} "
    return f"{cell}{times}| {'; '.join(one.problems).replace('|', '/') or 'ok'} |\n"
