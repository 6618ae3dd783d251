"""What goes into answering a question and what comes out of it, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.answering.answers import Answer, Citation
from shared.answering.prompts import PageContext
from shared.ports import Opening, Turn
from shared.resilience.deadline import Deadline

NO_PAGE = PageContext()


@dataclass(frozen=True, slots=True)
class Question:
    """What a reader asks, from which page, and what the page remembers of the conversation.

    ``conversation_id`` may be empty: the question then stands alone, but for ``turns``. ``unkept``: it is
    neither answered from a cache nor kept in one, nor recorded.
    """

    text: str
    conversation_id: str = ""
    page: PageContext = NO_PAGE
    turns: tuple[Turn, ...] = ()
    unkept: bool = False

    @property
    def is_anybodys(self) -> bool:
        """Whether another reader's answer may serve: nothing of this one's page can matter, and they let
        it.
        """
        return not (self.turns or self.page.selection or self.unkept)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the database knew when the question arrived, or None and why not."""

    opening: Opening | None
    degraded: str = ""


class Door(Protocol):
    """What stands before an answer: the caller's limit, and the money."""

    def open(self, cache_key: str, conversation_id: str, deadline: Deadline) -> Entry:
        """Take one question of the caller's limit. Raises RequestError 429 when it is used up."""
        ...

    def over_budget(self) -> str:
        """Why nothing may be spent now; empty when it may."""
        ...

    def spent(self, usd: float) -> None:
        """Count money that was spent on an answer that is recorded with it."""
        ...

    def left(self, usd: float) -> None:
        """Count money that was spent on an answer whose reader left before it could be recorded."""
        ...


class OpenDoor:
    """For one's own machine: no limits and no budget."""

    def open(self, cache_key: str, conversation_id: str, deadline: Deadline) -> Entry:  # noqa: ARG002
        return Entry(None)

    def over_budget(self) -> str:
        return ""

    def spent(self, usd: float) -> None:
        """Count nothing."""

    def left(self, usd: float) -> None:
        """Count nothing."""


OPEN_DOOR = OpenDoor()


@dataclass(frozen=True, slots=True)
class Started:
    """The first step: what is known before the first word."""

    answer_id: str
    rung: str
    degraded: tuple[str, ...]
    generation: str


@dataclass(frozen=True, slots=True)
class Text:
    """The next words of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that the answer stands on."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Finished:
    """The last step: the whole answer, where it was recorded, and what was dropped of it, by reason."""

    answer: Answer
    memory: str
    dropped: dict[str, int]
    cost_usd: float


Step = Started | Text | Cited | Finished
