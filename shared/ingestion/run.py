"""One ingestion: what the site says now becomes what the index says.

Safe to kill by its order: a page's row is in the ledger without its hash before its points are written,
and with it after; ids follow from content, so doing anything twice changes nothing. Whatever moment a run
is killed at, the next one goes on where it was and ends with the same index. Readers see the live
generation only; the next one is built beside it and takes its place in one switch of the alias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.errors import Corrupt
from shared.ingestion.build import embed_passages
from shared.ingestion.failover import Failover
from shared.ingestion.index_points import (
    count_statistics,
    fingerprint,
    page_points,
)
from shared.ingestion.plan import Plan, Read, batches, compare, cut, passages_of, record
from shared.ingestion.report import Report
from shared.ports import Condition, Embedder, Generation, Ledger, Point, VectorAdmin
from shared.resilience.deadline import Clock, Deadline
from shared.retrieval.chunks import STATISTICS_ID, Page
from shared.retrieval.layout import Facts, collection_spec, read_statistics, statistics_point
from shared.retrieval.statistics import Statistics

STEP_SECONDS = 120.0
"""Longest time for one call to a service."""
DRIFT = 0.5
"""Share of pages that may be new, changed or gone before the frozen statistics are made anew."""

Progress = Callable[[int, int], None]
"""Told the pages done and the pages in all."""


class Ingestion:
    """Brings the index behind ``alias`` to what a site says.

    ``embedder`` None makes an index that is searched by words alone; ``failover`` is brought along, so that
    there are answers without Qdrant; ``on_stale`` is told the pages whose answers must no longer be given.
    Errors: those of the ports;
    :class:`~shared.errors.SourceError` for a site without pages; ``PreconditionFailed`` while another run
    holds the lease.
    """

    def __init__(
        self,
        ledger: Ledger,
        vectors: VectorAdmin,
        embedder: Embedder | None,
        failover: Failover | None = None,
        *,
        alias: str,
        clock: Clock,
        on_stale: Callable[[Sequence[str]], object] = lambda _urls: None,
    ) -> None:
        self._ledger = ledger
        self._vectors = vectors
        self._embedder = embedder
        self._failover = failover or Failover()
        self._alias = alias
        self._clock = clock
        self._on_stale = on_stale
        self._model = embedder.model if embedder else ""
        self._fingerprint = fingerprint(self._model)

    def run(
        self,
        pages: Sequence[Page],
        *,
        source: str,
        refused: Sequence[str] = (),
        progress: Progress = lambda _done, _total: None,
    ) -> Report:
        """Make the index hold exactly these pages. ``source`` names the site; ``refused`` lists the pages
        that could not be read, for the report.
        """
        started = self._clock()
        read = cut(pages, source)
        with self._ledger.lease(self._step()):
            known = self._ledger.generations(self._step())
            live = next((one for one in known if one.status == "live"), None)
            plan = self._plan(live.id if live else "", read)
            if live is None or self._is_outdated(live, source, plan):
                generation, plan, embedded = self._build(known, read, source, progress)
            else:
                generation, embedded = live.id, self._update(live, plan, progress)
                # A run that was killed between its switch and the ledger leaves the alias elsewhere.
                self._vectors.switch_alias(self._alias, self.collection(live.id), self._step())
            warnings = self._settle(generation, read)
        return Report(
            generation=generation,
            pages=len(read),
            chunks=sum(len(one.chunks) for one in read),
            added=len(plan.added),
            changed=len(plan.changed),
            removed=len(plan.removed),
            unchanged=len(plan.unchanged),
            embedded=embedded,
            seconds=round(self._clock() - started, 3),
            refused=tuple(refused),
            warnings=warnings,
        )

    def collection(self, generation_id: str) -> str:
        """The collection of a generation."""
        return f"{self._alias.removesuffix('-live')}-{generation_id}"

    # ------------------------------------------------------------ deciding

    def _is_outdated(self, live: Generation, source: str, plan: Plan) -> bool:
        same_rules = live.fingerprint == self._fingerprint and live.source == source
        return not same_rules or plan.drift > DRIFT or not self._exists(self.collection(live.id))

    def _exists(self, collection: str) -> bool:
        return collection in self._collections()

    def _plan(self, generation_id: str, read: Sequence[Read]) -> Plan:
        known = self._ledger.pages(generation_id, self._step()) if generation_id else {}
        return compare(read, known)

    # ------------------------------------------------------------ the next generation

    def _build(
        self, known: Sequence[Generation], read: Sequence[Read], source: str, progress: Progress
    ) -> tuple[str, Plan, int]:
        """Build the next generation beside the live one, or go on with one that was begun, then switch."""
        statistics = count_statistics((one.page, one.chunks) for one in read)
        generation = self._begun(known, source, statistics) or self._begin(known, source, statistics)
        plan = self._plan(generation.id, read)
        embedded = self._apply(generation.id, plan, statistics, progress)
        self._verify(generation.id, sum(len(one.chunks) for one in read))
        self._vectors.switch_alias(self._alias, self.collection(generation.id), self._step())
        chunks = sum(len(one.chunks) for one in read)
        self._ledger.finish_generation(generation.id, len(read), chunks, self._step())
        self._forget_old(generation.id)
        return generation.id, self._since_live(known, read), embedded

    def _since_live(self, known: Sequence[Generation], read: Sequence[Read]) -> Plan:
        """What the switch changed for readers: the plan against the generation that was live."""
        before = next((one.id for one in known if one.status == "live"), "")
        return self._plan(before, read)

    def _begun(self, known: Sequence[Generation], source: str, statistics: Statistics) -> Generation | None:
        """A generation that an earlier run began with the same rules and the same statistics; any other
        unfinished one is thrown away.
        """
        found = None
        for one in known:
            if one.status != "building":
                continue
            same = one.fingerprint == self._fingerprint and one.source == source
            if found is None and same and self._statistics(one.id) == statistics.encode():
                found = one
            else:
                self._throw_away(one.id)
        return found

    def _begin(self, known: Sequence[Generation], source: str, statistics: Statistics) -> Generation:
        generation = Generation(self._next_id(known), self._fingerprint, source, "building", 0, 0)
        self._ledger.start_generation(generation, self._step())
        dimensions = self._embedder.dimensions if self._embedder else 0
        collection = self.collection(generation.id)
        self._vectors.drop(collection, self._step())
        self._vectors.create(collection, collection_spec(dimensions), self._step())
        facts = Facts(generation.id, self._fingerprint, self._model, dimensions)
        reserved = statistics_point(statistics, facts)
        self._vectors.upsert(collection, [reserved], self._step())
        self._failover.begin(generation.id, reserved.payload, self._step())
        return generation

    def _next_id(self, known: Sequence[Generation]) -> str:
        """Beyond every generation that the ledger or the engine knows: after a ledger was lost, the
        collection that readers are served from is not written over.
        """
        names = [one.id for one in known]
        prefix = self.collection("g")
        names += [name[len(prefix) - 1 :] for name in self._collections() if name.startswith(prefix)]
        numbers = [int(name[1:]) for name in names if name[1:].isdigit()]
        return f"g{1 + max(numbers, default=0):04d}"

    def _collections(self) -> list[str]:
        return self._vectors.collections(self._step())

    def _statistics(self, generation_id: str) -> bytes | None:
        collection = self.collection(generation_id)
        if not self._exists(collection):
            return None
        first = self._vectors.scroll(collection, self._step(), limit=1).points
        if not first or first[0].id != STATISTICS_ID:
            return None
        return read_statistics(first[0])[0].encode()

    def _verify(self, generation_id: str, passages: int) -> None:
        found = self._vectors.count(self.collection(generation_id), self._step()) - 1
        if found != passages:
            self._throw_away(generation_id)
            raise Corrupt(
                "qdrant",
                f"build generation {generation_id}",
                f"it holds {found} passages where the site has {passages}; it was thrown away",
                hint="Run the ingestion again; readers still see the generation before.",
            )

    def _forget_old(self, live_id: str) -> None:
        """Keep the live generation and the one before it, for going back."""
        known = self._ledger.generations(self._step())
        retired = [one for one in known if one.id != live_id]
        for one in retired[1:]:
            self._throw_away(one.id)
        kept = {self.collection(one.id) for one in known} - {self.collection(one.id) for one in retired[1:]}
        prefix = self.collection("g")
        for name in self._collections():
            if name.startswith(prefix) and name[len(prefix) :].isdigit() and name not in kept:
                self._vectors.drop(name, self._step())

    def _throw_away(self, generation_id: str) -> None:
        self._vectors.drop(self.collection(generation_id), self._step())
        self._ledger.forget_generation(generation_id, self._step())

    # ------------------------------------------------------------ pages inside a generation

    def _update(self, live: Generation, plan: Plan, progress: Progress) -> int:
        changes = plan.added or plan.changed or plan.removed
        if not changes:
            return 0
        statistics = read_statistics(self._reserved(live.id))[0]
        embedded = self._apply(live.id, plan, statistics, progress)
        counts = self._ledger.pages(live.id, self._step()).values()
        chunks = sum(record.chunks for record in counts)
        self._ledger.finish_generation(live.id, len(counts), chunks, self._step())
        return embedded

    def _apply(self, generation_id: str, plan: Plan, statistics: Statistics, progress: Progress) -> int:
        """Write what the plan says; the number of texts that were embedded."""
        known = {one.page.url for one in plan.changed}
        total = len(plan.added) + len(plan.changed) + len(plan.unchanged)
        done, embedded = len(plan.unchanged), 0
        progress(done, total)
        for batch in batches((*plan.added, *plan.changed)):
            embedded += self._write(generation_id, batch, statistics, known)
            done += len(batch)
            progress(done, total)
        self._remove(generation_id, plan.removed)
        return embedded

    def _write(
        self, generation_id: str, batch: Sequence[Read], statistics: Statistics, known: set[str]
    ) -> int:
        collection = self.collection(generation_id)
        self._ledger.save_pages(generation_id, [record(one, pending=True) for one in batch], self._step())
        chunks = [chunk for one in batch for chunk in one.chunks]
        vectors = embed_passages(self._embedder, chunks, self._step()) if self._embedder else {}
        points = (p for one in batch for p in page_points(one.page, one.chunks, statistics, vectors))
        self._vectors.upsert(collection, points, self._step())
        for one in batch:
            if one.page.url in known:
                own = (Condition("url", (one.page.url,)),)
                keep = [chunk.id for chunk in one.chunks]
                self._vectors.delete(collection, self._step(), conditions=own, keep_ids=keep)
        self._failover.save(generation_id, passages_of(batch), self._step())
        # Before the ledger says that it is done: a run that is killed here forgets them again.
        self._on_stale([one.page.url for one in batch if one.page.url in known])
        self._ledger.save_pages(generation_id, [record(one, pending=False) for one in batch], self._step())
        return len(vectors)

    def _remove(self, generation_id: str, urls: Sequence[str]) -> None:
        if urls:
            gone = (Condition("url", tuple(urls)),)
            self._vectors.delete(self.collection(generation_id), self._step(), conditions=gone)
            self._on_stale(urls)
            self._ledger.remove_pages(generation_id, urls, self._step())

    def _settle(self, generation_id: str, read: Sequence[Read]) -> tuple[str, ...]:
        hashes = [one.hash for one in read]
        return self._failover.settle(
            generation_id,
            passages_of(read),
            hashes,
            lambda: self._reserved(generation_id).payload,
            self._step,
        )

    def _reserved(self, generation_id: str) -> Point:
        (point,) = self._vectors.scroll(self.collection(generation_id), self._step(), limit=1).points
        return point

    def _step(self) -> Deadline:
        return Deadline.after(STEP_SECONDS, self._clock)
