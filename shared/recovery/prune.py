"""Carries out what retention decided.

A point's manifest goes first: from that moment there is no point, and what a killed pass leaves are parts
without a manifest, which the next pass removes. A manifest that may not be removed keeps its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import AccessDenied, DependencyError, Missing, PreconditionFailed, Rejected
from shared.ports import ObjectInfo, ObjectStore
from shared.recovery.catalogue import newest_mark
from shared.recovery.point import PREFIX, manifest_name
from shared.recovery.retention import Decision
from shared.resilience.deadline import Deadline

_REFUSALS = (AccessDenied, PreconditionFailed, Rejected)


@dataclass(frozen=True, slots=True)
class Pruned:
    """Ids that are gone, and lines about what the bucket would not let go (a retention policy, a hold)."""

    removed: tuple[str, ...]
    objects: int
    bytes: int
    refused: tuple[str, ...]


def prune(
    store: ObjectStore,
    decisions: Sequence[Decision],
    deadline: Deadline,
    progress: Callable[[str], None] = lambda _line: None,
) -> Pruned:
    """Remove the points and orphans that are not to be kept. What the bucket refuses to delete is told in the
    result and does not stop the rest; other errors of the store are raised.
    """
    removed: list[str] = []
    refused: list[str] = []
    objects = size = 0
    for decision in decisions:
        if decision.keep:
            continue
        progress(f"removing {decision.id}: {decision.reasons[0]}")
        gone, problems = _remove(store, decision, deadline)
        refused += problems
        objects += len(gone)
        size += sum(info.size for info in gone)
        if not problems:
            removed.append(decision.id)
    return Pruned(tuple(removed), objects, size, tuple(refused))


def _remove(store: ObjectStore, decision: Decision, deadline: Deadline) -> tuple[list[ObjectInfo], list[str]]:
    infos = list(store.list(f"{PREFIX}{decision.id}/", deadline))
    manifest = next((info for info in infos if info.name == manifest_name(decision.id)), None)
    problem = _changed(decision, infos, manifest)
    if problem:
        return [], [f"{decision.id} is left: {problem}"]
    gone: list[ObjectInfo] = []
    problems: list[str] = []
    for info in sorted(infos, key=lambda one: one is not manifest):
        try:
            store.delete(info.name, deadline, if_generation_match=info.generation)
        except Missing:
            continue  # another pass was faster
        except _REFUSALS as error:
            problems.append(_line(info.name, error))
            if info is manifest:
                break
        else:
            gone.append(info)
    return gone, problems


def _changed(decision: Decision, infos: Sequence[ObjectInfo], manifest: ObjectInfo | None) -> str:
    """Why what was decided a moment ago is not right any more; empty when it still is."""
    mark = newest_mark(infos, "holds")
    if mark and mark.word == "on":
        return "it was put on hold meanwhile"
    if decision.orphan and manifest:
        return "it was committed meanwhile"
    if decision.orphan and any(info.updated > decision.at for info in infos):
        return "a backup is at work on it"
    return ""


def _line(name: str, error: DependencyError) -> str:
    return f"{name} stays: {error.detail}"
