"""Passages that an engine of full text proposes, ranked by the generation's own frozen statistics.

Every rung so agrees with the search by words in Qdrant about order, coverage and when to abstain, as long
as the engine proposes the right passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from shared.ports import Hit, PassageText, SparseVector
from shared.retrieval.chunks import Chunk
from shared.retrieval.layout import Facts, payload_of
from shared.retrieval.profiles import LEXICAL
from shared.retrieval.ranking import RankedPage, rank_pages
from shared.retrieval.results import Passage, Retrieval
from shared.retrieval.retriever import PAGES_READ, PASSAGES_OF_PAGE, coverage
from shared.retrieval.statistics import Statistics
from shared.retrieval.tokens import function_words, term_counts, term_id, tokens

BREADCRUMB_COUNT = 3
"""A word of title or heading counts as three of the text."""
CANDIDATES = 60
MOST_WORDS = 12
MOST_PROPOSED = 300
"""Words propose passages until they are so many, the rarest word first: what a common word alone proposes
is too much to rank and hardly ever the answer.
"""


@dataclass(frozen=True, slots=True)
class FrozenIndex:
    """What a generation's reserved point says."""

    statistics: Statistics
    facts: Facts


@dataclass(frozen=True, slots=True)
class QueryWords:
    """A question's words that the corpus knows, rarest first, without function words: ``weights`` has
    the IDF of every one, ``rare`` are the first ones, which few passages hold.
    """

    weights: dict[str, float]
    rare: tuple[str, ...]

    @property
    def every(self) -> tuple[str, ...]:
        return tuple(self.weights)


def lexical_text(chunk: Chunk) -> str:
    """What BM25 counts of a passage: its listings too."""
    return "\n".join((*[chunk.breadcrumb] * BREADCRUMB_COUNT, chunk.text))


def passage_text(chunk: Chunk) -> PassageText:
    """A passage as full-text engines store it."""
    return PassageText(chunk.id, payload_of(chunk), tuple(tokens(lexical_text(chunk))))


def query_words(question: str, statistics: Statistics) -> QueryWords:
    """The words to ask a full-text engine for; none when the corpus knows none of them."""
    frequencies = statistics.passages.frequencies
    known = {word: frequencies.get(term_id(word), 0) for word in tokens(question)}
    known = {word: count for word, count in known.items() if count}
    telling = {word: count for word, count in known.items() if term_id(word) not in function_words()} or known
    every = sorted(telling, key=lambda word: (telling[word], word))[:MOST_WORDS]
    proposed = list(accumulate(telling[word] for word in every))
    rare = [word for word, count in zip(every, proposed, strict=True) if count <= MOST_PROPOSED]
    weights = {word: statistics.passages.idf(term_id(word)) for word in every}
    return QueryWords(weights, tuple(rare or every[:1]))


def rank_candidates(question: str, chunks: Sequence[Chunk], index: FrozenIndex, limit: int) -> Retrieval:
    """The best ``limit`` of the proposed passages, as the search by words ranks them."""
    terms = tuple(term_counts(question))
    found = {chunk.id: chunk for chunk in chunks if chunk.text}
    asked = index.statistics.passages.query_vector(terms)
    hits = [Hit(chunk.id, _bm25(asked, chunk, index.statistics)) for chunk in found.values()]
    pages = rank_pages([hit for hit in hits if hit.score > 0], (), (), dense_weight=0.0)
    passages = [
        Passage(found[hit.id], page.score + hit.score, _coverage(terms, found[hit.id], index.statistics))
        for page, hit in _best(pages)
    ]
    passages.sort(key=lambda one: (-one.score, one.chunk.id))
    return Retrieval(
        question=question,
        passages=tuple(passages[:limit]),
        pages=pages,
        coverage=max((passage.coverage for passage in passages), default=0.0),
        cosine=None,
        embedded=False,
        collection="",
        facts=index.facts,
        profile=LEXICAL,
        idf=index.statistics.passages.idf,
    )


def _best(pages: Sequence[RankedPage]) -> list[tuple[RankedPage, Hit]]:
    return [(page, hit) for page in pages[:PAGES_READ] for hit in page.points[:PASSAGES_OF_PAGE]]


def _bm25(asked: SparseVector | None, chunk: Chunk, statistics: Statistics) -> float:
    """The inner product that Qdrant computes, of the question's vector and the passage's."""
    there = statistics.passages.document_vector(lexical_text(chunk)) if asked else None
    if asked is None or there is None:
        return 0.0
    weights = dict(zip(there.indices, there.values, strict=True))
    pairs = zip(asked.indices, asked.values, strict=True)
    return sum(value * weights.get(index, 0.0) for index, value in pairs)


def _coverage(terms: Sequence[int], chunk: Chunk, statistics: Statistics) -> float:
    return coverage(terms, term_counts(f"{chunk.breadcrumb}\n{chunk.text}"), statistics.passages)
