"""The generations of the index: which one is live, the next one beside it, the switch, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from shared.errors import Corrupt, Missing
from shared.ingestion.steps import Steps
from shared.ports import ChunkLedger, Generation, Ledger, Point, PointPage, VectorAdmin
from shared.retrieval.chunks import STATISTICS_ID
from shared.retrieval.layout import Facts, collection_spec, read_statistics, statistics_point
from shared.retrieval.statistics import Statistics

BUILDING, LIVE = "building", "live"


class Generations:
    """The generations behind ``alias``. ``model`` and ``dimensions`` are the embedder's, "" and 0 without.

    Errors: those of ledger and engine.
    """

    def __init__(
        self,
        ledger: Ledger,
        chunks: ChunkLedger,
        vectors: VectorAdmin,
        steps: Steps,
        *,
        alias: str,
        fingerprint: str,
        model: str = "",
        dimensions: int = 0,
    ) -> None:
        self._ledger = ledger
        self._chunks = chunks
        self._vectors = vectors
        self._steps = steps
        self._alias = alias
        self._fingerprint = fingerprint
        self._model = model
        self._dimensions = dimensions

    def collection(self, generation_id: str) -> str:
        """The collection of a generation."""
        return f"{self._alias.removesuffix('-live')}-{generation_id}"

    def all(self) -> list[Generation]:
        """What the ledger knows, newest first."""
        return self._ledger.generations(self._steps.one())

    def live(self) -> Generation | None:
        return next((one for one in self.all() if one.status == LIVE), None)

    def why_rebuild(self, live: Generation | None, source: str) -> str:
        """Why pages cannot just change inside the live generation; empty when they can."""
        if live is None:
            return "there is no index yet"
        if live.source != source:
            return f"the index was made of {live.source}"
        if live.fingerprint != self._fingerprint:
            return "the embedding model, or the rules of reading and cutting, changed"
        if not self._exists(live.id):
            return f"the collection {self.collection(live.id)} is gone"
        if self.facts(live.id) is None:
            return f"the collection {self.collection(live.id)} was never finished"
        return ""

    def reusable(self) -> dict[str, str]:
        """Collections by generation, the live one first, whose vectors are of the embedding model in use."""
        if not self._model:
            return {}
        order = sorted(self.all(), key=lambda one: one.status != LIVE)
        facts = {one.id: self.facts(one.id) for one in order}
        return {name: self.collection(name) for name, one in facts.items() if one and self._fits(one)}

    def _fits(self, facts: Facts) -> bool:
        return (facts.model, facts.dimensions) == (self._model, self._dimensions)

    # ------------------------------------------------------------ the reserved point

    def reserved(self, generation_id: str) -> Point:
        """The reserved point of a generation. Raises ``Missing`` when the collection lacks it."""
        found = self._vectors.scroll(self.collection(generation_id), self._steps.one(), limit=1).points
        if not found or found[0].id != STATISTICS_ID:
            detail = f"collection {self.collection(generation_id)} has no statistics point"
            raise Missing("qdrant", "reading the statistics", detail, hint="Run `lectern ingest` again.")
        return found[0]

    def statistics(self, generation_id: str) -> Statistics:
        return read_statistics(self.reserved(generation_id))[0]

    def facts(self, generation_id: str) -> Facts | None:
        """What the generation was made with; None when its collection does not say."""
        try:
            return read_statistics(self.reserved(generation_id))[1]
        except Missing:
            return None

    def points(self, generation_id: str) -> Iterator[Point]:
        """Everything in the collection, without vectors, in the order of ids."""
        offset: str | None = None
        while True:
            page = self._page(generation_id, offset)
            yield from page.points
            offset = page.next_offset
            if offset is None:
                return

    def _page(self, generation_id: str, offset: str | None) -> PointPage:
        collection = self.collection(generation_id)
        return self._steps.patiently(lambda limit: self._vectors.scroll(collection, limit, offset=offset))

    # ------------------------------------------------------------ the next one

    def begin(
        self, source: str, statistics: Statistics, on_new: Callable[[Generation, Point], object]
    ) -> Generation:
        """The generation to build: one that an earlier run began with the same rules and statistics, or a new
        one, which ``on_new`` is told with its reserved point. Any other unfinished one is thrown away.
        """
        known = self.all()
        found = None
        for one in known:
            if one.status != BUILDING:
                continue
            same = one.fingerprint == self._fingerprint and one.source == source
            if found is None and same and self._has(one.id, statistics):
                found = one
            else:
                self.throw_away(one.id)
        return found or self._begin(known, source, statistics, on_new)

    def _has(self, generation_id: str, statistics: Statistics) -> bool:
        try:
            return self.statistics(generation_id).encode() == statistics.encode()
        except Missing:
            return False

    def _begin(
        self,
        known: Sequence[Generation],
        source: str,
        statistics: Statistics,
        on_new: Callable[[Generation, Point], object],
    ) -> Generation:
        generation = Generation(self._next_id(known), self._fingerprint, source, BUILDING, 0, 0)
        self._ledger.start_generation(generation, self._steps.one())
        collection = self.collection(generation.id)
        self._vectors.drop(collection, self._steps.one())
        self._vectors.create(collection, collection_spec(self._dimensions), self._steps.one())
        facts = Facts(generation.id, self._fingerprint, self._model, self._dimensions)
        reserved = statistics_point(statistics, facts)
        # Before the reserved point, which says that the generation was begun: what it says must be there.
        on_new(generation, reserved)
        self._vectors.upsert(collection, [reserved], self._steps.one())
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

    def verify(self, generation_id: str, passages: int) -> None:
        """Raise ``Corrupt``, and throw the generation away, unless it holds so many passages."""
        found = self.count(generation_id)
        if found != passages:
            self.throw_away(generation_id)
            raise Corrupt(
                "qdrant",
                f"build generation {generation_id}",
                f"it holds {found} passages where the site has {passages}; it was thrown away",
                hint="Run the ingestion again; readers still see the generation before.",
            )

    def count(self, generation_id: str) -> int:
        """Passages in the collection."""
        return self._vectors.count(self.collection(generation_id), self._steps.one()) - 1

    # ------------------------------------------------------------ the switch

    def point_alias(self, generation_id: str) -> None:
        """Send readers to the generation, in one request that is read back.

        Raises ``PreconditionFailed`` when the lease was lost meanwhile: whoever has it decides.
        """
        self._chunks.check_lease(self._steps.one())
        self._vectors.switch_alias(self._alias, self.collection(generation_id), self._steps.one())

    def finish(self, generation_id: str) -> tuple[int, int, str]:
        """Write into the ledger that the generation is live; its pages, passages and the digest of its
        contents.
        """
        pages, passages, digest = self._chunks.totals(generation_id, self._steps.one())
        self._ledger.finish_generation(generation_id, pages, passages, self._steps.one())
        return pages, passages, digest

    # ------------------------------------------------------------ the ones before

    def previous(self) -> Generation | None:
        """The newest generation before the live one that readers could be sent back to."""
        return next((one for one in self.all() if one.status == "retired" and self._exists(one.id)), None)

    def forget_old(self, keep: int) -> None:
        """Keep the live generation and the newest ``keep`` others."""
        known = self.all()
        others = [one for one in known if one.status != LIVE]
        for one in others[keep:]:
            self.throw_away(one.id)
        kept = {self.collection(one.id) for one in known} - {self.collection(one.id) for one in others[keep:]}
        prefix = self.collection("g")
        for name in self._collections():
            if name.startswith(prefix) and name[len(prefix) :].isdigit() and name not in kept:
                self._vectors.drop(name, self._steps.one())

    def forget_unfinished(self) -> None:
        """Throw away what was begun, or refused, and is not needed any more."""
        for one in self.all():
            if one.status == BUILDING:
                self.throw_away(one.id)

    def throw_away(self, generation_id: str) -> None:
        self._chunks.check_lease(self._steps.one())
        self._vectors.drop(self.collection(generation_id), self._steps.one())
        self._ledger.forget_generation(generation_id, self._steps.one())

    def _exists(self, generation_id: str) -> bool:
        return self.collection(generation_id) in self._collections()

    def _collections(self) -> list[str]:
        return self._vectors.collections(self._steps.one())
