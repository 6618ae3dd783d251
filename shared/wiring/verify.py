"""Joins the verification of a recovery point: only the bucket and the key are needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

from shared.errors import LecternError, Missing
from shared.recovery.catalogue import Catalogue, read_catalogue, write_mark
from shared.recovery.point import SERVICE, Manifest, read_point_id
from shared.recovery.progress import Watch, nobody
from shared.recovery.sealed import read_manifest
from shared.recovery.status import refresh_status
from shared.recovery.verify import Verified, verify_point
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.backups import LIST_SECONDS, Say, with_bucket
from shared.wiring.parts import Parts
from shared.wiring.point_cipher import point_cipher
from shared.wiring.vectors import patient

VERIFY_SECONDS = 6 * 3600.0


def verify(
    settings: Settings,
    point: str | None,
    watch: Watch = nobody,
    warn: Say = lambda _line: None,
) -> Verified:
    """Read a point (None: the newest that can be read) to its end and leave the result beside it.

    Errors: Missing (no such point, or none at all), Corrupt (its manifest), AccessDenied (no key, a wrong
    one), the bucket's. A result that cannot be left there is told to ``warn``.
    """
    with Parts(with_bucket(settings)) as parts:
        store = parts.point_store
        unreadable: list[str] = []
        manifest = chosen(parts, point, unreadable.append)
        cipher = point_cipher(settings, manifest.id)
        calls = patient(Deadline.after(VERIFY_SECONDS))
        found = verify_point(store, manifest, cipher, calls, clock=time.monotonic, watch=watch)
        try:
            word = "passed" if found.whole else "failed"
            body = asdict(found)
            soon = Deadline.after(LIST_SECONDS)
            write_mark(store, manifest.id, "verified", word, soon, body=body, now=time.time())
            refresh_status(store, time.time(), soon)
        except LecternError as error:
            warn(f"The result could not be left beside the point: {error}")
    return replace(found, passed_over=tuple(unreadable))


def chosen(parts: Parts, point: str | None, say: Callable[[str], object] = lambda _line: None) -> Manifest:
    """The manifest of a point, its seal checked; for None that of the newest point that can be read. Newer
    ones that cannot are told to ``say``.
    """
    return manifest_of(parts, chosen_id(parts, point, say))


def chosen_id(parts: Parts, point: str | None, say: Callable[[str], object] = lambda _line: None) -> str:
    """The id of the point that :func:`chosen` reads. Its seal is not checked yet."""
    if point:
        return read_point_id(point)
    known = read_catalogue(parts.point_store, Deadline.after(LIST_SECONDS))
    found = newest(known)
    for line in known.passed_over(found):
        say(line)
    return found


def manifest_of(parts: Parts, point: str) -> Manifest:
    """The manifest of the point with this id, its seal checked."""
    cipher = point_cipher(parts.settings, point)
    return read_manifest(parts.point_store, point, cipher, Deadline.after(LIST_SECONDS))


def newest(catalogue: Catalogue) -> str:
    """The id of the newest point that can be read. Raises Missing when there is none."""
    found = catalogue.newest()
    if found:
        return found.id
    problems = [f"{one.id}: {one.problem}" for one in catalogue.points]
    detail = "; ".join(["there is no recovery point", *problems])
    raise Missing(SERVICE, "find the newest point", detail, hint="`lectern backup` makes one.")
