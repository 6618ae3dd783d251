"""Joins the evaluation of citations: golden questions answered as a reader would be, and wrong sentences put
before the same check.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.answering.answers import Citation
from shared.answering.extractive import choose, cite
from shared.answering.generated import Draft, write
from shared.answering.prompts import SYSTEM, answer_prompt
from shared.answering.proof import Idf, Proof
from shared.answering.sentences import split
from shared.errors import SourceError
from shared.evaluation.citations import IDENTIFIER, NUMBER, Corruptor, Shown, citation_scores
from shared.evaluation.golden import GoldenQuestion, GoldenSet, read_golden
from shared.evaluation.scores import auroc, mean
from shared.ports import Generator
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Chunk
from shared.retrieval.results import Retrieval
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring.evaluate import Progress, own_index
from shared.wiring.parts import Parts

SEED = 20261122
QUESTION_SECONDS = 60.0
PASSAGES_ASKED = 24
"""More than a reader's question asks for: dropping the excluded pages leaves as many as they would get."""
PASSAGES_KEPT = 8
OTHER_QUESTIONS = 100
FEWEST_WORDS = 5


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, its retrieval, and the passages that may be cited for it."""

    question: GoldenQuestion
    found: Retrieval
    chunks: tuple[Chunk, ...]


def run(settings: Settings, folder: Path, others: Path | None, progress: Progress) -> dict[str, Any]:
    """Scores of the citations of a golden folder with documents; ``others`` holds another site's questions.

    Raises :class:`~shared.errors.SourceError` for a folder without documents.
    """
    golden = read_golden(folder)
    if not golden.pages:
        raise SourceError(
            f"{folder} has no docs.jsonl.", hint="Citations are scored on documents that are known."
        )
    foreign = _other_questions(others) if others else []
    with Parts(settings) as parts, own_index(parts, golden, folder, progress) as collection:
        retriever = Retriever(parts.vector_search, parts.embedder, time.monotonic)
        asked = [one for one in golden.questions if one.scored]
        total = len(asked) + len(foreign)
        mine: list[_Asked] = []
        strange: list[Retrieval] = []
        for question in (*asked, *foreign):
            found = retriever.retrieve(question.text, _soon(), collection=collection, limit=PASSAGES_ASKED)
            if len(mine) < len(asked):
                mine.append(_Asked(question, found, _citable(question, found, golden)))
            else:
                strange.append(found)
            progress.asking(len(mine) + len(strange), total)
        with _writer(parts) as (generator, name):
            generated = citation_scores([_generated(one, generator, golden) for one in mine])
    return {
        "extractive": citation_scores([_extractive(one, golden) for one in mine]).as_json(),
        "generated": {"writer": name, **generated.as_json()},
        "check": _check(mine),
        "abstention": _abstention([one.found for one in mine], strange),
    }


def _other_questions(folder: Path) -> list[GoldenQuestion]:
    scored = [one for one in read_golden(folder).questions if one.scored]
    return random.Random(SEED).sample(scored, min(OTHER_QUESTIONS, len(scored)))  # noqa: S311 - a sample


def _citable(question: GoldenQuestion, found: Retrieval, golden: GoldenSet) -> tuple[Chunk, ...]:
    """What a reader's retrieval would hold if the pages that the question was taken from did not exist."""
    urls = golden.urls()
    excluded = {urls[one] for one in question.exclude}
    chunks = [one.chunk for one in found.passages if one.chunk.page_url not in excluded]
    return tuple(chunks[:PASSAGES_KEPT])


# ---------------------------------------------------------------- answers


def _extractive(asked: _Asked, golden: GoldenSet) -> Shown:
    return Shown(asked.question, _documents(choose(asked.chunks), golden))


