"""What was seen of a candidate and of stable in the same stretch of time."""

from __future__ import annotations

from dataclasses import dataclass

from shared.ports import Readers

LIMITED = 429
NOBODY = Readers()


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, asked of one revision. ``status`` is 0 when no answer came, ``seconds`` the time to the
    whole answer. ``right``: it cites a page that the golden questions name, or says rightly that the docs do
    not say; None where nobody knows. ``cited``: it cites something, or says that the docs do not say.
    ``degraded`` says what it had to do without.
    """

    question: str
    status: int
    seconds: float
    right: bool | None = None
    cited: bool = False
    degraded: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it tells anything: being asked to wait says nothing about a revision."""
        return self.status != LIMITED

    @property
    def failed(self) -> bool:
        """No answer, an error, or a refusal: a question that is asked of every release is a good one."""
        return self.counts and not self.answered

    @property
    def answered(self) -> bool:
        return self.status == 200  # noqa: PLR2004 - HTTP's own number


@dataclass(frozen=True, slots=True)
class Pair:
    """The same question, asked of both at the same time: what both meet, neither is blamed for."""

    candidate: Asked
    stable: Asked

    @property
    def counts(self) -> bool:
        return self.candidate.counts and self.stable.counts


@dataclass(frozen=True, slots=True)
class Observation:
    """``pairs`` are questions of ours; ``candidate`` and ``stable`` are readers' requests. ``same_time`` is
    False when stable's readers are those of an earlier stretch, because it has none any more. ``unmeasured``
    says why nothing is known of readers' requests, where that is so; ``with_readers`` whether the candidate
    has been given any, so that they were looked for.
    """

    pairs: tuple[Pair, ...] = ()
    candidate: Readers = NOBODY
    stable: Readers = NOBODY
    same_time: bool = True
    unmeasured: str = ""
    with_readers: bool = False
