"""Joins the configuration part of a recovery point."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from shared.answering.answers import EXTRACTIVE, NOT_FOUND
from shared.answering.extractive import choose
from shared.errors import LecternError, Missing, PreconditionFailed, SettingsError, SourceError
from shared.ports import Embeddings, VectorSearch
from shared.recovery.commit import committed, whole_records
from shared.recovery.configuration import (
    NO_KEY,
    PART,
    Configuration,
    ConfigurationFacts,
    write_configuration,
)
from shared.recovery.crypto import PointCipher
from shared.recovery.golden import Ask, GoldenAnswer, Reply
from shared.recovery.point import SERVICE, PartRecord
from shared.resilience.deadline import Deadline
from shared.retrieval.retriever import Retriever
from shared.settings import Settings, declarations, secret_references
from shared.wiring.deployed import Deployed, outputs_in
from shared.wiring.golden import site_questions
from shared.wiring.parts import Parts

MOST_QUESTIONS = 200
TITLES = 20
"""Pages whose titles are asked when no golden questions are configured."""
QUESTION_SECONDS = 30.0
_HIDDEN = "(set)"
_WITHOUT = "golden questions are kept without vectors, and a drill compares the search by words alone"

Export = Callable[[str, str, Deadline], PartRecord]
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Extras:
    """What a backup may bring along: a file of `terraform output -json` in place of the one in the bucket;
    the values of secrets, which are only ever written encrypted.
    """

    terraform: Path | None = None
    with_secrets: bool = False


def configuration_export(
    parts: Parts,
    cipher: PointCipher | None,
    running: Deployed,
    extras: Extras = Extras(),
    say: Say = lambda _line: None,
) -> Export:
    """An export of the part ``config`` for :class:`~shared.recovery.cutting.Cutting`. Raises
    :class:`~shared.errors.SettingsError` at once for ``extras`` that cannot be brought along.
    """
    terraform = outputs_in(extras.terraform) if extras.terraform else running.terraform
    if extras.with_secrets and cipher is None:
        raise SettingsError([NO_KEY])

    def export(point: str, attempt: str, deadline: Deadline) -> PartRecord:
        version = parts.ledger_clock.version(deadline)
        configuration = Configuration(
            settings=shown_settings(parts.settings),
            release=running.release,
            terraform=terraform,
            secrets=secret_references(parts.settings.environment),
            values=_values(parts.settings) if extras.with_secrets else {},
            golden=golden_answers(parts, deadline, say),
        )
        return write_configuration(
            parts.point_store,
            cipher,
            configuration,
            deadline,
            point=point,
            attempt=attempt,
            ledger_version=version,
        )

    return export


def refuse_without(parts: Parts, point: str, extras: Extras, deadline: Deadline) -> None:
    """Raise PreconditionFailed for ``extras`` that would not get into the point, because it has its
    configuration already: what is cut is not cut again.
    """
    if not (extras.terraform or extras.with_secrets):
        return
    manifest = committed(parts.point_store, point, deadline)
    record = manifest.parts.get(PART) if manifest else _cut_before(parts, point, deadline)
    if not (manifest or record):
        return
    lacks = []
    if extras.with_secrets and not (record and record.facts(ConfigurationFacts).secret_values):
        lacks.append("values of secrets (--with-secrets)")
    if extras.terraform and not (
        record and any(one.name.endswith("/terraform.json") for one in record.objects)
    ):
        lacks.append("Terraform's outputs (--terraform)")
    if lacks:
        raise PreconditionFailed(
            SERVICE,
            f"cut {point}",
            f"its configuration was cut before, without {' and '.join(lacks)}",
            hint="Leave that out, or cut another point: leave --point out.",
        )


def _cut_before(parts: Parts, point: str, deadline: Deadline) -> PartRecord | None:
    """The record that a backup which goes on takes as it is."""
    version = parts.ledger_clock.version(deadline)
    found = whole_records(parts.point_store, point, PART, deadline)[-1:]
    return next((one for one in found if one.ledger_version == version), None)


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Every setting in force; of secrets only whether they are set."""
    secrets = {item.name for item in declarations() if item.secret}
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    return {name: (_HIDDEN if value else "") if name in secrets else value for name, value in values.items()}


