"""An answer and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.ports import Usage

EXTRACTIVE, GENERATED, NOT_FOUND = "extractive", "generated", "not_found"


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that the answer stands on. ``n`` counts from 1; ``url`` leads to the heading;
    ``quote`` is a verbatim part of the page.
    """

    n: int
    title: str
    heading_path: tuple[str, ...]
    url: str
    quote: str


@dataclass(frozen=True, slots=True)
class NearPage:
    """A page to look at when the documentation does not answer."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader gets.

    ``kind`` is extractive, generated or not_found; ``rung`` names the search that was used;
    ``degraded`` holds a reason for each thing that did not work as it should; ``recorded`` is true only
    when the answer is stored. ``timings_ms`` has a key a step. ``writer`` names the
    language model, ``passages`` when the answer is quotes, or ``cache``. ``coverage`` is the share of what
    the question's words weigh that the best passage holds, 0..1.
    """

    answer_id: str
    kind: str
    answer: str
    citations: tuple[Citation, ...]
    nearest: tuple[NearPage, ...]
    rung: str
    degraded: tuple[str, ...]
    generation: str
    recorded: bool = False
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    usage: Usage | None = None
    writer: str = ""
    coverage: float = 0.0
