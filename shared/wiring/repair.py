"""Joins the repair of the live generation: for the command line, and before each ingestion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import Missing, RequestError
from shared.ingestion.examination import Diagnosis, Examiner, Progress, RepairPorts
from shared.ingestion.inspection import Finding
from shared.ingestion.repair import Repair, Repaired
from shared.ingestion.steps import STEP_SECONDS, Steps
from shared.resilience.deadline import Deadline
from shared.retrieval.layout import collection_name, read_statistics
from shared.settings import Settings
from shared.wiring import upkeep
from shared.wiring.parts import Parts

if TYPE_CHECKING:
    from shared.ports import PackedPoint

Say = Callable[[str], object]
FORGET_SECONDS = 30.0
POINT_SECONDS = 3600.0
SHOWN = 20
"""Findings of each kind that a report for a person names; JSON has all."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was found, what was done about it (None when nothing was), and whether all is well now."""

    found: Diagnosis
    repaired: Repaired | None
    healthy: bool
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For machines: every finding by kind."""
        seen = self.found.inspection
        return {
            "generation": self.found.generation,
            "collection": self.found.collection,
            "checked": seen.checked,
            "missing": [asdict(one) for one in seen.missing],
            "altered": [asdict(one) for one in seen.altered],
            "extra": [asdict(one) for one in seen.extra],
            "stale_passages": list(seen.stale),
            "unknown_pages": list(seen.unknown),
            "pending_pages": list(seen.pending),
            "reserved_point": self.found.reserved_problem,
            "repaired": asdict(self.repaired) if self.repaired else None,
            "healthy": self.healthy,
            "seconds": self.seconds,
        }

    def lines(self) -> Iterator[str]:
        """For a person: findings page by page, then what was done."""
        seen = self.found.inspection
        yield f"{seen.checked} passages of generation {self.found.generation} compared."
        if self.found.reserved_problem:
            yield f"the reserved point: {self.found.reserved_problem}"
        for kind, findings in (("missing", seen.missing), ("altered", seen.altered), ("extra", seen.extra)):
            yield from _shown(kind, findings)
        for kind, urls in (
            ("passages in Postgres differ", seen.stale),
            ("the ledger does not know the passages", seen.unknown),
            ("an ingestion has begun to write", seen.pending),
        ):
            yield from (f"{kind}: {url}" for url in urls[:SHOWN])
            if len(urls) > SHOWN:
                yield f"{kind}: {len(urls) - SHOWN} more pages"
        if self.repaired:
            yield from _done(self.repaired)
        yield "Nothing is missing or damaged." if self.healthy else "The index is not whole."


def _shown(kind: str, findings: Sequence[Finding]) -> Iterator[str]:
    for one in findings[:SHOWN]:
        yield f"{kind}: {one.url or 'a point without a page'} ({one.id}): {one.problem}"
    if len(findings) > SHOWN:
        yield f"{kind}: {len(findings) - SHOWN} more"


def _done(repaired: Repaired) -> Iterator[str]:
    made = repaired.from_point + repaired.from_postgres
    if made or repaired.removed or repaired.passages or repaired.reserved:
        yield (
            f"{made} points made again ({repaired.from_point} from the recovery point, "
            f"{repaired.from_postgres} from Postgres, {repaired.embedded} texts embedded), "
            f"{repaired.removed} removed, passages of {len(repaired.passages)} pages written again."
        )
    for url in repaired.left[:SHOWN]:
        yield f"left to the next ingestion: {url}"
    if len(repaired.left) > SHOWN:
        yield f"left to the next ingestion: {len(repaired.left) - SHOWN} more pages"


def repair(
    settings: Settings,
    *,
    only_look: bool = False,
    point: str | None = None,
    progress: Progress = lambda _what, _done, _total: None,
    say: Say = lambda _line: None,
) -> RepairReport:
    """Look at the live generation and repair it. ``point`` names a recovery point (``latest``: the newest) to
    take points from. Errors: those of the ports, of the bucket and its key; ``Missing`` as for
    :class:`~shared.ingestion.examination.Examiner`.
    """
    started = time.monotonic()
    with Parts(settings) as parts, _lease(parts, say):
        examiner, mender = _joined(parts)
        found = examiner.diagnose(progress)
        repaired = None
        if not only_look and not found.healthy:
            recorded = _recorded(parts, point, found, say) if point else iter(())
            # Not every repair writes to the ledger, and a backup must not go on with what it read before.
            parts.ledger_clock.step(_soon())
            repaired = mender.mend(found, recorded, progress)
        healthy = found.healthy if repaired is None else examiner.diagnose(progress).healthy
    return RepairReport(found, repaired, healthy, round(time.monotonic() - started, 3))


def from_site(
    settings: Settings,
    report: RepairReport,
    site: str,
    base_url: str,
    *,
    writing: Callable[[int, int], object],
    say: Say,
) -> RepairReport:
    """Let ingestion write the pages that are left, from ``site`` or, when it is empty, from where the last
    run read the live site; the report with what is to be said then.
    """
    from shared.wiring import ingestion

    live = ingestion.live_generation(settings)
    assert live, "it was live a moment ago"
    last = next((run for run in ingestion.runs(settings) if run.source == live.source), None)
    place = site or (last.place if last else "") or settings.site_folder
    if not place or not ("://" in place or Path(place).exists()):
        say("Pages are left that only the site holds. Next: lectern ingest PATH, or repair with --site PATH.")
        return report
    say(f"{len(report.repaired.left) if report.repaired else 0} pages are read again from {place}.")
    address = base_url or (last.base_url if last and not site else settings.site_base_url)
    wanted = ingestion.Wanted(place, address, live.source)
    ingestion.execute(settings, wanted, ingestion.Hooks(writing=writing, refused=say))
    now = repair(settings, only_look=True)
    return replace(report, healthy=now.healthy, seconds=round(report.seconds + now.seconds, 3))


def heal(parts: Parts, say: Say) -> None:
    """Before an ingestion: when the index does not hold as many points as the ledger knows, find out which,
    and repair them. What cannot be repaired is pending then, and the ingestion writes it.
    """
    live = next(
        (one for one in parts.ledger.generations(_soon()) if one.status == "live"),
        None,
    )
    if live is None:
        return
    try:
        there = parts.vector_bulk.count(collection_name(parts.settings.qdrant_alias, live.id), _soon())
        if there == live.chunks + 1:
            return
        with _lease(parts, say):
            examiner, mender = _joined(parts)
            found = examiner.diagnose()
            # A generation from before the ledger knew passages is left as it is.
            known = replace(found, inspection=replace(found.inspection, unknown=()))
            if not known.healthy:
                say(f"The index of generation {live.id} is damaged and is repaired; see `lectern repair`.")
                parts.ledger_clock.step(_soon())
                mender.mend(known)
    except Missing:
        return  # the collection or what it is made with is gone: ingestion builds another


def _joined(parts: Parts) -> tuple[Examiner, Repair]:
    ports = RepairPorts(
        parts.ledger,
        parts.chunk_ledger,
        parts.vector_bulk,
        parts.vector_search,
        parts.passage_store,
        parts.full_text,
    )
    steps = Steps(time.monotonic)

    def stale(urls: Sequence[str]) -> None:
        if urls:
            upkeep.forget_pages(parts, urls, Deadline.after(FORGET_SECONDS))

    examiner = Examiner(ports, steps, alias=parts.settings.qdrant_alias)
    return examiner, Repair(ports, parts.embedder, steps, stale=stale)


@contextmanager
def _lease(parts: Parts, say: Say) -> Iterator[None]:
    wait = parts.settings.ingest_wait_seconds
    limit = Deadline.after(wait + STEP_SECONDS)
    with parts.ledger.lease(limit, "", wait_seconds=wait, waiting=lambda who: say(f"waiting: {who}")):
        yield


def _soon() -> Deadline:
    return Deadline.after(STEP_SECONDS)


def _recorded(parts: Parts, point: str, found: Diagnosis, say: Say) -> Iterator[PackedPoint]:
    """The points of a recovery point, once all of it was read and found whole."""
    from shared.recovery.vectors import VectorFacts
    from shared.recovery.vectors_check import check_vectors, recorded_points
    from shared.wiring.point_cipher import point_cipher
    from shared.wiring.vectors import patient
    from shared.wiring.verify import chosen

    newest = None if point == "latest" else point
    manifest = chosen(parts, newest, lambda line: say(f"passed over: {line}"))
    record = manifest.parts["qdrant"]
    facts, own = record.facts(VectorFacts), read_statistics(found.reserved)[1]
    if (facts.generation, facts.fingerprint) != (own.generation, own.fingerprint):
        raise RequestError(
            409,
            "other_generation",
            f"Recovery point {manifest.id} holds generation {facts.generation or 'none'}, "
            f"live is {own.generation}: its vectors do not fit.",
            hint="Leave --from-point out, or restore the whole point.",
        )
    limit = Deadline.after(POINT_SECONDS)
    cipher = point_cipher(parts.settings, manifest.id)
    check_vectors(record, parts.point_store, cipher, patient(limit))
    return recorded_points(record, parts.point_store, cipher, patient(limit))
