"""Golden questions in a recovery point: asked when it is cut, and again of what was restored from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

LEAST_SAME = 0.95
"""Share of answers that must be the same: Qdrant's own search is approximate in a large collection, so
another engine may rank the last places otherwise."""


class GoldenAnswer(msgspec.Struct, frozen=True):
    """A golden question with what was answered.

    ``vector`` is the question's, so that no embedding service is needed to ask it again; empty for an index
    without vectors. ``kind`` is extractive or not_found; ``links`` are the citations' addresses, best first.
    """

    id: str
    text: str
    vector: tuple[float, ...]
    kind: str
    links: tuple[str, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Answers before and after: ``asked`` questions, ``same`` of them with the same kind and first link;
    ``differing`` says in words which ones are not; ``without_vectors`` were asked by their words alone.
    """

    asked: int
    same: int
    differing: tuple[str, ...]
    without_vectors: int = 0

    @property
    def good(self) -> bool:
        """Whether enough are the same; with no question there is nothing to be wrong."""
        return self.same >= LEAST_SAME * self.asked


@dataclass(frozen=True, slots=True)
class Reply:
    """What one question was answered with."""

    kind: str
    links: tuple[str, ...]


Ask = Callable[[str, tuple[float, ...]], Reply]
"""A question and its vector to an answer."""


def asked(questions: Sequence[GoldenAnswer], ask: Ask) -> Comparison:
    """Ask every question again and compare. Raises what ``ask`` raises."""
    differing = [line for one in questions if (line := _difference(one, ask(one.text, one.vector)))]
    return Comparison(
        len(questions),
        len(questions) - len(differing),
        tuple(differing),
        sum(not one.vector for one in questions),
    )


def _difference(before: GoldenAnswer, now: Reply) -> str:
    if before.kind != now.kind:
        return f"{before.id}: {before.kind} before, {now.kind} now"
    if before.links[:1] != now.links[:1]:
        return f"{before.id}: {_first(before.links)} before, {_first(now.links)} now"
    return ""


def _first(links: Sequence[str]) -> str:
    return links[0] if links else "no link"
