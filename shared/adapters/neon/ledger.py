"""The ledger of :mod:`shared.ports` in Postgres."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shared.adapters.neon.faults import SERVICE
from shared.adapters.neon.lease import BEAT_SECONDS, Lease, NeonLeases
from shared.adapters.neon.pool import Pool, Transaction
from shared.errors import Missing
from shared.ports import ChunkRecord, Generation, PageRecord
from shared.ports.leases import Waiting
from shared.resilience.deadline import Deadline

_START = """
INSERT INTO generations (id, fingerprint, source, status, pages, chunks)
VALUES (:id, :fingerprint, :source, 'building', :pages, :chunks)
ON CONFLICT (id) DO UPDATE SET
    status = 'building', fingerprint = excluded.fingerprint, source = excluded.source
WHERE generations.status = 'retired'
"""
_NEXT_VERSION = "UPDATE ledger_version SET version = version + 1"
_RETIRE = "UPDATE generations SET status = 'retired' WHERE status = 'live' AND id <> :id"
_FINISH = """
UPDATE generations SET status = 'live', pages = :pages, chunks = :chunks, finished_at = clock_timestamp()
WHERE id = :id RETURNING id
"""
_SAVE_PAGES = """
INSERT INTO pages (generation_id, url, title, content_hash, chunks, source_hash, read_for)
SELECT :id, *, hash FROM unnest(
    CAST(:urls AS text[]), CAST(:titles AS text[]), CAST(:hashes AS text[]), CAST(:chunks AS integer[]),
    CAST(:sources AS text[])
) AS new(url, title, hash, chunks, source_hash)
ON CONFLICT (generation_id, url) DO UPDATE SET
    title = excluded.title, content_hash = excluded.content_hash, chunks = excluded.chunks,
    source_hash = excluded.source_hash, read_for = excluded.read_for
"""
_PAGES = """
SELECT url, title, content_hash, chunks, CASE WHEN read_for = content_hash THEN source_hash ELSE '' END
FROM pages WHERE generation_id = :id ORDER BY url
"""
_DROP_CHUNKS = """
DELETE FROM chunks
WHERE generation_id = :id AND url = ANY(CAST(:urls AS text[])) AND id <> ALL(CAST(:ids AS text[]))
"""
_SAVE_CHUNKS = """
INSERT INTO chunks (generation_id, id, url, text_hash)
SELECT :id, * FROM unnest(CAST(:ids AS text[]), CAST(:urls AS text[]), CAST(:texts AS text[]))
ON CONFLICT (generation_id, id) DO UPDATE SET url = excluded.url, text_hash = excluded.text_hash
"""
_CHUNKS = """
SELECT id, url, text_hash FROM chunks WHERE generation_id = :id AND id > :after ORDER BY id LIMIT :limit
"""
_NOTE_SOURCES = """
UPDATE pages SET source_hash = read.source_hash, read_for = pages.content_hash
FROM run_pages AS read
WHERE pages.generation_id = :id AND read.run_id = :run AND read.url = pages.url
    AND read.content_hash = pages.content_hash AND pages.content_hash <> ''
    AND (read.source_hash, pages.content_hash) IS DISTINCT FROM (pages.source_hash, pages.read_for)
