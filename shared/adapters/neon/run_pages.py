"""What a run of ingestion has read, and who embeds which text, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence

from shared.adapters.neon.pool import Pool
from shared.ports import Differences, StagedPage, TextCosts
from shared.resilience.deadline import Deadline

_KNOWN = """
SELECT url, source_hash FROM run_pages WHERE run_id = :run AND part IS NOT NULL AND source_hash <> ''
UNION ALL
SELECT url, source_hash FROM pages
WHERE generation_id = :generation AND read_for = content_hash AND content_hash <> '' AND source_hash <> ''
    AND NOT EXISTS (
        SELECT FROM run_pages WHERE run_id = :run AND run_pages.url = pages.url AND part IS NOT NULL
    )
"""
# Of two places with one address, read by two tasks, the one that comes first by name counts.
_STAGE = """
INSERT INTO run_pages (run_id, url, place, source_hash, content_hash, chunks, task, part)
SELECT :run, *, :task, :part FROM unnest(
    CAST(:urls AS text[]), CAST(:places AS text[]), CAST(:sources AS text[]), CAST(:contents AS text[]),
    CAST(:chunks AS integer[])
)
ON CONFLICT (run_id, url) DO UPDATE SET
    place = excluded.place, source_hash = excluded.source_hash, content_hash = excluded.content_hash,
    chunks = excluded.chunks, task = excluded.task, part = excluded.part
WHERE run_pages.task = excluded.task OR run_pages.place > excluded.place
"""
# In the order of their hashes: two tasks that claim the same texts at once would wait for each other.
_CLAIM = """
INSERT INTO run_texts (run_id, text_hash, characters, task)
SELECT :run, hash, characters, :task
FROM unnest(CAST(:hashes AS text[]), CAST(:characters AS integer[])) AS texts(hash, characters)
ORDER BY hash
ON CONFLICT (run_id, text_hash) DO NOTHING
"""
_KEEP = """
INSERT INTO run_pages (run_id, url, place, source_hash, content_hash, chunks, task)
SELECT :run, url, '', source_hash, content_hash, chunks, :task FROM pages
WHERE generation_id = :generation AND url = ANY(CAST(:urls AS text[]))
ON CONFLICT (run_id, url) DO NOTHING
"""
_CLOSE = """
DELETE FROM run_pages WHERE run_id = :run AND task = :task AND NOT EXISTS (
    SELECT FROM unnest(CAST(:urls AS text[])) AS met(url) WHERE met.url = run_pages.url
)
"""
_DIFFERS = """
FROM run_pages LEFT JOIN pages ON pages.generation_id = :generation AND pages.url = run_pages.url
WHERE run_id = :run AND (pages.url IS NULL OR pages.content_hash <> run_pages.content_hash)
"""
_DIFFERENCES = f"""
SELECT run_pages.url, pages.url IS NULL {_DIFFERS}
ORDER BY run_pages.url
"""
_REMOVED = """
SELECT url FROM pages WHERE generation_id = :generation
    AND NOT EXISTS (SELECT FROM run_pages WHERE run_id = :run AND run_pages.url = pages.url)
ORDER BY url
"""
_READ = "SELECT count(*) FROM run_pages WHERE run_id = :run"
_PARTS = f"""
SELECT DISTINCT task, part {_DIFFERS} AND part IS NOT NULL ORDER BY task, part
"""
_URLS = f"""
SELECT run_pages.url, pages.url IS NOT NULL {_DIFFERS} AND task = :task AND part = :part ORDER BY 1
"""
_KEPT_URLS = f"""
SELECT run_pages.url, pages.url IS NOT NULL {_DIFFERS} AND part IS NULL ORDER BY 1
"""
_CLEAR = "DELETE FROM run_pages WHERE run_id = :run"
_CLEAR_TEXTS = "DELETE FROM run_texts WHERE run_id = :run"

_HAS = """
SELECT FROM chunks
WHERE generation_id = ANY(CAST(:generations AS text[])) AND chunks.text_hash = texts.text_hash
"""
_COSTS = f"""
SELECT task, count(*) FILTER (WHERE NOT had), coalesce(sum(characters) FILTER (WHERE NOT had), 0),
    count(*) FILTER (WHERE had)
FROM (
    SELECT task, characters, EXISTS ({_HAS}) AS had
    FROM run_texts AS texts WHERE run_id = :run AND part IS NULL
) AS open GROUP BY task
"""  # noqa: S608 - constants
_OPEN = """
SELECT text_hash FROM run_texts
WHERE run_id = :run AND task = :task AND part IS NULL AND text_hash = ANY(CAST(:hashes AS text[]))
"""
_PLACE = """
INSERT INTO run_texts (run_id, text_hash, characters, task, part)
SELECT :run, hash, 0, :task, :part FROM unnest(CAST(:hashes AS text[])) AS texts(hash) ORDER BY hash
ON CONFLICT (run_id, text_hash) DO UPDATE SET task = excluded.task, part = excluded.part
"""
_PLACES = """
SELECT text_hash, task, part FROM run_texts
WHERE run_id = :run AND part IS NOT NULL AND text_hash = ANY(CAST(:hashes AS text[]))
"""
_HOLDERS = """
SELECT DISTINCT ON (text_hash) text_hash, generation_id, id
FROM chunks JOIN unnest(CAST(:generations AS text[])) WITH ORDINALITY AS asked(name, place)
    ON generation_id = name
