"""Reads a site into the stage of a run, and compares it with what readers see."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.errors import Missing, SourceError
from shared.ingestion.generations import Generations
from shared.ingestion.parts import Hooks, Rules, Work
from shared.ingestion.plan import DRIFT, Plan, counts_of, drift
from shared.ingestion.reading import ShareReader
from shared.ingestion.site import Source
from shared.ports import Differences, Generation, PlanCounts, RunShare


@dataclass(frozen=True, slots=True)
class Study:
    """What was read against the ``live`` generation. ``why`` says why a new one is needed, if one is; then
    ``lost`` are the pages among the removed that could not be read for it.
    """

    work: Work
    live: Generation | None
    found: Differences
    why: str
    lost: tuple[str, ...] = ()

    def plan(self) -> Plan:
        """The plan, for a person."""
        run, found = self.work.run, self.found
        assert run.plan is not None
        shares = self.work.ports.runs.get(run.id, self.work.steps.one()).shares
        refused = tuple(line for share in shares for line in share.refused)
        return Plan(run.id, run.plan, found.added, found.changed, found.removed, refused)


class Student:
    """Reads and compares. ``embeds`` says whether there is an embedding model."""

    def __init__(
        self, source: Source, generations: Generations, rules: Rules, hooks: Hooks, *, embeds: bool
    ) -> None:
        self._source = source
        self._generations = generations
        self._rules = rules
        self._hooks = hooks
        self._embeds = embeds

    def read(self, work: Work, task: int) -> RunShare:
        """Bring one share of the stage to what the site says now."""
        live = self._generations.live()
        reader = ShareReader(
            work,
            task,
            embeds=self._embeds,
            live=live.id if live else "",
            on_refused=self._hooks.refused,
        )
        share = reader.read(self._source, self._hooks.reading)
        work.save_share(share)
        return share

    def read_all(self, work: Work) -> None:
        """Every share, one after the other."""
        for task in range(work.run.tasks):
            self.read(work, task)

    def study(self, work: Work) -> Study:
        """Compare what was read with what readers see; the counts become the run's plan.

        Raises :class:`~shared.errors.SourceError` when nothing was read.
        """
        live = self._generations.live()
        found = _differences(work, live)
        why = self._generations.why_rebuild(live, work.run.source)
        if not why and drift(found) > DRIFT:
            why = f"more than {DRIFT:.0%} of the pages are new, changed or gone"
        if why and work.run.generation:
            # What was unchanged was not read so far, and the new generation needs all of it.
            work = replace(work, run=replace(work.run, generation=""))
            self.read_all(work)
            found = _differences(work, live)
        lost = _lost(work, live, why)
        found = _without(found, lost)
        if not (found.added or found.changed or found.unchanged):
            raise SourceError(
                f"There is no page to ingest in {work.run.place}.",
                hint="Give a folder with Markdown (.md, .mdx) or with a built Docusaurus site.",
            )
        return Study(self._planned(work, found, why), live, found, why, lost)

    def _planned(self, work: Work, found: Differences, why: str) -> Work:
        counts = _counts(work, found, why, self._generations, self._rules)
        run = replace(work.run, plan=counts, phase="embedding")
        work.ports.runs.save(run, work.steps.one())
        return replace(work, run=run)


def recorded_study(work: Work, generations: Generations, rules: Rules) -> Study:
    """What a run has read against what readers see now; nothing is read, or changed.

    Raises ``Missing`` for a run that has not read its site yet, or has ended.
    """
    run, live = work.run, generations.live()
    lost = _lost(work, live, run.plan.rebuilds if run.plan else "")
    found = _without(_differences(work, live), lost)
    if run.plan is None or not (found.added or found.changed or found.unchanged):
        detail = "it has not read its site yet" if run.plan is None else "it has ended"
        hint = "`lectern ingest --plan` makes a plan; `lectern ingest --runs` lists the runs."
        raise Missing("the ledger", f"show the plan of run {run.id}", detail, hint=hint)
    why = run.plan.rebuilds
    counts = _counts(work, found, why, generations, rules)
    return Study(replace(work, run=replace(run, plan=counts)), live, found, why, lost)


def _lost(work: Work, live: Generation | None, why: str) -> tuple[str, ...]:
    """Pages that readers have and that a new generation will not: nothing was read of them."""
    return tuple(work.urls("", None)) if live and why else ()


def _without(found: Differences, lost: tuple[str, ...]) -> Differences:
    """The same, with what is lost among the removed."""
    gone = set(lost)
    changed = tuple(url for url in found.changed if url not in gone)
    kept = found.unchanged - len(lost) + len(found.changed) - len(changed)
    return replace(found, changed=changed, removed=tuple(sorted(gone.union(found.removed))), unchanged=kept)


def _counts(work: Work, found: Differences, why: str, generations: Generations, rules: Rules) -> PlanCounts:
    costs = work.ports.texts.costs(work.run.id, list(generations.reusable()), work.steps.one())
    return counts_of(found, costs, usd_per_million=rules.usd_per_million, rebuilds=why)


def _differences(work: Work, live: Generation | None) -> Differences:
    return work.ports.pages.differences(work.run.id, live.id if live else "", work.steps.one())
