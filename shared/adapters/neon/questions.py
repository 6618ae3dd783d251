"""The questions of :mod:`shared.ports.questions` in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.adapters.neon.pool import Pool
from shared.ports.questions import AskedQuestion
from shared.resilience.deadline import Deadline

# detail is the answer as the reader got it, in whichever release it was given: nothing in it is relied on.
_GAPS = """
SELECT a.question, extract(epoch FROM a.asked_at), a.kind, a.detail, coalesce(f.rating, ''),
       coalesce(f.comment, '')
FROM answers a LEFT JOIN feedback f ON f.answer_id = a.id
WHERE a.asked_at >= to_timestamp(CAST(:since AS double precision))
  AND a.asked_at < to_timestamp(CAST(:until AS double precision))
  AND (
    a.kind = 'not_found'
    OR f.rating = 'down'
    OR CASE WHEN jsonb_typeof(a.detail -> 'coverage') = 'number'
            THEN CAST(a.detail ->> 'coverage' AS double precision) < CAST(:low AS double precision)
            ELSE FALSE END
  )
ORDER BY a.asked_at DESC, a.id LIMIT :limit
"""
_ASKED = """
SELECT count(a.id)
FROM unnest(CAST(:starts AS double precision[]), CAST(:ends AS double precision[]))
    WITH ORDINALITY AS span (start, finish, number)
LEFT JOIN answers a
    ON a.asked_at >= to_timestamp(span.start) AND a.asked_at < to_timestamp(span.finish)
GROUP BY span.number ORDER BY span.number
"""


class NeonQuestions:
    """See :class:`shared.ports.questions.Questions`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def gaps(
        self, since: float, until: float, low_coverage: float, limit: int, deadline: Deadline
    ) -> list[AskedQuestion]:
        params = {"since": since, "until": until, "low": low_coverage, "limit": limit}
        rows = self._pool.statement(_GAPS, params, deadline, "read the questions")
        return [_asked(row) for row in rows]

    def asked(self, starts: Sequence[float], until: float, deadline: Deadline) -> list[int]:
        params = {"starts": list(starts), "ends": [*starts[1:], until]}
        rows = self._pool.statement(_ASKED, params, deadline, "count the questions")
        return [int(row[0]) for row in rows]


def _asked(row: list[Any]) -> AskedQuestion:
    question, at, kind, detail, rating, comment = row
    known = detail if isinstance(detail, dict) else {}
    coverage = known.get("coverage")
    return AskedQuestion(
        question=question,
        asked_at=float(at),
        kind=kind,
        coverage=float(coverage) if isinstance(coverage, int | float) else None,
        rating=rating,
        comment=comment,
        pages=_pages(known),
    )


def _pages(detail: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Title and URL without the anchor of each page, in order, once."""
    found: dict[str, str] = {}
    for name in ("citations", "nearest"):
        listed = detail.get(name)
        for one in listed if isinstance(listed, list) else []:
            if isinstance(one, dict) and isinstance(one.get("url"), str):
                found.setdefault(one["url"].partition("#")[0], str(one.get("title") or ""))
    return tuple((title, url) for url, title in found.items())
