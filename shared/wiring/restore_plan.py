"""Joins the plan of a restore: what it would do, with nothing written."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import PreconditionFailed
from shared.recovery.point import Manifest
from shared.recovery.restore import Part, Wanted
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring import vectors
from shared.wiring.backups import LIST_SECONDS, Say
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.restore import chosen, target_of, wished_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do. Sizes in bytes; ``filled`` are tables of the target that hold rows,
    ``live`` the collection that readers see, ``in_the_way`` why it does not give way without ``replace``.
    """

    manifest: Manifest
    parts: tuple[Part, ...]
    rows: int
    points: int
    bytes: int
    filled: tuple[str, ...]
    live: str
    in_the_way: str


def plan(settings: Settings, wanted: Wanted, say: Say = lambda _line: None) -> Plan:
    """What a restore would do; nothing is written. Errors: as
    :func:`~shared.wiring.restore.restore`.
    """
    deadline = Deadline.after(LIST_SECONDS)
    with Parts(settings) as parts:
        manifest = chosen(parts, wanted, say)
        wished = wanted.parts()
        counts = wished_of(manifest, wanted)
        filled = target_of(settings, wanted).filled(deadline) if "neon" in wished else []
        live, in_the_way = _index(parts, manifest, deadline) if "qdrant" in wished else ("", "")
    return Plan(
        manifest,
        wished,
        counts.get("neon", 0),
        counts.get("qdrant", 0),
        sum(manifest.parts[part].bytes for part in wished),
        tuple(filled),
        live,
        in_the_way,
    )


def _index(parts: Parts, manifest: Manifest, deadline: Deadline) -> tuple[str, str]:
    """The collection that readers see, and why it does not give way."""
    live = parts.vector_bulk.aliases(deadline).get(parts.settings.qdrant_alias, "")
    cipher = point_cipher(parts.settings, manifest.id)
    try:
        vectors.refuse_full(parts, manifest.parts["qdrant"], cipher, deadline)
    except PreconditionFailed as error:
        return live, error.detail
    return live, ""
