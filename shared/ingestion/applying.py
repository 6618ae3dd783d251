"""Applies a plan: pages change inside the live generation, or the next one is built beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from shared.errors import GenerationRefused, RemovalNotAllowed
from shared.ingestion.economy import Economy, Reusable
from shared.ingestion.failover import Contents, Failover
from shared.ingestion.generations import Generations
from shared.ingestion.parts import Hooks, Rules, Work
from shared.ingestion.plan import check_lost, check_removal
from shared.ingestion.report import Report
from shared.ingestion.stage import Removal
from shared.ingestion.study import Study
from shared.ingestion.writing import Target, Writer, staged_statistics
from shared.ports import Embedder, Run, RunPhase, RunShare
from shared.retrieval.chunks import STATISTICS_ID, Chunk
from shared.retrieval.layout import chunk_of
from shared.retrieval.statistics import Statistics


def contents(generations: Generations, generation: str, passages: int, digest: str) -> Contents:
    """A whole generation as its collection has it."""

    def chunks() -> Iterator[Chunk]:
        points = generations.points(generation)
        return (chunk_of(point) for point in points if point.id != STATISTICS_ID)

    return Contents(generation, passages, digest, chunks, lambda: generations.reserved(generation).payload)


class Applier:
    """Applies what one study found."""

    def __init__(
        self,
        study: Study,
        embedder: Embedder | None,
        generations: Generations,
        failover: Failover,
        *,
        rules: Rules,
        hooks: Hooks,
    ) -> None:
        self._study = study
        self._work = study.work
        self._generations = generations
        self._failover = failover
        self._rules = rules
        self._hooks = hooks
        self._economy = economy(study.work, embedder, generations)

    def apply(self, to_embed: Collection[int] | None = None) -> Report:
        """Embed what is new, write, switch if there is a new generation, and bring the ways down along.

        ``to_embed`` are the tasks whose texts are embedded first; by default those that have any left. The
        report's seconds are left to the caller. Raises
        :class:`~shared.errors.RemovalNotAllowed` before anything is changed, and
        :class:`~shared.errors.GenerationRefused` before the switch.
        """
        self._check_removal()
        left = self._economy.costs().by_task
        for share in self._shares():
            if share.task in to_embed if to_embed is not None else left.get(share.task):
                self._economy.embed_share(share, self._hooks.embedding)
        live = self._study.live
        if live is None or self._study.why:
            generation = self._build()
        else:
            generation = live.id
            self._change(generation)
        return self._settle(generation)

    def _check_removal(self) -> None:
        """A permission holds for the pages that were shown before it was given, if any were: what it was
        given for. It outlives a run that fails, and covers no page more.
        """
        study, run, stage = self._study, self._work.run, self._work.stage
        gone = study.found.removed
        if not gone or (study.live and study.live.source in self._rules.may_be_replaced):
            return
        told = stage.removal()
        allowed = {*told.allowed, *((told.shown or gone) if run.allow_removal else ())}
        try:
            check_lost(run.id, study.lost, study.why, allowed=allowed)
            check_removal(run.id, study.found, self._rules.removal_limit, study.why, allowed=allowed)
        except RemovalNotAllowed:
            stage.put_removal(Removal(gone, told.allowed))
            raise
        if run.allow_removal:
            stage.put_removal(Removal(told.shown, tuple(sorted(allowed))))

    def _change(self, generation: str) -> None:
        """Change pages inside the live generation."""
        found = self._study.found
        if found.added or found.changed or found.removed:
            writer = self._writer(generation, self._generations.statistics(generation))
            self._write(writer, len(found.added) + len(found.changed))
            writer.remove(found.removed)
        # What was read anew and is the same need not be read again the next time.
        self._work.ports.chunks.note_sources(generation, self._work.run.id, self._work.steps.one())
        # A run that was killed between its switch and the ledger leaves the alias elsewhere.
        self._generations.point_alias(generation)

    def _build(self) -> str:
        """Build the next generation beside the live one, or go on with one that was begun, then switch."""
        work = self._work
        statistics = staged_statistics(work)
        made = self._generations.begin(
            work.run.source,
            statistics,
            lambda new, point: self._failover.begin(new.id, point.payload, work.steps.one()),
        )
        left = work.ports.pages.differences(work.run.id, made.id, work.steps.one())
        writer = self._writer(made.id, statistics)
        self._write(writer, len({*left.added, *left.changed}.difference(self._study.lost)))
        writer.remove(left.removed)
        self._generations.verify(made.id, work.ports.chunks.totals(made.id, work.steps.one())[1])
        self._pass_gate(made.id)
        self._generations.point_alias(made.id)
        self._generations.finish(made.id)
        self._generations.forget_old(self._rules.previous_generations)
        return made.id

    def _pass_gate(self, candidate: str) -> None:
        live = self._study.live
        if live is None or self._generations.facts(live.id) is None:
            return
        collections = (self._generations.collection(one) for one in (candidate, live.id))
        if reasons := self._rules.gate(*collections):
            raise GenerationRefused(
                f"Generation {candidate} was not made live: {'; '.join(reasons)}.",
                hint="Readers keep the generation before. Correct the site or the golden questions, or raise "
                "golden_margin, and run the ingestion again.",
            )

    def _write(self, writer: Writer, pages: int) -> None:
        run = self._save("writing", to_write=pages)
        total = run.plan.added + run.plan.changed + run.plan.unchanged if run.plan else pages
        before = max(total - pages, 0)
        self._hooks.writing(before, total)

        def progress(written: int) -> None:
            self._work.ports.runs.save(replace(run, written=written), self._work.steps.one())
            self._hooks.writing(before + written, total)

        writer.write(progress)

    def _settle(self, generation: str) -> Report:
        """Bring the ways down along, and tell what was done."""
        to_write = self._work.run.to_write
        self._save("finishing", to_write=to_write, written=to_write)
        pages, passages, digest = self._generations.finish(generation)
        self._generations.forget_unfinished()
        whole = contents(self._generations, generation, passages, digest)
        warnings = self._failover.settle(whole, self._work.steps)
        there = self._generations.count(generation)
        if there != passages:
            lost = f"the index holds {there} passages where the ledger has {passages}: run `lectern repair`"
            warnings = (*warnings, lost)
        return self._report(generation, pages, passages, warnings)

    def _report(self, generation: str, pages: int, passages: int, warnings: tuple[str, ...]) -> Report:
        shares, found, own = self._shares(), self._study.found, self._economy
        tokens = sum(share.tokens for share in shares) + own.tokens
        return Report(
            generation=generation,
            pages=pages,
            chunks=passages,
            added=len(found.added),
            changed=len(found.changed),
            removed=len(found.removed),
            unchanged=found.unchanged,
            embedded=sum(share.embedded for share in shares) + own.embedded,
            seconds=0.0,
            refused=tuple(line for share in shares for line in share.refused),
            warnings=warnings,
            run=self._work.run.id,
            calls=sum(share.calls for share in shares) + own.calls,
            tokens=tokens,
            usd=round(tokens * self._rules.usd_per_million / 1_000_000, 6),
        )

    # ------------------------------------------------------------ parts

    def _writer(self, generation: str, statistics: Statistics) -> Writer:
        target = Target(generation, self._generations.collection(generation), statistics)
        return Writer(self._work, target, self._economy, self._failover, self._hooks.stale)

    def _shares(self) -> tuple[RunShare, ...]:
        return self._work.ports.runs.get(self._work.run.id, self._work.steps.one()).shares

    def _save(self, phase: RunPhase, *, to_write: int, written: int = 0) -> Run:
        run = replace(self._work.run, phase=phase, to_write=to_write, written=written)
        self._work.ports.runs.save(run, self._work.steps.one())
        self._work = replace(self._work, run=run)
        return run


def economy(work: Work, embedder: Embedder | None, generations: Generations) -> Economy:
    """The vectors of a run."""
    return Economy(work, embedder, Reusable(generations.reusable(), work.run.generation))
