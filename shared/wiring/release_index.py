"""What a release must fit to: the generations of the index and the schema of the database."""

from __future__ import annotations

from dataclasses import replace

from shared.delivery.compatibility import Index, Migration, contracts, unsafe
from shared.delivery.deploying import Code
from shared.delivery.platform import Environment
from shared.errors import ReleaseRefused
from shared.ingestion.index_points import fingerprint
from shared.resilience.deadline import Deadline
from shared.settings import Settings
from shared.wiring.parts import Parts


class LedgerIndex:
    """Implements :class:`~shared.delivery.compatibility.IndexSwitch` with the ledger and Qdrant's alias."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._alias = parts.settings.qdrant_alias

    def look(self, deadline: Deadline) -> Index:
        live = self._parts.vector_search.aliases(deadline).get(self._alias, "").removeprefix(self._prefix)
        known = self._parts.ledger.generations(deadline)
        return Index(live, {one.id: one.fingerprint for one in known if one.status != "building"})

    def switch(self, generation: str, deadline: Deadline) -> None:  # noqa: ARG002 - it keeps its own time
        from shared.wiring import generations

        generations.rollback(self._parts.settings, generation)

    @property
    def _prefix(self) -> str:
        return f"{self._alias.removesuffix('-live')}-"


def code_of(parts: Parts, environment: Environment, deadline: Deadline) -> Code:
    """What this code needs, and what the database has. Where the database is not named, as on the machine of
    somebody who may only deploy, it is taken to have what the code needs.
    """
    files = migrations()
    schema = files[-1].name if files else ""
    has = max(parts.applied_migrations(deadline), default="") if parts.settings.database_url else schema
    return Code(schema, contracts(files), fingerprint(_model(parts.settings, environment)), has)


def _model(settings: Settings, environment: Environment) -> str:
    """The model that makes vectors where ingestion runs: a build does not have its Gemini key."""
    if "GEMINI_API_KEY" in environment.platform.functions["ingest"].secrets:
        settings = replace(settings, gemini_api_key=settings.gemini_api_key or "held by Secret Manager")
    with Parts(settings) as there:
        return there.embedder.model if there.embedder else ""


def migrations() -> list[Migration]:
    """The migrations of this code, in order."""
    from shared.adapters.neon.migrate import FOLDER

    return [
        Migration(path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    ]


def pending(parts: Parts, deadline: Deadline) -> list[Migration]:
    """The migrations that the database lacks."""
    applied = set(parts.applied_migrations(deadline))
    return [one for one in migrations() if one.name not in applied]


def check_expands(parts: Parts, stable_schema: str, deadline: Deadline) -> None:
    """Raise where the pending migrations would take something away from the code that readers are on. The
    first migrations of an empty database take nothing from anybody.
    """
    if not parts.applied_migrations(deadline):
        return
    problems = unsafe(pending(parts, deadline), stable_schema)
    if problems:
        raise ReleaseRefused(
            "These migrations cannot be applied now:\n" + "\n".join(f"  {line}" for line in problems),
            hint="Expand first, take away a release later: see docs/release/overview.md.",
        )
