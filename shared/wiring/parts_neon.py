"""Ports joined to Postgres; see :mod:`shared.wiring.parts`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from shared.ports import (
    AnswerLog,
    ApiKeys,
    ChunkLedger,
    Leases,
    Ledger,
    LedgerClock,
    Memory,
    Questions,
    RunPages,
    Runs,
    RunStarts,
    RunTexts,
    SuggestionStore,
)
from shared.ports.drills import DrillLog
from shared.resilience.deadline import Deadline
from shared.wiring.opened import Opened

if TYPE_CHECKING:
    from shared.adapters.neon.ledger import NeonLedger
    from shared.adapters.neon.pool import Pool


class NeonParts(Opened):
    """What lies in Postgres."""

    @cached_property
    def _pool(self) -> Pool:
        from shared.adapters.neon.pool import Pool

        pool = Pool(self.settings.database_url, size=self.settings.database_pool_size)
        return self._open(pool, pool.close)

    @property
    def ledger(self) -> Ledger:
        return self._neon_ledger

    @cached_property
    def _neon_ledger(self) -> NeonLedger:
        from shared.adapters.neon.ledger import NeonLedger

        return NeonLedger(self._pool)

    @cached_property
    def ledger_clock(self) -> LedgerClock:
        """The version of the same ledger."""
        from shared.adapters.neon.ledger import NeonLedger

        return NeonLedger(self._pool)

    @cached_property
    def run_starts(self) -> RunStarts:
        """Which job works on which run."""
        from shared.adapters.neon.run_starts import NeonRunStarts

        return NeonRunStarts(self._pool)

    @cached_property
    def leases(self) -> Leases:
        """What keeps ingestion and backups apart."""
        from shared.adapters.neon.lease import NeonLeases

        return NeonLeases(self._pool)

    @property
    def chunk_ledger(self) -> ChunkLedger:
        """The passages of the same ledger, under the same lease."""
        return self._neon_ledger

    @cached_property
    def runs(self) -> Runs:
        """The runs of ingestion."""
        from shared.adapters.neon.runs import NeonRuns

        return NeonRuns(self._pool)

    @cached_property
    def run_pages(self) -> RunPages:
        """What the runs of ingestion have read."""
        from shared.adapters.neon.run_pages import NeonRunPages

        return NeonRunPages(self._pool)

    @cached_property
    def run_texts(self) -> RunTexts:
        """Who embeds which text."""
        from shared.adapters.neon.run_pages import NeonRunTexts

        return NeonRunTexts(self._pool)

    @cached_property
    def drill_log(self) -> DrillLog:
        """Reports of drills."""
        from shared.adapters.neon.drills import NeonDrillLog

        return NeonDrillLog(self._pool)

    @cached_property
    def answer_log(self) -> AnswerLog:
        from shared.adapters.neon.answers import NeonAnswerLog

        return NeonAnswerLog(self._pool)

    @cached_property
    def questions(self) -> Questions:
        """What readers asked, for the report."""
        from shared.adapters.neon.questions import NeonQuestions

        return NeonQuestions(self._pool)

    @cached_property
    def suggestions(self) -> SuggestionStore:
        """Questions to start with."""
        from shared.adapters.neon.suggestions import NeonSuggestions

        return NeonSuggestions(self._pool)

    @cached_property
    def memory(self) -> Memory:
        """Conversations, limits and spend."""
        from shared.adapters.neon.memory import NeonMemory

        return NeonMemory(self._pool)

    @cached_property
    def api_keys(self) -> ApiKeys:
        from shared.adapters.neon.keys import NeonApiKeys

        return NeonApiKeys(self._pool)

    def prepare_database(
        self, deadline: Deadline, *, ours_alone: bool = False, restoring: bool = False
    ) -> None:
        """Bring the schema up to date. ``ours_alone``: the server was started for this process, so whoever
        holds a lease is dead. ``restoring``: it is the restore itself that asks, before its end.
        """
        from shared.adapters.neon.lease import end_leases
        from shared.adapters.neon.migrate import migrate

        migrate(self._pool, deadline, restoring=restoring)
        if ours_alone:
            end_leases(self._pool, deadline)

    def applied_migrations(self, deadline: Deadline) -> list[str]:
        """Names of the migrations that the database has, in order."""
        from shared.adapters.neon.migrate import applied

        return applied(self._pool, deadline)
