"""What an ingestion is made of: the ports it works on, the rules it keeps, and whom it tells what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.ingestion.stage import Stage
from shared.ingestion.steps import Steps
from shared.ports import (
    ChunkLedger,
    Ledger,
    ObjectStore,
    Run,
    RunPages,
    Runs,
    RunShare,
    RunTexts,
    StoredVectors,
    VectorAdmin,
)

Progress = Callable[[int, int], object]
"""Told how many are done and how many there are."""

Gate = Callable[[str, str], Sequence[str]]
"""Why the first collection, a new generation, must not take the place of the second, which is live; empty
when it may.
"""


@dataclass(frozen=True, slots=True)
class IndexPorts:
    """Ledger and index, and the store of the stage."""

    ledger: Ledger
    chunks: ChunkLedger
    runs: Runs
    pages: RunPages
    texts: RunTexts
    vectors: VectorAdmin
    stored: StoredVectors
    objects: ObjectStore


@dataclass(frozen=True, slots=True)
class Work:
    """What the steps of one run work with."""

    run: Run
    ports: IndexPorts
    stage: Stage
    steps: Steps

    def parts(self, generation: str) -> list[tuple[int, int]]:
        """Task and number of the parts that hold pages which differ from the generation's."""
        return self.ports.pages.parts(self.run.id, generation, self.steps.one())

    def urls(self, generation: str, part: tuple[int, int] | None) -> dict[str, bool]:
        """Pages of a part, or of none, that differ from the generation's, and whether the generation has
        them.
        """
        return self.ports.pages.urls(self.run.id, generation, part, self.steps.one())

    def save_share(self, share: RunShare) -> int:
        """Store what a task has done; how many shares are complete."""
        return self.ports.runs.save_share(self.run.id, share, self.steps.one())


@dataclass(frozen=True, slots=True)
class Rules:
    """``removal_limit`` is the share of pages that may go unasked, ``previous_generations`` how many are kept
    for going back, ``usd_per_million`` the price of embedded tokens, ``wait_seconds`` how long others are
    waited for. An index made of one of the sources ``may_be_replaced`` may go without asking.
    """

    removal_limit: float = 0.2
    previous_generations: int = 1
    usd_per_million: float = 0.0
    wait_seconds: float = 0.0
    may_be_replaced: frozenset[str] = frozenset()
    gate: Gate = lambda _candidate, _live: ()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a run tells: progress in pages read and written and texts embedded, a line for each page that is
    refused, who is waited for, what else went wrong, and the pages whose answers must no longer be given.
    """

    reading: Progress = lambda _done, _total: None
    embedding: Progress = lambda _done, _total: None
    writing: Progress = lambda _done, _total: None
    refused: Callable[[str], object] = lambda _line: None
    waiting: Callable[[str], object] = lambda _who: None
    told: Callable[[str], object] = lambda _line: None
    stale: Callable[[Sequence[str]], object] = lambda _urls: None
