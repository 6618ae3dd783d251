"""The lifeboat itself: all passages of a generation in one read-only SQLite file with an FTS5 index.

Tables: ``facts`` (one row: the payload of the generation's reserved point), ``passages`` (what is quoted
and filtered by), ``words`` (FTS5 without content: the stems of title, headings and text).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.errors import Corrupt, Garbled, LecternError, Rejected, TimedOut
from shared.ports import Condition, Json, Point
from shared.resilience.deadline import Deadline
from shared.retrieval.candidates import FrozenIndex
from shared.retrieval.chunks import STATISTICS_ID, Chunk
from shared.retrieval.layout import chunk_of, payload_of, read_statistics
from shared.retrieval.tokens import tokens

SERVICE = "lifeboat"
_FORMAT = 1
_UNSAFE = "PRAGMA journal_mode = OFF;PRAGMA synchronous = OFF;"  # a file that is not whole is thrown away
_LOOK_EVERY = 500  # passages
_MAGIC = b"SQLite format 3\x00"
_STEPS = 1_000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond
_FILTERS = ("url", "version", "locale")
_TITLE, _HEADINGS, _TEXT = 3.0, 3.0, 1.0

# The words are cut already: only blanks may part them.
_SCHEMA = """
CREATE TABLE facts (payload TEXT NOT NULL);
CREATE TABLE passages (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, url TEXT NOT NULL, version TEXT NOT NULL,
    locale TEXT NOT NULL, payload TEXT NOT NULL
);
CREATE VIRTUAL TABLE words USING fts5(
    title, headings, text, content='', tokenize="unicode61 remove_diacritics 0 tokenchars '_'"
);
"""
_FIND = f"""
SELECT id, payload FROM words JOIN passages ON number = words.rowid
WHERE words MATCH ? %s
ORDER BY bm25(words, {_TITLE}, {_HEADINGS}, {_TEXT}), id LIMIT ?
"""  # noqa: S608 - constants of this module


def build(chunks: Iterable[Chunk], facts: Json) -> bytes:
    """The file for these passages; ``facts`` is the payload of the reserved point."""
    with TemporaryDirectory(prefix="lectern-lifeboat-") as folder:
        path = Path(folder) / "lifeboat.sqlite"
        write(path, chunks, facts)
        return path.read_bytes()


def write(path: Path, chunks: Iterable[Chunk], facts: Json, *, most_bytes: int | None = None) -> None:
    """Write the file to ``path``, holding no more than one passage in memory.

    Raises :class:`~shared.errors.Rejected` as soon as it grows beyond ``most_bytes``.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        made.executescript(f"PRAGMA user_version = {_FORMAT};{_UNSAFE}{_SCHEMA}BEGIN;")
        made.execute("INSERT INTO facts VALUES (?)", (json.dumps(dict(facts)),))
        for number, chunk in enumerate(chunks, 1):
            _insert(made, number, chunk)
            if most_bytes and number % _LOOK_EVERY == 0:
                _check_size(made, most_bytes)
        made.execute("COMMIT")
        made.execute("INSERT INTO words (words) VALUES ('optimize')")
        made.execute("VACUUM")
        if most_bytes:
            _check_size(made, most_bytes)


def _insert(made: sqlite3.Connection, number: int, chunk: Chunk) -> None:
    payload = json.dumps(payload_of(chunk), ensure_ascii=True)
    row = (number, chunk.id, chunk.page_url, chunk.version, chunk.locale, payload)
    made.execute("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", row)
    made.execute(
        "INSERT INTO words (rowid, title, headings, text) VALUES (?, ?, ?, ?)",
        (number, _cut(chunk.title), _cut(" ".join(chunk.headings)), _cut(chunk.text)),
    )


def _check_size(made: sqlite3.Connection, most_bytes: int) -> None:
    pages, size = (made.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * size > most_bytes:
        detail = f"it has {pages * size} bytes, {most_bytes} fit in an instance"
        raise Rejected(SERVICE, "write", detail, hint="Qdrant and Postgres answer without it.")


class LifeboatFile:
    """An opened lifeboat, held in memory. Safe to share among threads: one searches at a time.

    Raises :class:`~shared.errors.Corrupt` for bytes that are no lifeboat.
    """

    def __init__(self, data: bytes) -> None:
        self._guard = threading.Lock()
        self._base = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self.index = self._open(data)
        except (sqlite3.Error, LecternError, ValueError, TypeError, KeyError) as error:
            self._base.close()
            raise _damaged(error) from error

    def _open(self, data: bytes) -> FrozenIndex:
        if not data.startswith(_MAGIC):
            raise ValueError("it is no SQLite database")
        self._base.deserialize(data)
        self._base.execute("PRAGMA query_only = 1")
        version = self._base.execute("PRAGMA user_version").fetchone()[0]
        if version != _FORMAT:
            raise ValueError(f"its format is {version}, expected {_FORMAT}")
        row = self._base.execute("SELECT payload FROM facts").fetchone()
        return FrozenIndex(*read_statistics(Point(STATISTICS_ID, {}, json.loads(row[0]))))

    def find(
        self, words: Sequence[str], deadline: Deadline, *, limit: int, conditions: Sequence[Condition] = ()
    ) -> list[Chunk]:
        """At most ``limit`` passages that hold one of ``words``, those that BM25 ranks first.

        Raises ``TimedOut``, ``Corrupt``, and ``Rejected`` for a condition on an unknown key.
        """
        if not words:
            return []
        query = " OR ".join(f'"{word}"' for word in words)
        clause, values = _where(conditions)
        rows = self._rows(_FIND % clause, (query, *values, limit), deadline)
        try:
            return [chunk_of(Point(row[0], {}, json.loads(row[1]))) for row in rows]
        except (Garbled, ValueError, TypeError) as error:
            raise _damaged(error) from error

    def close(self) -> None:
        """Free the memory, once nobody searches."""
        with self._guard:
            self._base.close()

    def _rows(self, sql: str, values: tuple[object, ...], deadline: Deadline) -> list[tuple[str, str]]:
        if not self._guard.acquire(timeout=deadline.remaining()):
            raise TimedOut(SERVICE, "search", "other questions were searching all the time")
        try:
            self._base.set_progress_handler(deadline.expired, _STEPS)
            return self._base.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if deadline.expired():
                raise TimedOut(SERVICE, "search", "no answer in the time given") from error
            raise _damaged(error) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise _damaged(error) from error
        finally:
            self._guard.release()


def _damaged(error: Exception) -> Corrupt:
    return Corrupt(SERVICE, "read", f"it is damaged, {error}", hint="Run `lectern ingest` again.")


def _cut(text: str) -> str:
    # Half of a surrogate pair cannot be stored, and no question holds one.
    return " ".join(tokens(text)).encode("utf-8", "replace").decode()


def _where(conditions: Sequence[Condition]) -> tuple[str, list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    for condition in conditions:
        if condition.key not in _FILTERS:
            raise Rejected(SERVICE, "search", f"there is no column for {condition.key}")
        marks = ", ".join("?" * len(condition.any_of))
        clauses.append(f"AND {condition.key} IN ({marks})")
        values.extend(condition.any_of)
    return " ".join(clauses), values
