"""Questions to start with, for the page that a reader is on."""

from __future__ import annotations

from collections.abc import Iterable

from shared.ports.suggestions import SuggestedQuestion, SuggestionSet
from shared.retrieval.sections import sections_of

OBJECT = "suggestions/live.json"
"""Object of the bucket with all suggestions of the live generation, for when Postgres is away."""


def matching(sets: Iterable[SuggestionSet], url: str, version: str, locale: str) -> list[SuggestionSet]:
    """The sets that :meth:`shared.ports.suggestions.SuggestionStore.find` would find for a reader's page."""
    sections = sections_of(url)
    return [
        one
        for one in sets
        if one.section in sections
        and (not version or one.version in {version, ""})
        and (not locale or one.locale in {locale, ""})
    ]


def choose(sets: Iterable[SuggestionSet], most: int) -> list[SuggestedQuestion]:
    """The questions of the smallest part of the site that the reader is in, filled up from the larger ones
    around it. Where a part has several versions or languages the one with most passages comes first.
    """
    order = sorted(sets, key=lambda one: (-len(one.section), -one.weight, one.version, one.locale))
    found: dict[str, SuggestedQuestion] = {}
    for one in order:
        for each in one.questions:
            found.setdefault(each.question.casefold(), each)
    return list(found.values())[:most]
