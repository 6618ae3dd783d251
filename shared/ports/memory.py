"""What a question finds and leaves: answers, conversations, limits, spend, the cache, API keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.ports.json import Json
from shared.ports.models import Turn
from shared.resilience.deadline import Deadline


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

    def spent_this_month(self, deadline: Deadline) -> float:
        """US dollars on the spend meter since the month began (UTC)."""
        ...


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
