"""Golden questions: a folder of documents, questions and which documents answer them.

::

    docs.jsonl      {"id", "url", "title", "text"}            one page a line, text in Markdown; optional
    queries.jsonl   {"id", "text", "type", "exclude": [ids]}  type and exclude are optional
    qrels.tsv       query-id <tab> corpus-id <tab> score      a header line, then one judgement a line

Without ``docs.jsonl`` the questions are about an index that exists, and corpus ids are page addresses; one
that is a path alone, ``/docs/intro``, means that page on whichever site is asked.
A question of type ``unanswerable`` has no judgement: the right answer is that the docs do not say.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.errors import SourceError

UNANSWERABLE = "unanswerable"
_COLUMNS = 3
_HINT = "See docs/reference/golden-questions.md."


@dataclass(frozen=True, slots=True)
class GoldenPage:
    """One document; ``text`` is Markdown."""

    id: str
    url: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """``relevant`` maps document ids to grades above 0; ``exclude`` are documents that the question's
    words were taken from, dropped before scoring.
    """

    id: str
    text: str
    type: str
    exclude: frozenset[str]
    relevant: Mapping[str, int]

    @property
    def scored(self) -> bool:
        """Whether it counts in the main scores: navigation questions are easy and do not."""
        return self.type != UNANSWERABLE and not self.type.endswith("_nav")

    def answered_by(self, url: str) -> bool:
        """Whether the page at this address, without a fragment, is one that answers it."""
        return url in self.relevant or url.removeprefix(site_of(url)) in self.relevant


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """A folder, read and checked."""

    name: str
    pages: tuple[GoldenPage, ...]
    questions: tuple[GoldenQuestion, ...]

    def urls(self) -> dict[str, str]:
        """Page addresses by document id; empty without documents, where the ids are the addresses."""
        return {page.id: page.url for page in self.pages}


def site_of(url: str) -> str:
    """``https://docs.example.com`` of a page's address; empty for a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def read_golden(folder: Path) -> GoldenSet:
    """Read the folder. Raises :class:`~shared.errors.SourceError` naming file and line of a mistake."""
    docs = folder / "docs.jsonl"
    pages = tuple(_pages(docs)) if docs.is_file() else ()
    known = {page.id for page in pages}
    relevant = _judgements(folder / "qrels.tsv", known)
    questions = tuple(_questions(folder / "queries.jsonl", relevant, known))
    asked = {question.id for question in questions}
    stray = sorted(relevant.keys() - asked)
    if stray:
        raise _wrong(
            folder / "qrels.tsv", 0, f"it judges {stray[0]!r}, a question that is not in queries.jsonl"
        )
    if not questions:
        raise _wrong(folder / "queries.jsonl", 0, "it holds no question")
    return GoldenSet(folder.resolve().name, pages, questions)


def _pages(path: Path) -> Iterator[GoldenPage]:
    seen: set[str] = set()
    for number, row in _rows(path):
        page = GoldenPage(*(_text(path, number, row, key) for key in ("id", "url", "title", "text")))
        _once(path, number, page.id, seen)
        yield page


def _questions(
    path: Path, relevant: Mapping[str, Mapping[str, int]], known: set[str]
) -> Iterator[GoldenQuestion]:
    seen: set[str] = set()
    for number, row in _rows(path):
        identifier = _text(path, number, row, "id")
        kind = _text(path, number, row, "type") if "type" in row else "question"
        exclude = row.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(one, str) for one in exclude):
            raise _wrong(path, number, "exclude must be a list of document ids")
        for one in exclude:
            _document(path, number, one, known)
        _once(path, number, identifier, seen)
        if bool(relevant.get(identifier)) == (kind == UNANSWERABLE):
            state = "is judged" if kind == UNANSWERABLE else "has no judgement in qrels.tsv"
            raise _wrong(path, number, f"question {identifier!r} of type {kind} {state}")
        text = _text(path, number, row, "text")
        yield GoldenQuestion(identifier, text, kind, frozenset(exclude), relevant.get(identifier, {}))


def _judgements(path: Path, known: set[str]) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for number, line in _lines(path):
        columns = line.split("\t")
        if number == 1 and columns[-1] == "score":
            continue
        if len(columns) != _COLUMNS or not columns[2].strip().lstrip("-").isdecimal():
            raise _wrong(path, number, "a line is query-id, corpus-id and a whole number, with tabs between")
        _document(path, number, columns[1], known)
        if int(columns[2]) > 0:
            found[columns[0]][columns[1]] = int(columns[2])
    return dict(found)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, number, f"it is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise _wrong(path, number, "it is not an object")
        yield number, row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(path, 0, f"it cannot be read ({error})") from error


def _text(path: Path, number: int, row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(path, number, f"{key} must be a text")
    return value


def _once(path: Path, number: int, identifier: str, seen: set[str]) -> None:
    if identifier in seen:
        raise _wrong(path, number, f"id {identifier!r} is there twice")
    seen.add(identifier)


def _document(path: Path, number: int, identifier: str, known: set[str]) -> None:
    if known and identifier not in known:
        raise _wrong(path, number, f"{identifier!r} is no document of docs.jsonl")


def _wrong(path: Path, number: int, problem: str) -> SourceError:
    where = f"{path}, line {number}" if number else str(path)
    return SourceError(
        f"Golden questions: {where}: {problem}.", hint="See docs/reference/golden-questions.md."
    )
