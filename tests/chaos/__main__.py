"""``python -m tests.chaos``: every cell of the matrix on a few lanes; prints and writes the table."""

from __future__ import annotations

import argparse
import queue
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos.lane import Lane
from tests.chaos.matrix import Cell, cells, meaningless
from tests.chaos.run import Outcome, run
from tests.chaos.table import line, written
from tests.contract.neon_servers import tls_server

TABLE = Path(__file__).with_name("MATRIX.md")
LANES = 3


def main() -> int:
    """0 when every cell is as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--lanes", type=int, default=LANES, help="cells that run at once")
    parser.add_argument("--only", default="", help="run the cells whose names hold this, and write no table")
    chosen = parser.parse_args()
    if shutil.which("redis-server") is None:
        sys.stderr.write("make chaos needs redis-server. On Debian: sudo apt-get install redis-server\n")
        return 1
    wanted = [cell for cell in cells() if chosen.only in cell.name]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        lanes(Path(folder), chosen.lanes, with_redis=True) as open_lanes,
    ):
        outcomes = run_all(open_lanes, [cell for cell in wanted if not meaningless(cell)])
    seconds = time.monotonic() - began
    bad = [one for one in outcomes if one.problems]
    sys.stdout.write(f"{len(outcomes)} cells, {len(bad)} not as they must be, {seconds / 60:.1f} minutes\n")
    if not chosen.only:
        TABLE.write_text(written(outcomes, seconds), encoding="utf-8")
    return 1 if bad else 0


@contextmanager
def lanes(folder: Path, count: int, *, with_redis: bool) -> Iterator[list[Lane]]:
    """So many lanes on one Postgres server."""
    with tls_server(folder) as tls, ExitStack() as parts:
        yield [Lane(one, tls, folder / f"lane{one}", parts, with_redis=with_redis) for one in range(count)]


def run_all(open_lanes: Sequence[Lane], wanted: Sequence[Cell]) -> list[Outcome]:
    """Outcomes in the order of the cells, each printed when it is known."""
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in open_lanes:
        free.put(lane)

    def one(cell: Cell) -> Outcome:
        lane = free.get()
        try:
            outcome = run(lane, cell)
        finally:
            free.put(lane)
        sys.stdout.write(line(outcome) + "\n")
        sys.stdout.flush()
        return outcome

    with ThreadPoolExecutor(len(open_lanes)) as runners:
        return list(runners.map(one, wanted))


if __name__ == "__main__":
    sys.exit(main())