def _generated(asked: _Asked, generator: Generator, golden: GoldenSet) -> Shown:
    passages = choose(asked.chunks)
    draft = Draft()
    if passages:
        proof = Proof(passages, asked.found.idf, private=SYSTEM)
        for _ in write(generator, answer_prompt(asked.question.text, passages), proof, draft, _soon()):
            pass
    # An answer of which nothing is left steps down to the passages, as a reader's does.
    citations = draft.citations or (() if draft.declined else passages)
    documents = _documents(citations, golden)
    return Shown(asked.question, documents, draft.sentences, draft.supported, draft.dropped)


def _documents(citations: Sequence[Citation], golden: GoldenSet) -> tuple[str, ...]:
    names = {url: name for name, url in golden.urls().items()}
    return tuple(names[citation.url.partition("#")[0]] for citation in citations)


@contextmanager
def _writer(parts: Parts) -> Iterator[tuple[Generator, str]]:
    """The configured language model, or the stand-in that quotes the first sentence of each passage."""
    if parts.generators:
        yield parts.generators[0], parts.generators[0].model
        return
    from shared.adapters.gemini.rest import GeminiGenerator
    from shared.embedded.fake_gemini import FakeGemini

    with FakeGemini(api_key=None) as fake:
        made = GeminiGenerator("stand-in", "gemini-stand-in", base_url=fake.base_url)
        with closing(made):
            yield made, "stand-in"


# ---------------------------------------------------------------- the check itself


def _check(asked: Sequence[_Asked]) -> dict[str, Any]:
    """True sentences of the passages, the same under another passage of their answer, and the same with a
    number or an identifier swapped.
    """
    idf: Idf = asked[0].found.idf
    dice = random.Random(SEED)  # noqa: S311 - a sample
    chunks = {chunk.id: chunk for one in asked for chunk in one.chunks}
    told = [(chunk, text) for _, chunk in sorted(chunks.items()) for text in _prose(chunk)]
    corruptor = Corruptor([text for _, text in told], dice)
    picked = [(chunk, text) for chunk, text in told if _supported(chunk, text, idf)]
    wrong_passage = [_supported(dice.choice(told)[0], text, idf) for _, text in picked]
    return {
        "true_sentences": {"count": len(told), "supported": round(len(picked) / len(told), 4)},
        "random_passage": {"count": len(wrong_passage), "refused": round(1 - _share(wrong_passage), 4)},
        **{f"swapped_{kind}": _swapped(picked, corruptor, kind, idf) for kind in (NUMBER, IDENTIFIER)},
    }


def _swapped(
    picked: Sequence[tuple[Chunk, str]], corruptor: Corruptor, kind: str, idf: Idf
) -> dict[str, Any]:
    passed = [
        _supported(chunk, made.text, idf)
        for chunk, text in picked
        if (made := corruptor.corrupt(text, kind)) is not None
    ]
    return {"count": len(passed), "caught": round(1 - _share(passed), 4)}


def _prose(chunk: Chunk) -> list[str]:
    sentences = [text.strip() for text in split(chunk.text) if "```" not in text]
    return [text for text in sentences if len(text.split()) >= FEWEST_WORDS]


def _supported(chunk: Chunk, sentence: str, idf: Idf) -> bool:
    return Proof([cite(1, chunk)], idf).check(f"{sentence} [1]").supported


def _share(values: Sequence[bool]) -> float:
    return mean([float(value) for value in values])


def _abstention(mine: Sequence[Retrieval], others: Sequence[Retrieval]) -> dict[str, Any]:
    own, foreign = ([one.decision() for one in some] for some in (mine, others))
    told = auroc([one.confidence for one in own], [one.confidence for one in foreign])
    return {
        "other_questions": len(foreign),
        "auroc": None if told is None else round(told, 4),
        "answered": round(_share([one.answerable for one in own]), 4),
        "declined": round(1 - _share([one.answerable for one in foreign]), 4) if foreign else None,
    }


def _soon() -> Deadline:
    return Deadline.after(QUESTION_SECONDS)