def _values(settings: Settings) -> dict[str, str]:
    found = {item.env: str(getattr(settings, item.name)) for item in declarations() if item.secret}
    return {name: value for name, value in found.items() if value}


# ---------------------------------------------------------------- golden questions


def golden_answers(parts: Parts, deadline: Deadline, say: Say = lambda _line: None) -> list[GoldenAnswer]:
    """The site's golden questions, or without any the titles of its largest pages, with their vectors and
    what is answered now; empty before the first ingestion.

    An embedding service that is down leaves the vectors out: a backup does not wait for it.
    """
    try:
        facts = Retriever(
            parts.vector_search, None, time.monotonic, alias=parts.settings.qdrant_alias
        ).live_facts(deadline)
    except Missing:
        return []
    questions = _questions(parts, deadline, say)
    vectors = _vectors(parts, facts.model, [text for _, text in questions], deadline, say)
    ask = asking(parts.vector_search, parts.settings.qdrant_alias, facts.model)
    answers = []
    for (identity, text), vector in zip(questions, vectors, strict=True):
        reply = ask(text, vector)
        answers.append(GoldenAnswer(identity, text, vector, reply.kind, reply.links))
    return answers


def _questions(parts: Parts, deadline: Deadline, say: Say) -> list[tuple[str, str]]:
    """The site's own; a backup does not end for want of them."""
    try:
        golden = site_questions(parts, deadline)
    except SourceError as error:
        say(f"titles are asked in place of golden questions: {error}")
        golden = None
    if golden:
        return [(one.id, one.text) for one in golden.questions][:MOST_QUESTIONS]
    return [(f"title of {url}", title) for title, url in parts.memory.titles(TITLES, deadline)]


def _vectors(
    parts: Parts, model: str, texts: list[str], deadline: Deadline, say: Say
) -> list[tuple[float, ...]]:
    if not model or not texts:
        return [() for _ in texts]
    try:
        embedder = parts.embedder_of(model)
        if embedder is None:
            say(f"{_WITHOUT}: nothing here embeds as {model} does, the model of the index (GEMINI_API_KEY)")
            return [() for _ in texts]
        return [tuple(embedder.embed_query(text, deadline.within(QUESTION_SECONDS))) for text in texts]
    except LecternError as error:
        say(f"{_WITHOUT}: {error}")
        return [() for _ in texts]


class StoredVectors:
    """An :class:`~shared.ports.Embedder` that knows the vectors of some questions and calls nobody."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.known: dict[str, tuple[float, ...]] = {}

    @property
    def dimensions(self) -> int:
        return len(next(iter(self.known.values()), ()))

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:  # noqa: ARG002 - nothing is called
        return self.known[text]

    def embed_documents(self, texts: object, deadline: Deadline) -> Embeddings:
        raise NotImplementedError("passages are never embedded from stored vectors")


def asking(vectors: VectorSearch, alias: str, model: str) -> Ask:
    """Answers from an index by passages alone, as :meth:`AnswerService` does without a language model."""
    stored = StoredVectors(model)
    retriever = Retriever(vectors, stored, time.monotonic, alias=alias)

    def ask(text: str, vector: tuple[float, ...]) -> Reply:
        stored.known[text] = vector
        found = retriever.retrieve(text, Deadline.after(QUESTION_SECONDS), dense=bool(vector), limit=12)
        cited = choose([one.chunk for one in found.passages]) if found.decision().answerable else ()
        return Reply(EXTRACTIVE if cited else NOT_FOUND, tuple(one.url for one in cited))

    return ask
