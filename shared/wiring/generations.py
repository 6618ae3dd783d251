"""Joins the generations of the index: what there is, and the way back."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from shared.errors import Missing
from shared.ingestion.run import Ingestion
from shared.ports import Generation
from shared.resilience.deadline import Deadline
from shared.retrieval.layout import Facts
from shared.settings import Settings
from shared.wiring.ingestion import ingestion
from shared.wiring.parts import Parts

READ_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A generation, newest first; ``facts`` is None when its collection is gone. ``serves`` says whether the
    alias, and so the readers, are on it.
    """

    generation: Generation
    facts: Facts | None
    serves: bool

    def as_json(self) -> dict[str, object]:
        model = self.facts.model if self.facts else ""
        there = self.facts is not None
        return {**asdict(self.generation), "model": model, "collection_exists": there, "serves": self.serves}


def listed(settings: Settings) -> list[Listed]:
    """Every generation that the ledger knows."""
    with Parts(settings) as parts:
        own = ingestion(parts).generations
        behind = parts.vector_search.aliases(Deadline.after(READ_SECONDS)).get(settings.qdrant_alias)
        return [Listed(one, own.facts(one.id), own.collection(one.id) == behind) for one in own.all()]


def rollback(settings: Settings, to: str = "") -> tuple[Generation, tuple[str, ...]]:
    """Send readers back to the generation before the live one, or to the one named ``to``, in one switch of
    the alias; the generation, and what went wrong with its lifeboat.

    Raises :class:`~shared.errors.Missing` when there is none to go back to.
    """
    with Parts(settings) as parts:
        own = ingestion(parts)
        target = _target(own, to)
        return target, own.go_back(target)


def _target(own: Ingestion, to: str) -> Generation:
    known = own.generations.all()
    if to:
        named = [one for one in known if one.id == to and one.status != "building"]
    else:
        live = next((place for place, one in enumerate(known) if one.status == "live"), len(known))
        named = [one for one in known[live + 1 :] if one.status == "retired"]
    found = next((one for one in named if own.generations.facts(one.id)), None)
    if found is None:
        what = f"there is no generation {to} that was live" if to else "none is kept before the live one"
        hint = (
            "`lectern generations list` shows all; the setting previous_generations says how many are kept."
        )
        raise Missing("qdrant", "go back to an earlier generation", what, hint=hint)
    return found
