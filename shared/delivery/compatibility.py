"""Which releases can stand beside or behind each other. Pure.

The rule: a release works with the schema and the generation of the one before it. So migrations expand before
the canary, and take away only what no release in use still needs: a migration that takes something away says
so in its first line, ``-- contract: 0006``, the oldest schema whose code runs without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from shared.delivery.release import Release
from shared.resilience.deadline import Deadline

_CONTRACT = re.compile(r"^-- contract: ([0-9]{4})\b", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_MARK = "begin it with `-- contract: NNNN`, the oldest schema whose code runs without it"
_TAKES_AWAY = (
    (r"\bDROP\s+(TABLE|COLUMN|VIEW|FUNCTION|TYPE|SCHEMA)\b", "drops something"),
    (r"\bRENAME\b", "renames something"),
    (r"\bALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE\b", "changes the type of a column"),
    (r"\bSET\s+NOT\s+NULL\b", "forbids NULL"),
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name without ``.sql``, and its text."""

    name: str
    sql: str

    @property
    def number(self) -> str:
        return self.name[:4]

    @property
    def contract(self) -> str:
        """The oldest schema whose code runs after it; empty when it takes nothing away."""
        found = _CONTRACT.search(self.sql)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Index:
    """``live`` is the generation that readers are answered from; ``fingerprints`` those of all that exist."""

    live: str
    fingerprints: Mapping[str, str] = field(default_factory=dict)


class IndexSwitch(Protocol):
    """The generations of the index. Errors are those of the ledger and of Qdrant."""

    def look(self, deadline: Deadline) -> Index:
        """What is there."""
        ...

    def switch(self, generation: str, deadline: Deadline) -> None:
        """Answer readers from this generation."""
        ...


def contracts(migrations: Iterable[Migration]) -> str:
    """The oldest schema whose code runs once all are applied; empty when nothing is taken away."""
    return max((one.contract for one in migrations), default="")


def unsafe(pending: Iterable[Migration], stable_schema: str) -> list[str]:
    """Why migrations must not be applied while code with ``stable_schema`` answers readers ("" when unknown):
    a line for each problem.
    """
    lines = []
    for one in pending:
        bare = _TEXT.sub("''", _COMMENT.sub(" ", one.sql))
        found = [words for pattern, words in _TAKES_AWAY if re.search(pattern, bare, re.IGNORECASE)]
        if found and not one.contract:
            what = " and ".join(found)
            lines.append(f"{one.name} {what} and does not say since when no code needs it: {_MARK}")
        elif one.contract and one.contract > (stable_schema or "9999")[:4]:
            lines.append(
                f"{one.name} takes away what code older than schema {one.contract} needs, "
                f"and readers are on code with schema {stable_schema[:4]}: apply it a release later"
            )
    return lines


@dataclass(frozen=True, slots=True)
class Return:
    """Whether readers can go back to a release: ``problems`` forbid it; ``generation`` is what the index must
    be switched to (empty: nothing to switch); ``notes`` are worth knowing.
    """

    problems: tuple[str, ...] = ()
    generation: str = ""
    notes: tuple[str, ...] = ()


def may_return(
    target: Release, serving: Release, index: Index | None, *, database_contracts: str = ""
) -> Return:
    """Whether the set can go back from ``serving`` to ``target``. ``index`` is needed only where their
    fingerprints differ; None when it could not be asked. ``database_contracts`` is what migrations of
    releases that did not stay took away.
    """
    taken = max(serving.contracts, database_contracts)
    if taken and target.schema and taken > target.schema[:4]:
        words = f"release {target.id} was made for schema {target.schema[:4]}, and migrations took away what "
        return Return((f"{words}code older than {taken} needs",))
    if not needs_index(target, serving):
        return Return()
    if index is None:
        return Return(notes=(f"the index could not be asked whether generation {target.generation} is live",))
    if index.fingerprints.get(index.live) == target.fingerprint:
        return Return()
    known = index.fingerprints.get(target.generation)
    if known is None:
        words = f"release {target.id} reads generation {target.generation} of the index, which is gone; "
        return Return((f"{words}live is {index.live}",))
    return Return(generation=target.generation)


def needs_index(target: Release, serving: Release) -> bool:
    """Whether going back may need another generation of the index."""
    return bool(target.generation) and target.fingerprint != serving.fingerprint


def may_follow(candidate: Release, database: str, stable: Release | None) -> list[str]:
    """Why a candidate must not be tried: it needs a newer schema than ``database`` has, or its migrations
    took away what stable needs.
    """
    lines = []
    if candidate.schema > database:
        lines.append(f"it needs schema {candidate.schema}, and the database has {database or 'none'}")
    if stable and stable.schema and candidate.contracts > stable.schema[:4]:
        lines.append(
            f"its migrations take away what code older than schema {candidate.contracts} needs, and stable "
            f"{stable.id} was made for {stable.schema[:4]}"
        )
    return lines
