"""The suggestions of :mod:`shared.ports.suggestions` in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from shared.adapters.neon.pool import Pool
from shared.ports.suggestions import PageOutline, SuggestedQuestion, SuggestionSet
from shared.resilience.deadline import Deadline

_HEADINGS = 12
"""Most headings read of a page."""

# A section may be several passages: its first one stands for it.
_OUTLINES = """
WITH listed AS (
    SELECT url, title FROM pages WHERE generation_id = :id AND url > :after ORDER BY url LIMIT :limit
), sections AS (
    SELECT passages.url, anchor, max(headings ->> -1) AS heading, min(position) AS place,
           count(*) AS passages, max(version) AS version, max(locale) AS locale
    FROM passages JOIN listed ON listed.url = passages.url
    WHERE generation_id = :id GROUP BY passages.url, anchor
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY url ORDER BY place) AS number FROM sections
)
SELECT listed.url, listed.title, coalesce(max(version), ''), coalesce(max(locale), ''),
       coalesce(sum(passages), 0),
       coalesce(array_agg(heading ORDER BY place) FILTER (WHERE anchor <> '' AND number <= :most), '{}'),
       coalesce(array_agg(anchor ORDER BY place) FILTER (WHERE anchor <> '' AND number <= :most), '{}')
FROM listed LEFT JOIN numbered ON numbered.url = listed.url
GROUP BY listed.url, listed.title ORDER BY listed.url
"""
_INSERT = """
INSERT INTO suggestions (generation_id, section, version, locale, weight, rank, question, url)
SELECT :id, * FROM unnest(
    CAST(:sections AS text[]), CAST(:versions AS text[]), CAST(:locales AS text[]),
    CAST(:weights AS integer[]), CAST(:ranks AS integer[]), CAST(:questions AS text[]), CAST(:urls AS text[])
)
"""
_FIND = """
SELECT section, version, locale, weight, question, url FROM suggestions
WHERE generation_id = (SELECT id FROM generations WHERE status = 'live')
  AND section = ANY(CAST(:sections AS text[]))
  AND (CAST(:version AS text) = '' OR version IN (:version, ''))
  AND (CAST(:locale AS text) = '' OR locale IN (:locale, ''))
ORDER BY section, version, locale, rank
"""


class NeonSuggestions:
    """See :class:`shared.ports.suggestions.SuggestionStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def outlines(self, generation_id: str, after: str, limit: int, deadline: Deadline) -> list[PageOutline]:
        params = {"id": generation_id, "after": after, "limit": limit, "most": _HEADINGS}
        rows = self._pool.statement(_OUTLINES, params, deadline, "read the headings")
        return [_outline(row) for row in rows]

    def replace(self, generation_id: str, sets: Sequence[SuggestionSet], deadline: Deadline) -> None:
        with self._pool.transaction(deadline, "store the suggestions") as transaction:
            transaction.query("DELETE FROM suggestions WHERE generation_id = :id", id=generation_id)
            if sets:
                transaction.query(_INSERT, id=generation_id, **_columns(sets))

    def exist(self, generation_id: str, deadline: Deadline) -> bool:
        sql = "SELECT EXISTS (SELECT 1 FROM suggestions WHERE generation_id = :id)"
        return bool(self._pool.statement(sql, {"id": generation_id}, deadline, "look for suggestions")[0][0])

    def find(
        self, sections: Sequence[str], version: str, locale: str, deadline: Deadline
    ) -> list[SuggestionSet]:
        params = {"sections": list(sections), "version": version, "locale": locale}
        rows = self._pool.statement(_FIND, params, deadline, "read the suggestions")
        return [_set(*key, rows=list(own)) for key, own in groupby(rows, key=lambda row: tuple(row[:4]))]


def _outline(row: list[Any]) -> PageOutline:
    url, title, version, locale, passages, headings, anchors = row
    listed = zip((heading or "" for heading in headings), anchors, strict=True)
    return PageOutline(url, title, version, locale, int(passages), tuple(listed))


def _set(section: str, version: str, locale: str, weight: int, *, rows: list[list[Any]]) -> SuggestionSet:
    questions = tuple(SuggestedQuestion(row[4], row[5]) for row in rows)
    return SuggestionSet(section, version, locale, weight, questions)


def _columns(sets: Sequence[SuggestionSet]) -> dict[str, list[Any]]:
    flat = [(one, rank, each) for one in sets for rank, each in enumerate(one.questions, 1)]
    return {
        "sections": [one.section for one, _, _ in flat],
        "versions": [one.version for one, _, _ in flat],
        "locales": [one.locale for one, _, _ in flat],
        "weights": [one.weight for one, _, _ in flat],
        "ranks": [rank for _, rank, _ in flat],
        "questions": [each.question for _, _, each in flat],
        "urls": [each.url for _, _, each in flat],
    }
