"""The runs of ingestion: what each is doing, and what it has read, kept where a killed run finds it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from shared.ports.json import Json
from shared.resilience.deadline import Deadline

RunStatus = Literal["planned", "running", "waiting_for_removal", "succeeded", "failed"]
RunPhase = Literal["reading", "embedding", "writing", "finishing", "done"]


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a run changes, in pages, and what that costs: ``texts`` to embed, in ``calls`` to the embedder, of
    about ``tokens`` tokens for ``usd`` US dollars; ``reused`` are texts whose vectors the index has already.
    ``rebuilds`` says why a new generation is built; empty when the live one is changed.
    """

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    texts: int = 0
    reused: int = 0
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    rebuilds: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One ingestion. ``source`` names the site in the ledger, ``place`` is where it is read from,
    ``generation`` the one whose pages are changed, empty when a new one is built. ``fingerprint`` stands for
    the rules that its pages are cut with. ``plan`` is None until everything was read. ``allow_removal`` is
    the word of whoever started it last, and ends with that start.

    ``to_write`` and ``written`` count pages. ``report`` is what was done, at the end. The times are Unix
    seconds, by the database's clock; 0.0 for what has not happened.
    """

    id: str
    source: str
    place: str
    base_url: str
    fingerprint: str
    status: RunStatus = "planned"
    phase: RunPhase = "reading"
    tasks: int = 1
    allow_removal: bool = False
    generation: str = ""
    plan: PlanCounts | None = None
    to_write: int = 0
    written: int = 0
    report: Json | None = None
    error: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    heartbeat_at: float = 0.0
    finished_at: float = 0.0
    shares: tuple[RunShare, ...] = ()


@dataclass(frozen=True, slots=True)
class RunShare:
    """What one task of a run has done: pages ``read``, texts ``embedded`` in ``calls`` for ``tokens``, and a
    line for each page that was ``refused``.
    """

    task: int
    done: bool = False
    read: int = 0
    embedded: int = 0
    calls: int = 0
    tokens: int = 0
    refused: tuple[str, ...] = ()


class Runs(Protocol):
    """The runs, in Postgres. Each call is one transaction. Same errors as :class:`~shared.ports.Ledger`."""

    def begin(self, run: Run, deadline: Deadline) -> None:
        """Record a run that is planned; idempotent."""
        ...

    def get(self, run_id: str, deadline: Deadline) -> Run:
        """The run with its shares, in their order. Raises ``Missing``."""
        ...

    def recent(self, deadline: Deadline, *, limit: int = 20) -> list[Run]:
        """Runs with their shares, newest first."""
        ...

    def save(self, run: Run, deadline: Deadline) -> None:
        """Store what may change of a run (all but id, source, place, base_url and the times) and move its
        heartbeat. The first saving as ``running`` sets ``started_at``, that as ``succeeded`` or ``failed``
        ``finished_at``.
        """
        ...

    def save_share(self, run_id: str, share: RunShare, deadline: Deadline) -> int:
        """Store a share and move the run's heartbeat; the number of shares that are done. Of shares that end
        at the same time one alone is told that all are.
        """
        ...

    def prune(self, keep: int, deadline: Deadline) -> list[str]:
        """Forget all but the newest ``keep`` runs; the ids of those that went."""
        ...


@dataclass(frozen=True, slots=True)
class StagedPage:
    """A page that a run has read, cut and put into part ``part`` of its task's stage.

    ``place`` and ``source_hash`` are where and what it was read from; ``texts`` maps the hash of each text
    that its passages embed to the text's length in characters.
    """

    url: str
    place: str
    source_hash: str
    content_hash: str
    chunks: int
    texts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Differences:
    """What a run has read against one generation: addresses of pages, and how many are the same."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int


class RunPages(Protocol):
    """What a run has read, in Postgres. Each call is one transaction. Same errors as
    :class:`~shared.ports.Ledger`.
    """

    def known(self, run_id: str, generation_id: str, deadline: Deadline) -> dict[str, str]:
        """Source hashes by address: of what the run has staged, and of the generation's other pages that
        have one (of none for an empty ``generation_id``).
        """
        ...

    def stage(
        self, run_id: str, task: int, part: int, pages: Sequence[StagedPage], deadline: Deadline
    ) -> None:
        """Record pages that lie in a part, in place of what was recorded of them, and claim for ``task``
        those of their texts that nobody has claimed.
        """
        ...

    def keep(
        self, run_id: str, generation_id: str, task: int, urls: Sequence[str], deadline: Deadline
    ) -> None:
        """Record pages that are as they were: as staged before, or as the generation has them."""
        ...

    def close(self, run_id: str, task: int, urls: Sequence[str], deadline: Deadline) -> None:
        """Forget what the task recorded of any page but these: the whole of its share."""
        ...

    def differences(self, run_id: str, generation_id: str, deadline: Deadline) -> Differences:
        """What was read against the pages of a generation; sorted."""
        ...

    def parts(self, run_id: str, generation_id: str, deadline: Deadline) -> list[tuple[int, int]]:
        """Task and number of every part that holds a page which differs from the generation's, in order.
        For an empty ``generation_id`` every part that holds a page.
        """
        ...

    def urls(
        self, run_id: str, generation_id: str, part: tuple[int, int] | None, deadline: Deadline
    ) -> dict[str, bool]:
        """Pages of the part that differ from the generation's, and whether the generation has them. For None
        those that lie in no part, because they were kept.
        """
        ...

    def clear(self, run_id: str, deadline: Deadline) -> None:
        """Forget all that was read, and every claim."""
        ...


@dataclass(frozen=True, slots=True)
class TextCosts:
    """Texts that must be embedded: how many each task has claimed, and their length in characters. ``reused``
    are those that a generation has.
    """

    by_task: Mapping[int, int]
    characters: int
    reused: int


class RunTexts(Protocol):
    """Which task of a run embeds which text. Same errors as :class:`~shared.ports.Ledger`.

    ``generations`` are those whose vectors may be used again: of the same embedding model.
    """

    def costs(self, run_id: str, generations: Sequence[str], deadline: Deadline) -> TextCosts:
        """What is claimed and neither placed nor in one of ``generations``."""
        ...

    def open(self, run_id: str, task: int, hashes: Sequence[str], deadline: Deadline) -> set[str]:
        """Those of ``hashes`` that ``task`` has claimed and not placed."""
        ...

    def place(self, run_id: str, task: int, part: int, hashes: Sequence[str], deadline: Deadline) -> None:
        """Record in which of the task's objects the vectors of these texts lie, whoever claimed them."""
        ...

    def places(self, run_id: str, hashes: Sequence[str], deadline: Deadline) -> dict[str, tuple[int, int]]:
        """Task and number of the object that holds the vector, for those of ``hashes`` that have one."""
        ...

    def holders(
        self, generations: Sequence[str], hashes: Sequence[str], deadline: Deadline
    ) -> dict[str, tuple[str, str]]:
        """Generation and id of a passage that embeds the text, for those of ``hashes`` that have one; earlier
        ``generations`` come first.
        """
        ...
