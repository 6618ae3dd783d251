"""The seams: one Protocol per outside service, with its error contract.

Every method that leaves the process takes a :class:`~shared.resilience.deadline.Deadline` and
raises :class:`~shared.errors.TimedOut` when it is not answered by then. Implementations raise
only the errors of :mod:`shared.errors`; an SDK's own exception never passes a port. None of them
retries by itself unless its docstring says so. All are safe to share among threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.resilience.deadline import Deadline

Json = Mapping[str, Any]


# ---------------------------------------------------------------- vectors


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids (unique, 0..2**32-1) and their weights (finite, not zero), in the same order."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a collection: a UUID as text, named vectors (dense or sparse), a payload."""

    id: str
    vectors: Mapping[str, Sequence[float] | SparseVector] = field(default_factory=dict)
    payload: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A point's id and its score for one search; higher is better."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Condition:
    """``key`` of the payload equals one of ``any_of``. Conditions of one search are joined by AND."""

    key: str
    any_of: tuple[str | int | bool, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """One ranked list: the ``limit`` points whose vector ``using`` is nearest to ``vector``."""

    using: str
    vector: Sequence[float] | SparseVector
    limit: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Named vectors of a collection: dense ones with their size (cosine), and sparse ones.

    ``indexed`` are payload keys (keywords) that get a payload index.
    """

    dense: Mapping[str, int]
    sparse: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PointPage:
    """One page of a scroll and the offset (a point id) of the next one; None at the end."""

    points: tuple[Point, ...]
    next_offset: str | None


class VectorSearch(Protocol):
    """What a question needs of Qdrant. Implemented over plain REST, because importing
    qdrant-client costs more than a second of a cold start.

    Errors: :class:`~shared.errors.Missing` (no such collection), ``Rejected`` (a vector that is
    not finite, found before it is sent, or of the wrong size, found by the service), ``Throttled``,
    ``Overloaded``, ``Unreachable`` (also an answer cut in the middle), ``TimedOut``, ``Garbled``,
    ``AccessDenied``.
    """

    def search(self, collection: str, searches: Sequence[Search], deadline: Deadline) -> list[list[Hit]]:
        """All ``searches`` in one round trip: a list of hits for each, best first, ids and scores only."""
        ...

    def retrieve(self, collection: str, ids: Sequence[str], deadline: Deadline) -> list[Point]:
        """The points with their payloads (no vectors), in the order asked; unknown ids are left out."""
        ...

    def aliases(self, deadline: Deadline) -> dict[str, str]:
        """Every alias and the collection behind it."""
        ...

    def ping(self, deadline: Deadline) -> None:
        """Return when the service answers an authenticated request."""
        ...


class VectorAdmin(Protocol):
    """What ingestion and recovery need of Qdrant; may import qdrant-client.

    Same errors as :class:`VectorSearch`. Every write waits until it is applied. Vectors are
    checked (finite, right size, sparse indices unique) before the batch that holds them is sent.
    """

    def create(self, collection: str, spec: CollectionSpec, deadline: Deadline) -> None:
        """Make the collection; nothing happens when it exists with the same vectors."""
        ...

    def drop(self, collection: str, deadline: Deadline) -> None:
        """Delete the collection; nothing happens when it does not exist."""
        ...

    def collections(self, deadline: Deadline) -> list[str]:
        """Names of all collections, sorted."""
        ...

    def upsert(self, collection: str, points: Iterable[Point], deadline: Deadline) -> int:
        """Write the points in bounded batches; the number written."""
        ...

    def delete(
        self,
        collection: str,
        deadline: Deadline,
        *,
        conditions: Sequence[Condition],
        keep_ids: Sequence[str] = (),
    ) -> None:
        """Delete the points that meet all ``conditions`` (at least one), but for ``keep_ids``."""
        ...

    def scroll(
        self,
        collection: str,
        deadline: Deadline,
        *,
        offset: str | None = None,
        limit: int = 256,
        with_vectors: bool = False,
    ) -> PointPage:
        """One page of points in the order of their ids."""
        ...

    def count(self, collection: str, deadline: Deadline) -> int:
        """Exact number of points."""
        ...

    def switch_alias(self, alias: str, collection: str, deadline: Deadline) -> None:
        """Point ``alias`` at ``collection`` in one request, then read it back.

        Raises :class:`~shared.errors.PreconditionFailed` when the alias reads otherwise.
        """
        ...


# ---------------------------------------------------------------- full text


@dataclass(frozen=True, slots=True)
class PassageText:
    """A passage for full-text search: its point's id and payload, and its words as the index counts them,
    in order.
    """

    id: str
    payload: Json
    words: tuple[str, ...]


class PassageStore(Protocol):
    """The passages of each generation, in Postgres, as ingestion writes them. Same errors as :class:`Ledger`.

    A page's passages go when the ledger removes the page, and a generation's when it forgets that.
    """

    def save_facts(self, generation_id: str, payload: Json, deadline: Deadline) -> None:
        """Store the payload of the generation's reserved point."""
        ...

    def save_pages(
        self, generation_id: str, urls: Sequence[str], passages: Sequence[PassageText], deadline: Deadline
    ) -> None:
        """Make ``passages`` the ones of the pages ``urls``, which the ledger must know; idempotent."""
        ...

    def count(self, generation_id: str, deadline: Deadline) -> int:
        """Number of passages; 0 too when the facts are missing."""
        ...


class FullText(Protocol):
    """The same passages, as questions search them. Same errors as :class:`Ledger`; ``Missing`` for none."""

    def live(self, deadline: Deadline) -> str:
        """The id of the live generation."""
        ...

    def facts(self, generation_id: str, deadline: Deadline) -> Json:
        """The payload of its reserved point."""
        ...

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
        """Passages that hold all ``words``, and where they are fewer than ``limit``, those that hold one of
        ``some``; at most ``limit``, those that the words, which come with their weights, rank first.
        """
        ...


# ---------------------------------------------------------------- objects


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object. ``generation`` grows with each write; ``crc32c`` is the
    base64 text that Cloud Storage uses; ``updated`` is in Unix seconds.
    """

    name: str
    size: int
    generation: int
    crc32c: str
    updated: float
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectWriter(Protocol):
    """An upload under way.

    Leaving its context without an exception commits the object; with one, no object appears.
    """

    def write(self, data: bytes) -> None: ...

    @property
    def info(self) -> ObjectInfo:
        """The committed object; only after the context was left."""
        ...


class ObjectReader(Protocol):
    """A download under way."""

    @property
    def info(self) -> ObjectInfo: ...

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes (all of the rest when negative); empty at the end.

        Raises :class:`~shared.errors.Interrupted` when the object ends before its size and
        :class:`~shared.errors.Corrupt` when a whole read does not match its checksum.
        """
        ...


class ObjectStore(Protocol):
    """A bucket: Cloud Storage, or a folder on this machine.

    Names are ``/``-separated, relative, without ``.`` or ``..`` parts. Writes are atomic: an
    object is there whole, with its checksum, or not at all. ``if_generation_match``: 0 means
    "must not exist", n means "must be at generation n", None means no condition.

    Errors: ``Missing``, ``PreconditionFailed``, ``Corrupt``, ``Interrupted``, ``AccessDenied``,
    ``Throttled``, ``Overloaded``, ``Unreachable``, ``TimedOut``; ``Rejected`` for a bad name, a held
    or retained object, or a full disk.
    """

    def put(
        self,
        name: str,
        data: bytes,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write a small object whole."""
        ...

    def open_write(
        self,
        name: str,
        deadline: Deadline,
        *,
        if_generation_match: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[ObjectWriter]:
        """Stream an object of unknown length; memory stays bounded by one chunk."""
        ...

    def get(self, name: str, deadline: Deadline) -> tuple[bytes, ObjectInfo]:
        """A small object whole, checked against its checksum."""
        ...

    def open_read(
        self, name: str, deadline: Deadline, *, generation: int | None = None
    ) -> AbstractContextManager[ObjectReader]:
        """Stream an object, or a version of it."""
        ...

    def stat(self, name: str, deadline: Deadline) -> ObjectInfo:
        """The live version's facts."""
        ...

    def list(self, prefix: str, deadline: Deadline, *, versions: bool = False) -> Iterator[ObjectInfo]:
        """Live objects whose name starts with ``prefix``, by name; with ``versions`` the old ones too."""
        ...

    def delete(self, name: str, deadline: Deadline, *, if_generation_match: int | None = None) -> None:
        """Remove the live version."""
        ...


# ---------------------------------------------------------------- language models


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
    """A part of a streamed answer. The last piece carries the usage and the finish reason."""

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


# ---------------------------------------------------------------- Postgres


@dataclass(frozen=True, slots=True)
class Generation:
    """One build of the index: ``id`` is also the collection's suffix, ``fingerprint`` stands for
    schema, chunking, lexical rules and embedding model, ``source`` for the site it was made of.
    """

    id: str
    fingerprint: str
    source: str
    status: str  # building, live, retired
    pages: int
    chunks: int


@dataclass(frozen=True, slots=True)
class PageRecord:
    """A page as the ledger knows it. ``content_hash`` is empty while its points are being written."""

    url: str
    title: str
    content_hash: str
    chunks: int


class Ledger(Protocol):
    """What is in the index, in Postgres. Each call is one transaction.

    Errors: ``Unreachable``, ``TimedOut``, ``Overloaded``, ``AccessDenied``, ``PreconditionFailed``
    (another run holds the lease).
    """

    def lease(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Hold the ingestion lease; raises PreconditionFailed when another run has it."""
        ...

    def generations(self, deadline: Deadline) -> list[Generation]:
        """All generations, newest first."""
        ...

    def start_generation(self, generation: Generation, deadline: Deadline) -> None:
        """Record a generation that is about to be built (status ``building``); idempotent."""
        ...

    def finish_generation(self, generation_id: str, pages: int, chunks: int, deadline: Deadline) -> None:
        """Make it the live one and retire the one before, with its counts."""
        ...

    def forget_generation(self, generation_id: str, deadline: Deadline) -> None:
        """Delete its rows; nothing happens when there are none."""
        ...

    def pages(self, generation_id: str, deadline: Deadline) -> dict[str, PageRecord]:
        """Pages of a generation by URL."""
        ...

    def save_pages(self, generation_id: str, pages: Sequence[PageRecord], deadline: Deadline) -> None:
        """Insert or replace the rows of these pages."""
        ...

    def remove_pages(self, generation_id: str, urls: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows of these pages."""
        ...


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """A question and the answer that was given, for history, feedback and the writers' report."""

    id: str
    conversation_id: str
    asked_at: float
    question: str
    kind: str  # extractive, generated, not_found
    answer: str
    citations: tuple[str, ...]
    generation_id: str
    rung: str
    cost_usd: float = 0.0
    detail: Json | None = None
    """The whole answer as the reader got it."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A reader's verdict on an answer: ``rating`` is ``up`` or ``down``; ``given_at`` in Unix seconds."""

    answer_id: str
    rating: str
    reason: str
    comment: str
    given_at: float


@dataclass(frozen=True, slots=True)
class Deletion:
    """A conversation that its reader deleted, with all that was said until ``at`` (Unix seconds)."""

    conversation_id: str
    at: float


class AnswerLog(Protocol):
    """Answers in Postgres. Same errors as :class:`Ledger`."""

    def record(self, answer: AnswerRecord, deadline: Deadline) -> None:
        """Store the answer and add its cost to the spend meter, both exactly once: the same id again
        changes nothing. What belongs to a conversation deleted since is not stored.
        """
        ...

    def give_feedback(self, feedback: Feedback, deadline: Deadline) -> None:
        """Store the verdict; of several on one answer the latest counts."""
        ...

    def detail(self, answer_id: str, deadline: Deadline) -> Json | None:
        """The whole answer as it was given, or None when there is no such answer."""
        ...

    def ping(self, deadline: Deadline) -> None:
        """Return when the database answers a query."""
        ...


# ---------------------------------------------------------------- what a question finds and leaves


@dataclass(frozen=True, slots=True)
class Allowance:
    """A token bucket: ``capacity`` requests at once, at least 1, refilled by ``per_second``."""

    capacity: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Opening:
    """What the database knows as a question arrives.

    ``granted`` says whether the caller may ask; if not, ``retry_after`` is the seconds until it may.
    ``cached`` is the answer kept for the cache key, ``epoch`` the cache's. Money is in US dollars by UTC
    days. ``history`` is the conversation so far, oldest turn first.
    """

    granted: bool
    retry_after: float
    cached: Json | None
    spent_today: float
    spent_this_month: float
    history: tuple[Turn, ...]
    epoch: int = 0


class Memory(Protocol):
    """Conversations, limits and spend in Postgres. Same errors as :class:`Ledger`."""

    def open_question(
        self,
        deadline: Deadline,
        *,
        caller: str,
        allowance: Allowance,
        cache_key: str,
        conversation_id: str,
        questions_back: int = 6,
    ) -> Opening:
        """Take one request out of the bucket ``caller``, and read cache, spend and history, in one go."""
        ...

    def add_spend(self, usd: float, deadline: Deadline) -> None:
        """Count money that no recorded answer stands for: that of one whose reader left."""
        ...

    def delete_conversation(self, deletion: Deletion, deadline: Deadline) -> None:
        """Remove what was said until then, with its feedback, and remember that it was removed."""
        ...

    def deletions(self, since: float, deadline: Deadline) -> list[Deletion]:
        """Deletions made at or after ``since`` (Unix seconds), oldest first."""
        ...

    def apply_deletions(self, deletions: Sequence[Deletion], deadline: Deadline) -> int:
        """Remember these deletions and carry out all that are remembered; the number of answers removed."""
        ...

    def prune(self, keep_days: float, deadline: Deadline) -> int:
        """Remove conversations and feedback older than ``keep_days``, and limits and cached answers whose
        time is over; the number of answers removed.
        """
        ...

    def titles(self, limit: int, deadline: Deadline) -> list[tuple[str, str]]:
        """Title and URL of pages of the live generation, those with most passages first."""
        ...

    def active_sessions(self, seconds: float, deadline: Deadline) -> int:
        """Conversations in which a question was asked in the last ``seconds``."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What a cache holds under a key: the answer or None, and the cache's ``epoch`` at that moment."""

    payload: Json | None
    epoch: int


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """An answer to keep: its payload, and the URLs of the pages (without anchors) that it stands on."""

    payload: Json
    pages: tuple[str, ...]
    generation_id: str


class AnswerCache(Protocol):
    """Answers to questions that were asked before. Errors: ``Unreachable``, ``TimedOut``, ``Overloaded``,
    ``AccessDenied``, ``Garbled``.
    """

    def get(self, key: str, deadline: Deadline) -> Kept:
        """What is kept under ``key`` and has not expired."""
        ...

    def put(self, key: str, entry: CacheEntry, epoch: int, seconds: float, deadline: Deadline) -> bool:
        """Keep the answer for ``seconds``, in place of the one there. Nothing is kept (False) when the
        epoch is no longer the one that :meth:`get` told before the answer was made: pages changed since.
        """
        ...

    def forget_pages(self, urls: Sequence[str], deadline: Deadline) -> int:
        """Drop the answers that stand on one of these pages and begin a new epoch; the number dropped."""
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is stored: ``hash`` is the SHA-256 of the key in hex; times are Unix seconds."""

    id: str
    name: str
    hash: str
    requests_per_minute: int
    created_at: float
    revoked_at: float | None = None


class ApiKeys(Protocol):
    """API keys in Postgres. Same errors as :class:`Ledger`."""

    def add(self, key: ApiKey, deadline: Deadline) -> None:
        """Store a key. Raises ``Rejected`` when id or hash is taken."""
        ...

    def all(self, deadline: Deadline) -> list[ApiKey]:
        """Every key, revoked ones included, oldest first."""
        ...

    def revoke(self, key_id: str, deadline: Deadline) -> bool:
        """Make a key useless from now on; whether there was one that was of use."""
        ...
