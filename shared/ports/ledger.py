"""What is in the index, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from shared.ports.leases import Waiting
from shared.resilience.deadline import Deadline


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
    """A page as the ledger knows it. ``content_hash`` is empty while its points are being written;
    ``source_hash`` stands for what it was read from, and is empty where that is not known.
    """

    url: str
    title: str
    content_hash: str
    chunks: int
    source_hash: str = ""


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """A passage as the ledger knows it: its point's id, its page, and the hash of the text that was embedded,
    empty where it has no dense vector.
    """

    id: str
    url: str
    text_hash: str


class Ledger(Protocol):
    """What is in the index, in Postgres. Each call is one transaction.

    Errors: ``Unreachable``, ``TimedOut``, ``Overloaded``, ``AccessDenied``, ``PreconditionFailed``
    (another run holds the lease).
    """

    def lease(
        self,
        deadline: Deadline,
        holder: str = "",
        *,
        wait_seconds: float = 0.0,
        waiting: Waiting = lambda _who: None,
    ) -> AbstractContextManager[None]:
        """Hold the ingestion lease: see :meth:`shared.ports.leases.Leases.hold`. While it is held, every
        write first makes sure that it still is.

        ``holder`` names the run, and its tasks hold the lease together; empty is a run of its own.
        """
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

    def save_pages(
        self,
        generation_id: str,
        pages: Sequence[PageRecord],
        deadline: Deadline,
        *,
        chunks: Sequence[ChunkRecord] | None = None,
    ) -> None:
        """Insert or replace the rows of these pages; with ``chunks`` also those of their passages."""
        ...

    def remove_pages(self, generation_id: str, urls: Sequence[str], deadline: Deadline) -> None:
        """Delete the rows of these pages and of their passages."""
        ...


class ChunkLedger(Protocol):
    """What each generation should hold, as a whole and passage by passage. Same errors as
    :class:`Ledger`.
    """

    def chunks(
        self, generation_id: str, deadline: Deadline, *, after: str = "", limit: int = 10_000
    ) -> list[ChunkRecord]:
        """At most ``limit`` passages with an id above ``after``, in the order of their ids."""
        ...

    def totals(self, generation_id: str, deadline: Deadline) -> tuple[int, int, str]:
        """Pages, passages, and a digest that changes when the content of any page does."""
        ...

    def note_sources(self, generation_id: str, run_id: str, deadline: Deadline) -> int:
        """Store what a run has read those pages from whose content is the same, where that differs; how many
        there were.
        """
        ...

    def check_lease(self, deadline: Deadline) -> None:
        """Raise ``PreconditionFailed`` when this ledger held the ingestion lease and has lost it. Ask before
        anything is written outside Postgres, where no transaction looks.
        """
        ...


class LedgerClock(Protocol):
    """Tells one state of the ledger from another. Same errors as :class:`Ledger`."""

    def version(self, deadline: Deadline) -> int:
        """How often the ledger was written to: what was read between two equal versions is one state."""
        ...

    def step(self, deadline: Deadline) -> None:
        """Count what was changed in the index without a write to the ledger: parts of a recovery point that
        were cut before and after it do not belong together.
        """
        ...
