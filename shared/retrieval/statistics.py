"""The lexical statistics of one generation, frozen with it.

BM25 (Robertson and Zaragoza, 2009) is split so that an inner product of two sparse vectors gives it:
the document's vector holds the saturated term frequency, the question's the inverse document frequency.
Because both are computed here from frozen numbers, every engine gives the same scores, and a change to
one page leaves the scores of the others alone.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from shared.errors import Garbled
from shared.ports import SparseVector
from shared.retrieval.tokens import term_counts

K1 = 1.2
B = 0.75
_MAGIC = b"LXS1"


@dataclass(frozen=True, slots=True)
class FieldStatistics:
    """One field over the corpus: texts in it, their average length in terms, and for each term id the
    number of texts that hold it.
    """

    documents: int
    average_length: float
    frequencies: Mapping[int, int] = field(repr=False)

    def idf(self, term: int) -> float:
        """``ln(1 + (N - n + .5) / (n + .5))``: never negative, largest for a term that is nowhere."""
        count = min(self.frequencies.get(term, 0), self.documents)
        return math.log(1 + (self.documents - count + 0.5) / (count + 0.5))

    def document_vector(self, text: str) -> SparseVector | None:
        """Saturated term frequencies of a text; None for a text without words."""
        counts = term_counts(text)
        if not counts:
            return None
        length = sum(counts.values()) / max(self.average_length, 1.0)
        norm = K1 * (1 - B + B * length)
        terms = sorted(counts)
        return SparseVector(tuple(terms), tuple(counts[t] * (K1 + 1) / (counts[t] + norm) for t in terms))

    def query_vector(self, terms: Iterable[int]) -> SparseVector | None:
        """IDF of each distinct term that the corpus knows; None when it knows none of them."""
        known = sorted({term for term in terms if term in self.frequencies})
        return SparseVector(tuple(known), tuple(self.idf(term) for term in known)) if known else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """The statistics of passages and of headings."""

    passages: FieldStatistics
    headings: FieldStatistics

    def encode(self) -> bytes:
        """Compact bytes, equal for equal corpora."""
        return _MAGIC + zlib.compress(_pack(self.passages) + _pack(self.headings), 9)

    @classmethod
    def decode(cls, data: bytes) -> Statistics:
        """Read what :meth:`encode` wrote. Raises :class:`~shared.errors.Garbled` for anything else."""
        if data[:4] != _MAGIC:
            raise _garbled("they do not begin with the expected mark")
        try:
            raw = zlib.decompress(data[4:])
            passages, end = _unpack(raw, 0)
            headings, end = _unpack(raw, end)
        except (zlib.error, struct.error, ValueError) as error:
            raise _garbled(str(error)) from error
        if end != len(raw):
            raise _garbled("there are bytes left over")
        return cls(passages, headings)


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """What was counted of one field so far: texts, their terms, and for each term id the texts with it.
    Whole numbers, so that counts of parts add up to those of the whole in any order.
    """

    documents: int
    length: int
    frequencies: dict[int, int] = field(repr=False)


class FieldCounter:
    """Counts texts into :class:`FieldStatistics`."""

    def __init__(self) -> None:
        self._documents = 0
        self._length = 0
        self._frequencies: Counter[int] = Counter()

    def counts(self) -> FieldCounts:
        """What was counted so far, to be added to another counter."""
        return FieldCounts(self._documents, self._length, dict(self._frequencies))

    def add_counts(self, counts: FieldCounts) -> None:
        """Count all the texts that another counter has counted."""
        self._documents += counts.documents
        self._length += counts.length
        self._frequencies.update(counts.frequencies)

    def add(self, text: str) -> None:
        """Count one text; a text without words does not count."""
        counts = term_counts(text)
        if counts:
            self._documents += 1
            self._length += sum(counts.values())
            self._frequencies.update(counts.keys())

    def statistics(self) -> FieldStatistics:
        average = self._length / self._documents if self._documents else 0.0
        return FieldStatistics(self._documents, average, dict(self._frequencies))


def _pack(one: FieldStatistics) -> bytes:
    """Texts, terms, average length; then the sorted term ids as differences, then their counts."""
    terms = sorted(one.frequencies)
    steps = [b - a for a, b in zip([0, *terms], terms, strict=False)]
    counts = [one.frequencies[term] for term in terms]
    head = struct.pack("<IId", one.documents, len(terms), one.average_length)
    return head + struct.pack(f"<{2 * len(terms)}I", *steps, *counts)


def _unpack(raw: bytes, start: int) -> tuple[FieldStatistics, int]:
    documents, size, average = struct.unpack_from("<IId", raw, start)
    start += struct.calcsize("<IId")
    numbers = struct.unpack_from(f"<{2 * size}I", raw, start)
    frequencies = dict(zip(accumulate(numbers[:size]), numbers[size:], strict=True))
    return FieldStatistics(documents, average, frequencies), start + 8 * size


def _garbled(detail: str) -> Garbled:
    return Garbled(
        "qdrant",
        "reading the lexical statistics",
        f"the statistics point cannot be read: {detail}",
        hint="Run ingestion again: it builds a new generation.",
    )
