"""What a collection looks like: its vectors, what a passage's payload holds, and its reserved point.

Everything that a question needs is in the collection itself, so that retrieval depends on nothing but
Qdrant: the reserved point carries the frozen statistics and the facts of the generation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.errors import Garbled
from shared.ports import CollectionSpec, Point
from shared.retrieval.chunks import STATISTICS_ID, Chunk
from shared.retrieval.statistics import Statistics

PASSAGES = "passages"
"""Sparse: the BM25 weights of a passage's words."""
HEADINGS = "headings"
"""Sparse, on each page's first passage: the BM25 weights of the page's title and headings."""
DENSE = "dense"
"""Dense, cosine: the meaning of a passage's prose."""

LIVE_ALIAS = "lectern-live"
_HINT = "Run ingestion again: it builds a new generation."


def collection_name(alias: str, generation: str) -> str:
    """The collection of a generation behind ``alias``."""
    return f"{alias.removesuffix('-live')}-{generation}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a generation was made with. ``model`` is empty and ``dimensions`` 0 without vectors."""

    generation: str
    fingerprint: str
    model: str = ""
    dimensions: int = 0


def collection_spec(dimensions: int) -> CollectionSpec:
    """The vectors of a collection; ``dimensions`` 0 makes one without dense vectors."""
    return CollectionSpec(
        dense={DENSE: dimensions} if dimensions else {},
        sparse=(PASSAGES, HEADINGS),
        indexed=("url", "version", "locale"),
    )


def payload_of(chunk: Chunk) -> dict[str, Any]:
    """What is quoted, linked and filtered by; read back by :func:`chunk_of`."""
    return {
        "url": chunk.page_url,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "anchor": chunk.anchor,
        "text": chunk.text,
        "position": chunk.position,
        "version": chunk.version,
        "locale": chunk.locale,
    }


def chunk_of(point: Point) -> Chunk:
    """The passage of a point; its ``prose`` is not stored and is empty.

    Raises :class:`~shared.errors.Garbled` for a payload of another form.
    """
    payload = point.payload
    try:
        return Chunk(
            id=point.id,
            page_url=_text(payload, "url"),
            title=_text(payload, "title"),
            headings=tuple(str(heading) for heading in payload["headings"]),
            anchor=_text(payload, "anchor"),
            text=_text(payload, "text"),
            prose="",
            position=int(payload["position"]),
            version=_text(payload, "version"),
            locale=_text(payload, "locale"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled(
            "qdrant", "reading a passage", f"point {point.id} has a wrong {error}", hint=_HINT
        ) from error


def statistics_point(statistics: Statistics, facts: Facts) -> Point:
    """The reserved point, without vectors: no search ever finds it."""
    data = base64.b64encode(statistics.encode()).decode("ascii")
    return Point(STATISTICS_ID, {}, {"statistics": data, "facts": asdict(facts)})


def read_statistics(point: Point) -> tuple[Statistics, Facts]:
    """What :func:`statistics_point` wrote. Raises :class:`~shared.errors.Garbled` for anything else."""
    try:
        data = base64.b64decode(_text(point.payload, "statistics"), validate=True)
        facts = point.payload["facts"]
        read = Facts(
            _text(facts, "generation"),
            _text(facts, "fingerprint"),
            _text(facts, "model"),
            int(facts["dimensions"]),
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Garbled(
            "qdrant", "reading the statistics point", f"it has a wrong {error}", hint=_HINT
        ) from error
    return Statistics.decode(data), read


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value
