"""Questions to start with for every part of a site, made of its longest pages."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from shared.ingestion.questions import question_of
from shared.ports.suggestions import PageOutline, SuggestedQuestion, SuggestionSet
from shared.retrieval.sections import sections_of

QUESTIONS = 6
"""Most questions of a part."""
PAGES = 8
"""Pages of a part that they are taken from: the longest."""
MOST_SETS = 4000
"""Largest parts that are kept, over all versions and languages: some 2 MB."""

Key = tuple[str, str, str]  # section, version, locale


class Suggester:
    """Takes the pages of a site one by one, in any order; holds a few of each part."""

    def __init__(self) -> None:
        self._pages: dict[Key, list[tuple[int, _Reversed, PageOutline]]] = {}
        self._weights: dict[Key, int] = {}

    def add(self, page: PageOutline) -> None:
        for section in sections_of(page.url):
            key = (section, page.version, page.locale)
            self._weights[key] = self._weights.get(key, 0) + page.passages
            pages = self._pages.setdefault(key, [])
            heapq.heappush(pages, (page.passages, _Reversed(page.url), page))
            if len(pages) > PAGES:
                heapq.heappop(pages)

    def sets(self) -> list[SuggestionSet]:
        """The questions of each part that has any, heaviest parts first."""
        order = sorted(self._weights, key=lambda key: (-self._weights[key], key))
        made = (self._set(key) for key in order)
        return [one for one in made if one.questions][:MOST_SETS]

    def _set(self, key: Key) -> SuggestionSet:
        pages = [page for _, _, page in sorted(self._pages[key], reverse=True)]
        questions = tuple(best_questions(pages))
        return SuggestionSet(*key, self._weights[key], questions)


class _Reversed:
    """A text that sorts the other way: of equally long pages the first by address stays."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: _Reversed) -> bool:
        return self.text > other.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]


def best_questions(pages: Iterable[PageOutline]) -> list[SuggestedQuestion]:
    """At most :data:`QUESTIONS`: the first question of each page, then their second ones, and so on; pages
    without any give their titles when there are too few.
    """
    listed = list(pages)
    asked = [list(_questions(page)) for page in listed]
    found: dict[str, SuggestedQuestion] = {}
    for turn in zip_longest(*asked):
        for one in turn:
            if one is not None:
                found.setdefault(one.question.casefold(), one)
    for page, own in zip(listed, asked, strict=True):
        if page.title and not own:
            found.setdefault(page.title.casefold(), SuggestedQuestion(page.title, page.url))
    return list(found.values())[:QUESTIONS]


def _questions(page: PageOutline) -> Iterator[SuggestedQuestion]:
    for text, anchor in ((page.title, ""), *page.headings):
        if question := question_of(text, page.locale):
            yield SuggestedQuestion(question, f"{page.url}#{anchor}" if anchor else page.url)