WHERE text_hash = ANY(CAST(:hashes AS text[]))
ORDER BY text_hash, place, id
"""


class NeonRunPages:
    """See :class:`shared.ports.RunPages`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def known(self, run_id: str, generation_id: str, deadline: Deadline) -> dict[str, str]:
        wanted = {"run": run_id, "generation": generation_id}
        rows = self._pool.statement(_KNOWN, wanted, deadline, "read what is known of the pages")
        return {row[0]: row[1] for row in rows}

    def stage(
        self, run_id: str, task: int, part: int, pages: Sequence[StagedPage], deadline: Deadline
    ) -> None:
        texts = {hash_: length for page in pages for hash_, length in page.texts.items()}
        with self._pool.transaction(deadline, f"record part {part} of run {run_id}") as transaction:
            transaction.query(_STAGE, run=run_id, task=task, part=part, **_columns(pages))
            transaction.query(
                _CLAIM, run=run_id, task=task, hashes=list(texts), characters=list(texts.values())
            )

    def keep(
        self, run_id: str, generation_id: str, task: int, urls: Sequence[str], deadline: Deadline
    ) -> None:
        kept = {"run": run_id, "generation": generation_id, "task": task, "urls": list(urls)}
        self._pool.statement(_KEEP, kept, deadline, "record unchanged pages")

    def close(self, run_id: str, task: int, urls: Sequence[str], deadline: Deadline) -> None:
        met = {"run": run_id, "task": task, "urls": list(urls)}
        self._pool.statement(_CLOSE, met, deadline, "forget pages that are gone")

    def differences(self, run_id: str, generation_id: str, deadline: Deadline) -> Differences:
        wanted = {"run": run_id, "generation": generation_id}
        with self._pool.transaction(deadline, f"compare run {run_id} with the index") as transaction:
            rows = transaction.query(_DIFFERENCES, **wanted)
            removed = transaction.query(_REMOVED, **wanted)
            read = int(transaction.query(_READ, run=run_id)[0][0])
        return Differences(
            added=tuple(url for url, new in rows if new),
            changed=tuple(url for url, new in rows if not new),
            removed=tuple(row[0] for row in removed),
            unchanged=read - len(rows),
        )

    def parts(self, run_id: str, generation_id: str, deadline: Deadline) -> list[tuple[int, int]]:
        wanted = {"run": run_id, "generation": generation_id}
        rows = self._pool.statement(_PARTS, wanted, deadline, "list the parts to write")
        return [(int(task), int(part)) for task, part in rows]

    def urls(
        self, run_id: str, generation_id: str, part: tuple[int, int] | None, deadline: Deadline
    ) -> dict[str, bool]:
        wanted: dict[str, object] = {"run": run_id, "generation": generation_id}
        if part is not None:
            wanted |= {"task": part[0], "part": part[1]}
        query = _KEPT_URLS if part is None else _URLS
        rows = self._pool.statement(query, wanted, deadline, "list the pages to write")
        return {row[0]: bool(row[1]) for row in rows}

    def clear(self, run_id: str, deadline: Deadline) -> None:
        with self._pool.transaction(deadline, f"clear run {run_id}") as transaction:
            transaction.query(_CLEAR, run=run_id)
            transaction.query(_CLEAR_TEXTS, run=run_id)


class NeonRunTexts:
    """See :class:`shared.ports.RunTexts`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def costs(self, run_id: str, generations: Sequence[str], deadline: Deadline) -> TextCosts:
        wanted = {"run": run_id, "generations": list(generations)}
        rows = self._pool.statement(_COSTS, wanted, deadline, "count what must be embedded")
        return TextCosts(
            by_task={int(row[0]): int(row[1]) for row in rows},
            characters=sum(int(row[2]) for row in rows),
            reused=sum(int(row[3]) for row in rows),
        )

    def open(self, run_id: str, task: int, hashes: Sequence[str], deadline: Deadline) -> set[str]:
        wanted = {"run": run_id, "task": task, "hashes": list(hashes)}
        rows = self._pool.statement(_OPEN, wanted, deadline, "list what must be embedded")
        return {str(row[0]) for row in rows}

    def place(self, run_id: str, task: int, part: int, hashes: Sequence[str], deadline: Deadline) -> None:
        placed = {"run": run_id, "task": task, "part": part, "hashes": list(hashes)}
        self._pool.statement(_PLACE, placed, deadline, "record what was embedded")

    def places(self, run_id: str, hashes: Sequence[str], deadline: Deadline) -> dict[str, tuple[int, int]]:
        wanted = {"run": run_id, "hashes": list(hashes)}
        rows = self._pool.statement(_PLACES, wanted, deadline, "find what was embedded")
        return {row[0]: (int(row[1]), int(row[2])) for row in rows}

    def holders(
        self, generations: Sequence[str], hashes: Sequence[str], deadline: Deadline
    ) -> dict[str, tuple[str, str]]:
        wanted = {"generations": list(generations), "hashes": list(hashes)}
        rows = self._pool.statement(_HOLDERS, wanted, deadline, "find texts that the index has")
        return {row[0]: (row[1], row[2]) for row in rows}


def _columns(pages: Sequence[StagedPage]) -> dict[str, list[object]]:
    latest = {page.url: page for page in pages}.values()
    return {
        "urls": [page.url for page in latest],
        "places": [page.place for page in latest],
        "sources": [page.source_hash for page in latest],
        "contents": [page.content_hash for page in latest],
        "chunks": [page.chunks for page in latest],
    }
