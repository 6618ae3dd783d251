"""Passages in Postgres: written by ingestion, searched while Qdrant is away."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.pool import Pool, Transaction
from shared.adapters.neon.wire import Rows
from shared.errors import Missing, Rejected
from shared.ports import Condition, Json, PassageText, Point
from shared.resilience.deadline import Deadline

CAP = 300
"""Rows that are ranked at most: ranking all rows of a common word took a second where this takes 3 ms."""
STATEMENT_MILLISECONDS = 800

_SAVE = """
WITH gone AS (
    DELETE FROM passages
    WHERE generation_id = :id AND url = ANY(CAST(:urls AS text[])) AND id <> ALL(CAST(:ids AS text[]))
)
INSERT INTO passages
    (generation_id, id, url, title, headings, anchor, body, position, version, locale, words)
SELECT :id, id, url, title, headings, anchor, body, position, version, locale, CAST(words AS tsvector)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS rows(
    id text, url text, title text, headings jsonb, anchor text, body text, position integer, version text,
    locale text, words text
)
ON CONFLICT (generation_id, id) DO UPDATE SET
    url = excluded.url, title = excluded.title, headings = excluded.headings, anchor = excluded.anchor,
    body = excluded.body, position = excluded.position, version = excluded.version,
    locale = excluded.locale, words = excluded.words
"""
_SAVE_FACTS = """
INSERT INTO lexical_facts (generation_id, payload) VALUES (:id, CAST(:payload AS jsonb))
ON CONFLICT (generation_id) DO UPDATE SET payload = excluded.payload
"""
_COUNT = """
SELECT count(*) FROM passages
WHERE generation_id = :id AND EXISTS (SELECT FROM lexical_facts WHERE generation_id = :id)
"""
_READ = """
SELECT id, url, title, headings, anchor, body, position, version, locale FROM passages
WHERE generation_id = :id AND id > :after
    AND (CAST(:urls AS text[]) IS NULL OR url = ANY(CAST(:urls AS text[])))
