"""A part of the failure matrix in each run of the tests; `make chaos` runs all of it, with Redis."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.chaos import matrix
from tests.chaos.__main__ import TABLE
from tests.chaos.lane import Lane
from tests.chaos.matrix import Cell, cells, expected, meaningless
from tests.chaos.run import QUESTIONS, ask, chat, run
from tests.contract.neon_servers import tls_server

ALWAYS = (
    Cell((matrix.QDRANT, matrix.POSTGRES), matrix.REFUSED),
    Cell((matrix.POSTGRES, matrix.BUCKET), matrix.REFUSED),
    Cell((matrix.POSTGRES,), matrix.REFUSED),
    Cell((matrix.QDRANT,), matrix.CERTIFICATE),
)
WITHOUT_REDIS = tuple(name for name in matrix.DEPENDENCIES if name != matrix.REDIS)
LONG = {(matrix.GENERATION, matrix.BLACK_HOLE), (matrix.GENERATION, matrix.SLOW)}


def _chosen(count: int = 5) -> list[Cell]:
    """A seeded choice among the cells that take seconds, after those that are run always."""
    others = [
        cell
        for cell in cells(WITHOUT_REDIS)
        if not meaningless(cell)
        and cell not in ALWAYS
        and not LONG & {(one, cell.fault) for one in cell.down}
    ]
    return [*ALWAYS, *random.Random(4).sample(others, count)]


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    folder = tmp_path_factory.mktemp("chaos")
    with tls_server(folder) as tls, ExitStack() as parts:
        yield Lane(0, tls, folder / "lane", parts, with_redis=False)


@pytest.mark.parametrize("cell", _chosen(), ids=lambda cell: cell.name)
def test_a_reader_is_answered(lane: Lane, cell: Cell) -> None:
    """With this down, readers would wait, get an error or a wrong page, or a record would be lost."""
    assert run(lane, cell).problems == ()


def test_a_database_that_is_left_alone_is_not_asked(lane: Lane) -> None:
    """In an outage each question would wait for the cache's or the limits' share of the hanging database."""
    lane.heal()
    lane.forget_cached()
    with chat(lane.environment()) as client:
        lane.strike(matrix.POSTGRES, matrix.BLACK_HOLE)
        with ThreadPoolExecutor(3) as readers:
            list(readers.map(lambda question: ask(client, question), QUESTIONS[:3]))
        connections = lane.fronts[matrix.POSTGRES].connections
        assert [ask(client, question).body["recorded"] for question in QUESTIONS[3:8]] == [True] * 5
        assert lane.fronts[matrix.POSTGRES].connections == connections
        lane.heal()


def test_every_pair_is_in_the_matrix() -> None:
    """A cell that nobody runs would count as one that holds."""
    every = list(cells())
    assert len(set(every)) == len(every) == (6 + 15) * 9
    assert sum(bool(meaningless(cell)) for cell in every) == (2 + 9) * 2


def test_the_committed_table_has_every_cell() -> None:
    """The page would show what was true of another matrix."""
    page = TABLE.read_text(encoding="utf-8")
    missing = [cell.name for cell in cells() if f"| {' + '.join(cell.down)} | {cell.fault} |" not in page]
    assert missing == []


@pytest.mark.parametrize(
    ("down", "fault", "rung", "recorded"),
    [
        (("embedding",), "refused", "sparse", True),
        (("generation",), "500", "hybrid", True),
        (("qdrant", "bucket"), "reset", "fulltext", True),
        (("qdrant", "postgres"), "black hole", "lifeboat", True),
        (("postgres", "bucket"), "garbage", "hybrid", False),
        (("generation", "redis"), "5 s slow", "hybrid", True),
    ],
)
def test_what_a_cell_must_come_to(down: tuple[str, ...], fault: str, rung: str, *, recorded: bool) -> None:
    """The matrix would accept a rung that is lower than it has to be."""
    wanted = expected(Cell(down, fault))
    assert (wanted.rung, wanted.recorded) == (rung, recorded)
