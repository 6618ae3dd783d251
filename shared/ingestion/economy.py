"""Embeds what must be embedded, once: identical text has one vector on all pages, versions and locales."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.ingestion.parts import Progress, Work
from shared.ingestion.reading import texts_of
from shared.ingestion.stage import CutPage
from shared.ports import Embedder, RunShare, TextCosts
from shared.retrieval.layout import DENSE

BATCH_TEXTS = 100
"""Texts in one call to the embedding model: the most that Gemini takes."""

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reusable:
    """Generations whose vectors are of the model in use, by their collections. ``changing`` is the one that
    this run changes, if any: its passages may be gone when their vectors are wanted.
    """

    collections: Mapping[str, str]
    changing: str = ""


class Economy:
    """The vectors of one run."""

    def __init__(self, work: Work, embedder: Embedder | None, reusable: Reusable) -> None:
        self._work = work
        self._embedder = embedder
        self._reusable = reusable
        self.embedded = self.calls = self.tokens = 0
        """What was embedded outside of any share: texts that no task had claimed."""

    def costs(self) -> TextCosts:
        """What must be embedded still."""
        work = self._work
        return work.ports.texts.costs(work.run.id, list(self._reusable.collections), work.steps.one())

    # ------------------------------------------------------------ a share

    def embed_share(self, share: RunShare, progress: Progress) -> RunShare:
        """Put into the stage the vectors of all texts that the share has claimed. ``progress`` is told the
        texts that are done, and how many there are.
        """
        if not self._embedder:
            return share
        task = share.task
        number = self._work.stage.next_number(task, "vectors")
        filling = _Filling(self, number, share, progress, self.costs().by_task.get(task, 0))
        for part in self._work.parts(self._work.run.generation):
            if part[0] == task:
                filling.add(self._claimed(task, part))
        filling.finish()
        return filling.share

    def _claimed(self, task: int, part: tuple[int, int]) -> tuple[dict[str, str], dict[str, Vector]]:
        """Texts of a part that must be embedded, and vectors that must be saved from passages that change."""
        work = self._work
        wanted = work.urls(work.run.generation, part)
        pages = (page for page in work.stage.pages(*part).pages if page.url in wanted)
        texts = {hashed: text for page in pages for hashed, text in texts_of(page.chunks).items()}
        mine = work.ports.texts.open(work.run.id, task, list(texts), work.steps.one())
        there = self._holders(mine)
        changing = {one: held for one, held in there.items() if held[0] == self._reusable.changing}
        saved = self._fetch(changing)
        lost = changing.keys() - saved.keys()
        return {one: texts[one] for one in texts if one in mine - there.keys() | lost}, saved

    # ------------------------------------------------------------ for the writer

    def vectors(self, pages: Iterable[CutPage]) -> dict[str, Vector]:
        """Vectors by the hash of their text, for all passages of these pages that have prose enough."""
        texts = {hashed: text for page in pages for hashed, text in texts_of(page.chunks).items()}
        if not self._embedder or not texts:
            return {}
        work = self._work
        found = work.stage.vectors(work.ports.texts.places(work.run.id, list(texts), work.steps.one()))
        found.update(self._fetch(self._holders(texts.keys() - found.keys())))
        missing = {one: texts[one] for one in texts if one not in found}
        for batch in _batches(missing):
            made, tokens = self.embed(batch)
            found.update(made)
            self.embedded += len(batch)
            self.calls += 1
            self.tokens += tokens
        return found

    def _holders(self, hashes: Collection[str]) -> dict[str, tuple[str, str]]:
        generations = list(self._reusable.collections)
        if not hashes or not generations:
            return {}
        return self._work.ports.texts.holders(generations, sorted(hashes), self._work.steps.one())

    def _fetch(self, held: Mapping[str, tuple[str, str]]) -> dict[str, Vector]:
        """Vectors by the hash of their text, from the passages that hold them; what is gone is left out."""
        found: dict[str, Vector] = {}
        for generation in sorted({one for one, _ in held.values()}):
            ids = {point: hashed for hashed, (one, point) in held.items() if one == generation}
            collection = self._reusable.collections[generation]
            stored = self._stored(collection, list(ids))
            found.update({ids[point]: vector for point, vector in stored.items()})
        return found

    def _stored(self, collection: str, ids: Sequence[str]) -> dict[str, Vector]:
        stored = self._work.ports.stored
        return self._work.steps.patiently(lambda limit: stored.dense(collection, DENSE, ids, limit))

    # ------------------------------------------------------------ the model

    def embed(self, texts: Mapping[str, str]) -> tuple[dict[str, Vector], int]:
        """Vectors by hash, from one call to the model, and the tokens that it billed."""
        embedder = self._embedder
        assert embedder is not None
        made = self._work.steps.patiently(lambda limit: embedder.embed_documents(list(texts.values()), limit))
        return dict(zip(texts, made.vectors, strict=True)), made.tokens

    def put(self, share: RunShare, number: int, vectors: Mapping[str, Sequence[float]]) -> None:
        """Vectors into the stage, and where they lie into the ledger: the object first."""
        work = self._work
        work.stage.put_vectors(share.task, number, vectors)
        work.steps.patiently(
            lambda limit: work.ports.texts.place(work.run.id, share.task, number, list(vectors), limit)
        )
        work.save_share(share)


class _Filling:
    """Texts of a share on their way to the model, in batches that are full."""

    def __init__(self, own: Economy, number: int, share: RunShare, progress: Progress, total: int) -> None:
        self.share = share
        self._own = own
        self._number = number
        self._progress = progress
        self._total = total
        self._texts: dict[str, str] = {}
        self._done = 0

    def add(self, claimed: tuple[dict[str, str], dict[str, Vector]]) -> None:
        texts, saved = claimed
        if saved:
            self._put(saved)
        self._texts.update(texts)
        while len(self._texts) >= BATCH_TEXTS:
            self._embed(dict(list(self._texts.items())[:BATCH_TEXTS]))

    def finish(self) -> None:
        if self._texts:
            self._embed(self._texts)

    def _embed(self, batch: Mapping[str, str]) -> None:
        vectors, tokens = self._own.embed(batch)
        self._texts = {one: text for one, text in self._texts.items() if one not in batch}
        self.share = replace(
            self.share,
            embedded=self.share.embedded + len(batch),
            calls=self.share.calls + 1,
            tokens=self.share.tokens + tokens,
        )
        self._put(vectors)
        self._done += len(batch)
        self._progress(self._done, max(self._total, self._done))

    def _put(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self._own.put(self.share, self._number, vectors)
        self._number += 1


def _batches(texts: Mapping[str, str]) -> Iterable[dict[str, str]]:
    items = list(texts.items())
    for start in range(0, len(items), BATCH_TEXTS):
        yield dict(items[start : start + BATCH_TEXTS])
