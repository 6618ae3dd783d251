"""Joins the gate: golden questions asked of a new generation and of the live one, before the switch."""

from __future__ import annotations

import time
from collections.abc import Sequence

from shared.evaluation.evaluate import evaluate
from shared.evaluation.gate import worse
from shared.ingestion.parts import Gate
from shared.resilience.deadline import Deadline
from shared.retrieval.retriever import Retriever
from shared.wiring.golden import site_questions
from shared.wiring.parts import Parts

READ_SECONDS = 60.0


def golden_gate(parts: Parts) -> Gate:
    """Both are asked as readers ask them: each with the embedding model that it was made with."""

    def gate(candidate: str, live: str) -> Sequence[str]:
        golden = site_questions(parts, Deadline.after(READ_SECONDS))
        if golden is None:
            return ()
        alias = parts.settings.qdrant_alias
        retriever = Retriever(
            parts.vector_search, parts.embedder, time.monotonic, alias=alias, others=parts.embedder_of
        )
        new, old = (evaluate(retriever, golden, time.monotonic, collection=one) for one in (candidate, live))
        return worse(new, old, parts.settings.golden_margin)

    return gate
