"""What retrieval gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shared.retrieval.chunks import Chunk
from shared.retrieval.layout import Facts
from shared.retrieval.profiles import Decision, Profile, decide
from shared.retrieval.ranking import RankedPage


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found. ``score`` orders passages of one question and means nothing across
    questions; ``coverage`` is the share of the question's IDF that its words hold, 0..1.
    """

    chunk: Chunk
    score: float
    coverage: float


def flat_idf(_term: int) -> float:
    """Every term weighs the same: for what was found where the generation's statistics are not at hand."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Everything found for a question.

    ``passages`` best first; ``pages`` all ranked pages, by key (see
    :func:`~shared.retrieval.chunks.key_of_page`). ``coverage`` is the largest of the passages',
    ``cosine`` that of the nearest vector, None when no vectors were asked. ``embedded`` says whether
    the dense list took part; ``reasons`` say why not. ``idf`` weighs a term id by the
    generation's statistics.
    """

    question: str
    passages: tuple[Passage, ...]
    pages: tuple[RankedPage, ...]
    coverage: float
    cosine: float | None
    embedded: bool
    collection: str
    facts: Facts
    profile: Profile
    reasons: tuple[str, ...] = ()
    idf: Callable[[int], float] = field(default=flat_idf, repr=False, compare=False)

    @property
    def generation(self) -> str:
        return self.facts.generation

    def decision(self) -> Decision:
        """Whether the docs can answer, by the profile in use."""
        return decide(self.coverage, self.cosine, self.profile)
