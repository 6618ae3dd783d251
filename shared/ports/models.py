"""Language models: text to vectors, prompts to answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One unit-length vector a text, in order, and the tokens that were billed (0 when local)."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int


class Embedder(Protocol):
    """Text to vectors. Errors: ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``,
    ``Garbled`` (wrong number, size or not finite), ``AccessDenied``, ``Rejected``.
    """

    @property
    def model(self) -> str:
        """Identity of the vectors: equal names mean comparable vectors."""
        ...

    @property
    def dimensions(self) -> int: ...

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        """The vector of a question."""
        ...

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:
        """Vectors of passages; any number of texts, sent in batches the service accepts."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; ``role`` is ``user`` or ``model``."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: the standing instruction and the turns, the last one the user's."""

    system: str
    turns: tuple[Turn, ...]
    max_output_tokens: int = 800
    temperature: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, and its cost in US dollars by the configured prices."""

    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed answer. The last piece carries the usage and the finish reason; the others may
    carry the usage so far, so that an answer that nobody waits for any more is paid for in our books, too.
    """

    text: str
    usage: Usage | None = None
    finish_reason: str = ""


class Pieces(Protocol):
    """A streamed answer under way."""

    def __iter__(self) -> Iterator[Piece]: ...

    def __next__(self) -> Piece: ...

    def close(self) -> None:
        """End the call to the service at once; may be called from any thread."""
        ...


class Generator(Protocol):
    """A language model. Errors: those of :class:`Embedder`, ``Blocked`` when a safety filter
    withheld the prompt or the answer, ``Interrupted`` when the stream broke after it began.
    """

    @property
    def model(self) -> str: ...

    def stream(self, prompt: Prompt, deadline: Deadline) -> Pieces:
        """The answer as it is written; at least one piece, the last with usage."""
        ...
