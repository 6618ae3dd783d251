"""What a mutation is, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["caught", "survived", "does not apply", "broken"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One place of ``file`` where ``before`` (found exactly once) becomes ``after``.

    ``breaks`` says what a user would meet. ``tests`` are files, ``only`` is pytest's ``-k``: the tests of
    that adapter's suite that have to notice.
    """

    adapter: str
    file: str
    before: str
    after: str
    breaks: str
    tests: tuple[str, ...]
    only: str = ""

    def applied(self, text: str) -> str:
        """The mutated text. Raises ``LookupError`` when ``before`` is not there exactly once."""
        if text.count(self.before) != 1:
            raise LookupError(f"{self.file}: {text.count(self.before)} places read {self.before!r}")
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests made of a mutation; ``detail`` is the test that noticed, or why none could."""

    mutation: Mutation
    outcome: Outcome
    detail: str
    seconds: float
