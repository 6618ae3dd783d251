"""The golden questions of the site that is served, from where the setting says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from shared.errors import Missing, SourceError
from shared.evaluation.golden import GoldenSet, read_golden
from shared.resilience.deadline import Deadline
from shared.wiring.buckets import small_store
from shared.wiring.parts import Parts

NEEDED = ("queries.jsonl", "qrels.tsv")
MOST_BYTES = 16 * 2**20


def site_questions(parts: Parts, deadline: Deadline) -> GoldenSet | None:
    """The questions that the setting ``golden_questions`` names, about pages of the index; None when it
    names none.

    Raises :class:`~shared.errors.SourceError` for files that are missing or wrong, or that bring documents
    of their own; what the bucket raises.
    """
    place = parts.settings.golden_questions
    if not place:
        return None
    found = _from_bucket(parts, place, deadline) if place.startswith("gs://") else read_golden(Path(place))
    if found.pages:
        raise SourceError(
            f"The golden questions in {place} bring documents of their own (docs.jsonl).",
            hint="Leave docs.jsonl out: these questions are asked of the site's own pages.",
        )
    return found


def _from_bucket(parts: Parts, place: str, deadline: Deadline) -> GoldenSet:
    address = urlsplit(place)
    store = small_store(f"gs://{address.netloc}", parts.settings, parts.http)
    prefix = address.path.strip("/")
    with TemporaryDirectory(prefix="lectern-golden-") as kept:
        folder = Path(kept) / (prefix.rpartition("/")[2] or address.netloc)
        folder.mkdir()
        for name in NEEDED:
            where = f"{prefix}/{name}".lstrip("/")
            try:
                size = store.stat(where, deadline).size
            except Missing as error:
                raise SourceError(
                    f"Golden questions: there is no {name} at {place}.",
                    hint="See docs/reference/golden-questions.md.",
                ) from error
            if size > MOST_BYTES:
                raise SourceError(
                    f"Golden questions: {place}/{name} has more than {MOST_BYTES >> 20} MiB.",
                    hint="Some hundred questions are enough.",
                )
            (folder / name).write_bytes(store.get(where, deadline)[0])
        return read_golden(folder)
