"""Which cells there are, which mean nothing and why, and what each one must come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

EMBEDDING, GENERATION, QDRANT = "embedding", "generation", "qdrant"
POSTGRES, BUCKET, REDIS = "postgres", "bucket", "redis"
DEPENDENCIES = (EMBEDDING, GENERATION, QDRANT, POSTGRES, BUCKET, REDIS)

REFUSED, BLACK_HOLE, SLOW, THROTTLED, BROKEN = "refused", "black hole", "5 s slow", "429", "500"
GARBAGE, RESET, CERTIFICATE, EXPIRED = "garbage", "reset", "wrong certificate", "expired credentials"
FAULTS = (REFUSED, BLACK_HOLE, SLOW, THROTTLED, BROKEN, GARBAGE, RESET, CERTIFICATE, EXPIRED)

MODEL, QUOTES = "gemini-3.5-flash-lite", "passages"
NAMES = {EMBEDDING: "gemini:", GENERATION: f"{MODEL}:", QDRANT: "qdrant:", POSTGRES: "neon:", BUCKET: "gcs:"}
"""How an answer's ``degraded`` begins a reason, for each service."""

_NO_HTTP = {
    POSTGRES: "Postgres speaks no HTTP; its own words for {} (codes 53300, 57P03) have names in its adapter",
    REDIS: "Redis speaks no HTTP; its own words for {} (LOADING, OOM) have names in its adapter",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One or two dependencies with one fault."""

    down: tuple[str, ...]
    fault: str

    @property
    def name(self) -> str:
        return f"{' + '.join(self.down)}: {self.fault}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What every answer of a cell must say. ``named`` are the services whose names ``degraded`` must hold;
    ``waits`` that nothing is down and each reader waits for what is slow.
    """

    rung: str
    writers: frozenset[str]
    recorded: bool
    named: frozenset[str]
    waits: bool = False


def cells(dependencies: tuple[str, ...] = DEPENDENCIES) -> Iterator[Cell]:
    """Every cell, each dependency alone and then each pair."""
    for size in (1, 2):
        for down in combinations(dependencies, size):
            for fault in FAULTS:
                yield Cell(down, fault)


def meaningless(cell: Cell) -> str:
    """Why a cell means nothing; empty when it does."""
    if cell.fault not in (THROTTLED, BROKEN):
        return ""
    return "; ".join(_NO_HTTP[one].format(cell.fault) for one in cell.down if one in _NO_HTTP)


def expected(cell: Cell) -> Expected:
    """The lowest rung that the cell leaves, and what becomes of the record."""
    lost = set(cell.down)
    waits = cell.fault == SLOW and GENERATION in lost
    if waits:
        lost.remove(GENERATION)  # five seconds to the first word are no failure
    return Expected(
        _rung(lost),
        _writers(lost, cell.fault),
        recorded=not {POSTGRES, BUCKET} <= lost,
        named=frozenset(NAMES[one] for one in lost if _shows(one, lost)),
        waits=waits,
    )


def _rung(lost: set[str]) -> str:
    if QDRANT in lost:
        return "lifeboat" if POSTGRES in lost else "fulltext"
    return "sparse" if EMBEDDING in lost else "hybrid"


def _writers(lost: set[str], fault: str) -> frozenset[str]:
    if GENERATION not in lost:
        return frozenset({MODEL})
    # What a cut stream had proven before is shown; what came to nothing is replaced by quotes.
    return frozenset({QUOTES, MODEL}) if fault == RESET else frozenset({QUOTES})


def _shows(one: str, lost: set[str]) -> bool:
    """Whether an answer can show that a service is down: only one that it needed."""
    if one == EMBEDDING:
        return QDRANT not in lost  # not asked: there is nothing to search with its vectors
    return POSTGRES in lost if one == BUCKET else one != REDIS
