"""Questions to start with, made of a site's headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class PageOutline:
    """A page by its headings: the text and anchor of each section, in their order; ``passages`` says how long
    it is.
    """

    url: str
    title: str
    version: str
    locale: str
    passages: int
    headings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SuggestedQuestion:
    """A question, and the address (with anchor) of what answers it."""

    question: str
    url: str


@dataclass(frozen=True, slots=True)
class SuggestionSet:
    """The questions of one part of a site, best first. ``section`` is the path that the part's pages have in
    common, such as ``/docs/recovery``, empty for the whole site; ``weight`` are the part's passages.
    """

    section: str
    version: str
    locale: str
    weight: int
    questions: tuple[SuggestedQuestion, ...]


class SuggestionStore(Protocol):
    """Suggestions in Postgres. Same errors as :class:`~shared.ports.Ledger`."""

    def outlines(self, generation_id: str, after: str, limit: int, deadline: Deadline) -> list[PageOutline]:
        """Pages of a generation in the order of their addresses, those after ``after``, with their first
        headings.
        """
        ...

    def replace(self, generation_id: str, sets: Sequence[SuggestionSet], deadline: Deadline) -> None:
        """Store these in place of all that the generation had."""
        ...

    def exist(self, generation_id: str, deadline: Deadline) -> bool:
        """Whether any are stored for the generation."""
        ...

    def find(
        self, sections: Sequence[str], version: str, locale: str, deadline: Deadline
    ) -> list[SuggestionSet]:
        """The sets of the live generation for these sections. For a ``version`` or ``locale`` those of it and
        those of pages without any; for an empty one those of all.
        """
        ...
