"""What retrieval gives back."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Everything found for a question.

    ``passages`` best first; ``pages`` all ranked pages, by key (see
    :func:`~shared.retrieval.chunks.key_of_page`). ``coverage`` is the largest of the passages',
    ``cosine`` that of the nearest vector, None when no vectors were asked. ``embedded`` says whether
    the dense list took part; ``reasons`` say why not.
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

    @property
    def generation(self) -> str:
        return self.facts.generation

    def decision(self) -> Decision:
        """Whether the docs can answer, by the profile in use."""
        return decide(self.coverage, self.cosine, self.profile)