ORDER BY id LIMIT :limit
"""
_FIND = """
SELECT id, url, title, headings, anchor, body, position, version, locale
FROM (
    SELECT * FROM passages
    WHERE generation_id = :id AND words @@ CAST(:query AS tsquery)
        AND (CAST(:urls AS text[]) IS NULL OR url = ANY(CAST(:urls AS text[])))
        AND (CAST(:versions AS text[]) IS NULL OR version = ANY(CAST(:versions AS text[])))
        AND (CAST(:locales AS text[]) IS NULL OR locale = ANY(CAST(:locales AS text[])))
    LIMIT :cap
) AS matching
ORDER BY (
    SELECT sum(weight * ts_rank(words, CAST(word AS tsquery), 1))
    FROM unnest(CAST(:asked AS text[]), CAST(:weights AS double precision[])) AS asked(word, weight)
) DESC, id
LIMIT :limit
"""
_PARAMETERS = {"url": "urls", "version": "versions", "locale": "locales"}
# https://www.postgresql.org/docs/current/textsearch-limitations.html
_LONGEST_WORD = 2046
_LAST_POSITION = 16383
_MOST_POSITIONS = 255


class NeonPassages:
    """See :class:`shared.ports.PassageStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def save_facts(self, generation_id: str, payload: Json, deadline: Deadline) -> None:
        text = json.dumps(dict(payload))
        self._pool.statement(
            _SAVE_FACTS, {"id": generation_id, "payload": text}, deadline, "save the lexical facts"
        )

    def save_pages(
        self, generation_id: str, urls: Sequence[str], passages: Sequence[PassageText], deadline: Deadline
    ) -> None:
        latest = list({passage.id: passage for passage in passages}.values())
        params = {
            "id": generation_id,
            "urls": list(urls),
            "ids": [passage.id for passage in latest],
            "rows": json.dumps([_row(passage) for passage in latest], ensure_ascii=False),
        }
        self._pool.statement(_SAVE, params, deadline, f"save passages of generation {generation_id}")

    def count(self, generation_id: str, deadline: Deadline) -> int:
        rows = self._pool.statement(_COUNT, {"id": generation_id}, deadline, "count the passages")
        return int(rows[0][0])

    def read(
        self,
        generation_id: str,
        deadline: Deadline,
        *,
        urls: Sequence[str] | None = None,
        after: str = "",
        limit: int = 1_000,
    ) -> list[Point]:
        wanted = {"id": generation_id, "after": after, "limit": limit}
        wanted["urls"] = None if urls is None else list(urls)
        return [_point(row) for row in self._pool.statement(_READ, wanted, deadline, "read the passages")]


class NeonFullText:
    """See :class:`shared.ports.FullText`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def live(self, deadline: Deadline) -> str:
        operation = "find the live generation"
        rows = self._pool.statement(
            "SELECT id FROM generations WHERE status = 'live'", {}, deadline, operation
        )
        if not rows:
            raise Missing(SERVICE, operation, "there is none", hint="Run `lectern ingest` first.")
        return str(rows[0][0])

    def facts(self, generation_id: str, deadline: Deadline) -> Json:
        operation = f"read the lexical facts of generation {generation_id}"
        rows = self._pool.statement(
            "SELECT payload FROM lexical_facts WHERE generation_id = :id",
            {"id": generation_id},
            deadline,
            operation,
        )
        if not rows:
            raise Missing(SERVICE, operation, "there are none", hint="Run `lectern ingest` again.")
        payload: Json = rows[0][0]
        return payload

    def find(
        self,
        generation_id: str,
        words: Mapping[str, float],
        some: Sequence[str],
        deadline: Deadline,
        *,
        limit: int,
        conditions: Sequence[Condition] = (),
    ) -> list[Point]:
        asked = {_quoted(word): weight for word, weight in words.items() if _fits(word)}
        params = {
            "id": generation_id,
            "cap": CAP,
            "limit": limit,
            "asked": list(asked),
            "weights": list(asked.values()),
            **_wanted(conditions),
        }
        with self._pool.transaction(deadline, "search the passages") as transaction:
            milliseconds = max(1, min(STATEMENT_MILLISECONDS, int(deadline.remaining() * 950)))
            transaction.script(f"SET LOCAL statement_timeout = {milliseconds}")
            rows = _matching(transaction, list(words), " & ", params)
            if len(rows) < limit:
                rows += _matching(transaction, some, " | ", params)
        return list({row[0]: _point(row) for row in rows}.values())[:limit]


def _matching(transaction: Transaction, words: Sequence[str], join: str, params: Mapping[str, Any]) -> Rows:
    query = join.join(_quoted(word) for word in words if _fits(word))
    return transaction.query(_FIND, query=query, **params) if query else []


def _wanted(conditions: Sequence[Condition]) -> dict[str, list[str] | None]:
    """Parameters for the conditions: all of them must hold, None where there is none."""
    wanted: dict[str, list[str] | None] = dict.fromkeys(_PARAMETERS.values())
    for condition in conditions:
        name = _PARAMETERS.get(condition.key)
        if name is None:
            raise Rejected(SERVICE, "search the passages", f"there is no column for {condition.key}")
        values = [str(value) for value in condition.any_of]
        before = wanted[name]
        wanted[name] = values if before is None else [value for value in values if value in before]
    return wanted


def _row(passage: PassageText) -> dict[str, Any]:
    payload = passage.payload
    return {
        "id": passage.id,
        "url": payload["url"],
        "title": _clean(payload["title"]),
        "headings": [_clean(heading) for heading in payload["headings"]],
        "anchor": _clean(payload["anchor"]),
        "body": _clean(payload["text"]),
        "position": payload["position"],
        "version": payload["version"],
        "locale": payload["locale"],
        "words": _vector(passage.words),
    }


def _point(row: Sequence[Any]) -> Point:
    names = ("url", "title", "headings", "anchor", "text", "position", "version", "locale")
    return Point(str(row[0]), {}, dict(zip(names, row[1:], strict=True)))


def _vector(words: Sequence[str]) -> str:
    """The text form of a tsvector, which no parser of Postgres's cuts differently from ours."""
    positions: defaultdict[str, list[str]] = defaultdict(list)
    for position, word in enumerate(words, 1):
        if _fits(word) and len(positions[word]) < _MOST_POSITIONS:
            positions[word].append(str(min(position, _LAST_POSITION)))
    return " ".join(f"{_quoted(word)}:{','.join(places)}" for word, places in positions.items())


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _fits(word: str) -> bool:
    return 0 < len(word.encode("utf-8", "replace")) <= _LONGEST_WORD


def _clean(text: str) -> str:
    """Postgres stores neither NUL nor half of a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
