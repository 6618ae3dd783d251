"""An embedder that costs nothing and counts what it is asked: for what is not about meaning."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from shared.ports import Embeddings
from shared.resilience.deadline import Deadline
from shared.retrieval.tokens import term_counts


class HashedWords:
    """Vectors of the words' hashes (the hashing trick): texts that share words are near. ``texts`` counts
    every text that was embedded, ``calls`` the calls.
    """

    def __init__(self, model: str = "hashed-words", dimensions: int = 16) -> None:
        self.model = model
        self.dimensions = dimensions
        self.texts: Counter[str] = Counter()
        self.calls: list[int] = []

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:  # noqa: ARG002 - nothing waits
        return self._vector(text)

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:  # noqa: ARG002
        self.texts.update(texts)
        self.calls.append(len(texts))
        return Embeddings(tuple(self._vector(text) for text in texts), sum(len(text) // 4 for text in texts))

    def _vector(self, text: str) -> tuple[float, ...]:
        numbers = [1e-3] * self.dimensions
        for term, count in term_counts(text).items():
            digest = blake2b(f"{self.model}{term}".encode(), digest_size=4).digest()
            numbers[digest[0] % self.dimensions] += count if digest[1] % 2 else -count
        length = math.sqrt(sum(number * number for number in numbers))
        return tuple(number / length for number in numbers)


class Free(HashedWords):
    """Vectors of a digest of the whole text: they mean nothing and cost next to nothing, and no text is kept:
    those of a large site would be what fills the memory.
    """

    def __init__(self, model: str = "free", dimensions: int = 64) -> None:
        super().__init__(model, dimensions)

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:  # noqa: ARG002
        return Embeddings(tuple(self._vector(text) for text in texts), 0)

    def _vector(self, text: str) -> tuple[float, ...]:
        digest = blake2b(text.encode("utf-8", "replace"), digest_size=self.dimensions).digest()
        numbers = [byte - 127.5 for byte in digest]
        length = math.sqrt(sum(number * number for number in numbers))
        return tuple(number / length for number in numbers)