RETURNING pages.url
"""
_TOTALS = """
SELECT count(*), coalesce(sum(chunks), 0), md5(coalesce(string_agg(content_hash, '' ORDER BY url), ''))
FROM pages WHERE generation_id = :id
"""


class NeonLedger:
    """See :class:`shared.ports.Ledger`, :class:`~shared.ports.ChunkLedger` and
    :class:`~shared.ports.LedgerClock`.

    While this object holds the lease, each write first makes sure that it still does, so a run that
    was cut off for longer than the lease lasts cannot write over the run that took its place.
    """

    def __init__(self, pool: Pool, *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._pool = pool
        self._leases = NeonLeases(pool, beat_seconds=beat_seconds)
        self._lease: Lease | None = None

    @contextmanager
    def lease(
        self,
        deadline: Deadline,
        holder: str = "",
        *,
        wait_seconds: float = 0.0,
        waiting: Waiting = lambda _who: None,
    ) -> Iterator[None]:
        name = holder or f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"
        hold = self._leases.hold("ingestion", name, deadline, wait_seconds=wait_seconds, waiting=waiting)
        with hold as lease:
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def generations(self, deadline: Deadline) -> list[Generation]:
        rows = self._pool.statement(
            "SELECT id, fingerprint, source, status, pages, chunks FROM generations ORDER BY seq DESC",
            {},
            deadline,
            "read the generations",
        )
        return [Generation(*row) for row in rows]

    def version(self, deadline: Deadline) -> int:
        rows = self._pool.statement(
            "SELECT version FROM ledger_version", {}, deadline, "read the ledger's version"
        )
        return int(rows[0][0])

    def step(self, deadline: Deadline) -> None:
        with self._write(deadline, "count a change of the index"):
            pass

    def start_generation(self, generation: Generation, deadline: Deadline) -> None:
        with self._write(deadline, f"start generation {generation.id}") as transaction:
            transaction.query(
                _START,
                id=generation.id,
                fingerprint=generation.fingerprint,
                source=generation.source,
                pages=generation.pages,
                chunks=generation.chunks,
            )

    def finish_generation(self, generation_id: str, pages: int, chunks: int, deadline: Deadline) -> None:
        operation = f"finish generation {generation_id}"
        with self._write(deadline, operation) as transaction:
            transaction.query(_RETIRE, id=generation_id)
            if not transaction.query(_FINISH, id=generation_id, pages=pages, chunks=chunks):
                raise Missing(SERVICE, operation, "it was never started")

    def forget_generation(self, generation_id: str, deadline: Deadline) -> None:
        with self._write(deadline, f"forget generation {generation_id}") as transaction:
            transaction.query("DELETE FROM generations WHERE id = :id", id=generation_id)

    def pages(self, generation_id: str, deadline: Deadline) -> dict[str, PageRecord]:
        rows = self._pool.statement(_PAGES, {"id": generation_id}, deadline, "read the pages")
        return {row[0]: PageRecord(*row) for row in rows}

    def save_pages(
        self,
        generation_id: str,
        pages: Sequence[PageRecord],
        deadline: Deadline,
        *,
        chunks: Sequence[ChunkRecord] | None = None,
    ) -> None:
        latest = list({page.url: page for page in pages}.values())
        if not latest:
            return
        with self._write(deadline, f"save pages of generation {generation_id}") as transaction:
            transaction.query(_SAVE_PAGES, id=generation_id, **_columns(latest))
            if chunks is not None:
                _save_chunks(transaction, generation_id, latest, chunks)

    def chunks(
        self, generation_id: str, deadline: Deadline, *, after: str = "", limit: int = 10_000
    ) -> list[ChunkRecord]:
        wanted = {"id": generation_id, "after": after, "limit": limit}
        return [
            ChunkRecord(*row) for row in self._pool.statement(_CHUNKS, wanted, deadline, "read the passages")
        ]

    def totals(self, generation_id: str, deadline: Deadline) -> tuple[int, int, str]:
        rows = self._pool.statement(_TOTALS, {"id": generation_id}, deadline, "count the pages")
        pages, chunks, digest = rows[0]
        return int(pages), int(chunks), str(digest)

    def note_sources(self, generation_id: str, run_id: str, deadline: Deadline) -> int:
        operation = f"note what pages of generation {generation_id} were read from"
        with self._write(deadline, operation) as transaction:
            return len(transaction.query(_NOTE_SOURCES, id=generation_id, run=run_id))

    def check_lease(self, deadline: Deadline) -> None:
        if self._lease:
            self._lease.check(deadline)

    def remove_pages(self, generation_id: str, urls: Sequence[str], deadline: Deadline) -> None:
        with self._write(deadline, f"remove pages of generation {generation_id}") as transaction:
            transaction.query(
                "DELETE FROM pages WHERE generation_id = :id AND url = ANY(CAST(:urls AS text[]))",
                id=generation_id,
                urls=list(urls),
            )

    @contextmanager
    def _write(self, deadline: Deadline, operation: str) -> Iterator[Transaction]:
        with self._pool.transaction(deadline, operation) as transaction:
            if self._lease:
                self._lease.check_in(transaction, operation)
            # Last, so that the row which every write locks is locked for as short as can be.
            yield transaction
            transaction.query(_NEXT_VERSION)


def _save_chunks(
    transaction: Transaction, generation_id: str, pages: Sequence[PageRecord], chunks: Sequence[ChunkRecord]
) -> None:
    ids = [chunk.id for chunk in chunks]
    transaction.query(_DROP_CHUNKS, id=generation_id, urls=[page.url for page in pages], ids=ids)
    texts = [chunk.text_hash for chunk in chunks]
    transaction.query(
        _SAVE_CHUNKS, id=generation_id, ids=ids, urls=[chunk.url for chunk in chunks], texts=texts
    )


def _columns(pages: Sequence[PageRecord]) -> dict[str, list[Any]]:
    return {
        "urls": [page.url for page in pages],
        "titles": [page.title for page in pages],
        "hashes": [page.content_hash for page in pages],
        "chunks": [page.chunks for page in pages],
        "sources": [page.source_hash for page in pages],
    }
