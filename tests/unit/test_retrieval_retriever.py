"""The whole retrieval path on the real engine behind its loopback server."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.adapters.qdrant.admin import QdrantAdmin
from shared.adapters.qdrant.search import QdrantSearch
from shared.embedded.qdrant import EmbeddedQdrant
from shared.errors import Missing, Overloaded
from shared.evaluation.evaluate import evaluate
from shared.evaluation.golden import GoldenQuestion, GoldenSet
from shared.ingestion.build import build_collection
from shared.ingestion.markdown import read_markdown
from shared.ports import Condition, Embeddings
from shared.resilience.deadline import Deadline
from shared.retrieval.chunks import Page, key_of_page
from shared.retrieval.layout import LIVE_ALIAS
from shared.retrieval.retriever import Retriever
from shared.retrieval.tokens import term_counts

TEXTS = {
    "backup": "# Backups\nA backup is made every night.\n"
    "## Restore a backup\nRun `lectern restore` and wait.\n",
    "limits": "# Rate limits\nA reader may ask 60 questions a minute.\n"
    "## Change them\nSet `max_questions`.\n### Deep\n",
    "colours": "# Colours\nThe chat bubble takes the colours of the theme.\n",
}


class WordVectors:
    """A small real model: words hashed into 64 dimensions. ``fails`` makes it answer 503."""

    dimensions = 64

    def __init__(self, model: str = "words-64") -> None:
        self.model = model
        self.asked = 0
        self.fails = False

    def embed_query(self, text: str, deadline: Deadline) -> tuple[float, ...]:
        self.asked += 1
        if self.fails:
            raise Overloaded("words", "embed", "it is down")
        return self.embed_documents([text], deadline).vectors[0]

    def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Embeddings:  # noqa: ARG002 - the port's
        return Embeddings(tuple(map(self._vector, texts)), 0)

    def _vector(self, text: str) -> tuple[float, ...]:
        values = [0.0] * self.dimensions
        for term, count in term_counts(text).items():
            values[term % self.dimensions] += count
        size = math.hypot(*values) or 1.0
        return tuple(value / size for value in values)


@dataclass(frozen=True)
class Place:
    admin: QdrantAdmin
    search: QdrantSearch


class Seconds:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        EmbeddedQdrant(tmp_path_factory.mktemp("qdrant")) as server,
        QdrantAdmin(server.url) as admin,
        QdrantSearch(server.url) as search,
    ):
        yield Place(admin, search)


def pages(texts: dict[str, str] = TEXTS) -> list[Page]:
    versions = {"backup": "2.0"}
    return [
        read_markdown(text, url=f"https://docs/{name}", version=versions.get(name, "1.0"))
        for name, text in texts.items()
    ]


def build(
    place: Place, name: str, texts: dict[str, str] = TEXTS, *, model: WordVectors | None = None
) -> None:
    place.admin.drop(name, within())
    build_collection(place.admin, model, pages(texts), name, within())


def within() -> Deadline:
    return Deadline.after(30)


@pytest.fixture(scope="module")
def collection(place: Place) -> str:
    build(place, "module", model=WordVectors())
    return "module"


def test_the_best_passage_comes_first_with_its_link(place: Place, collection: str) -> None:
    """The answer would quote another passage, or link to the top of the page."""
    found = Retriever(place.search, WordVectors(), Seconds()).retrieve(
        "how do I restore backups?", within(), collection=collection
    )
    assert found.passages[0].chunk.link == "https://docs/backup#restore-a-backup"
    assert found.passages[0].chunk.text == "Run `lectern restore` and wait."
    assert found.pages[0].key == key_of_page("https://docs/backup")
    assert found.embedded
    assert found.cosine is not None
    assert found.coverage == pytest.approx(1.0)
    assert found.generation == collection


def test_headings_without_text_are_never_quoted(place: Place, collection: str) -> None:
    """A reader would get an empty quotation."""
    found = Retriever(place.search, None, Seconds()).retrieve("deep limits", within(), collection=collection)
    assert found.passages
    assert all(passage.chunk.text for passage in found.passages)


def test_a_version_is_asked_alone(place: Place, collection: str) -> None:
    """Answers for one version would quote another's pages."""
    retriever = Retriever(place.search, WordVectors(), Seconds())
    found = retriever.retrieve(
        "restore a backup", within(), collection=collection, conditions=(Condition("version", ("1.0",)),)
    )
    assert found.passages
    assert {passage.chunk.version for passage in found.passages} == {"1.0"}


def test_without_vectors_it_still_answers_and_says_so(place: Place, collection: str) -> None:
    """The way down would be closed while the embedding service is out."""
    model = WordVectors()
    model.fails = True
    retriever = Retriever(place.search, model, Seconds())
    with pytest.raises(Overloaded):
        retriever.retrieve("restore a backup", within(), collection=collection)
    found = retriever.retrieve("restore a backup", within(), collection=collection, dense=False)
    assert model.asked == 1
    assert not found.embedded
    assert found.cosine is None
    assert found.reasons == ("vectors were not asked for",)
    assert found.passages[0].chunk.anchor == "restore-a-backup"


def test_vectors_of_another_model_are_not_compared(place: Place, collection: str) -> None:
    """After a change of model, nearness would be noise and nobody would know."""
    other = WordVectors("other")
    found = Retriever(place.search, other, Seconds()).retrieve("restore", within(), collection=collection)
    assert other.asked == 0
    assert not found.embedded
    assert "words-64" in found.reasons[0]


@pytest.mark.parametrize("question", ["", "?!", "zzyzx qwxyz", "a" * 10_000, "\x00 \ud7ff"])
def test_questions_without_known_words_find_nothing_or_little(
    place: Place, collection: str, question: str
) -> None:
    """Such a question would fail in place of getting "the docs do not say"."""
    found = Retriever(place.search, None, Seconds()).retrieve(question, within(), collection=collection)
    assert found.passages == ()
    assert not found.decision().answerable


def test_a_switched_alias_is_followed_and_a_dropped_collection_survived(place: Place) -> None:
    """After an ingestion readers would get old answers, or errors, until a restart."""
    clock = Seconds()
    build(place, "first", {"a": "# One\nThe answer is red.\n"})
    build(place, "second", {"a": "# One\nThe answer is blue.\n"})
    retriever = Retriever(place.search, None, clock, alias_seconds=5)

    def answer() -> str:
        return retriever.retrieve("the answer", within()).passages[0].chunk.text

    with pytest.raises(Missing, match=LIVE_ALIAS) as caught:
        answer()
    assert "lectern ingest" in caught.value.hint
    place.admin.switch_alias(LIVE_ALIAS, "first", within())
    assert answer() == "The answer is red."
    place.admin.switch_alias(LIVE_ALIAS, "second", within())
    assert answer() == "The answer is red."
    clock.now = 6
    assert answer() == "The answer is blue."
    place.admin.switch_alias(LIVE_ALIAS, "first", within())
    place.admin.drop("second", within())
    assert answer() == "The answer is red."
    assert retriever.live_facts(within()).generation == "first"


def test_building_twice_gives_the_same_points(place: Place) -> None:
    """An index could not be compared with the one it was restored from."""
    model = WordVectors()
    build(place, "one", model=model)
    build(place, "two", dict(reversed(TEXTS.items())), model=model)
    one, two = (place.admin.scroll(name, within(), with_vectors=True).points for name in ("one", "two"))
    assert [point.id for point in one] == [point.id for point in two]
    assert [dict(point.vectors) for point in one] == [dict(point.vectors) for point in two]
    assert one[0].payload["statistics"] == two[0].payload["statistics"]


def test_scores_of_golden_questions_on_this_path(place: Place, collection: str) -> None:
    """A release that ranks worse would pass for one that ranks as before."""
    questions = (
        GoldenQuestion("1", "restore a backup", "userq", frozenset(), {"https://docs/backup": 1}),
        GoldenQuestion(
            "2", "backup at night", "anchor", frozenset({"https://docs/backup"}), {"https://docs/limits": 1}
        ),
        GoldenQuestion("3", "Colours", "anchor_nav", frozenset(), {"https://docs/backup": 1}),
        GoldenQuestion("4", "zzyzx qwxyz", "unanswerable", frozenset(), {}),
    )
    seen: list[tuple[str, int, int]] = []
    scores = evaluate(
        Retriever(place.search, WordVectors(), Seconds()),
        GoldenSet("toy", (), questions),
        Seconds(),
        collection=collection,
        progress=lambda *step: seen.append(step),
    )
    assert (scores.recall_at_5, scores.mrr_at_10, scores.ndcg_at_10, scores.queries) == (1.0, 1.0, 1.0, 2)
    assert scores.abstention.declined == 1.0
    assert seen[-1] == ("asking", 3, 3)


def test_a_path_is_a_page_of_whichever_site_is_asked(place: Place, collection: str) -> None:
    """Golden questions that lie beside the docs would have to name the host that they are published at."""
    questions = (
        GoldenQuestion("1", "restore a backup", "userq", frozenset(), {"/backup": 1}),
        GoldenQuestion("2", "backup at night", "userq", frozenset({"/backup"}), {"/limits": 1}),
        GoldenQuestion("3", "colours of the theme", "userq", frozenset(), {"https://elsewhere/colours": 1}),
    )
    golden = GoldenSet("toy", (), questions)
    scores = evaluate(
        Retriever(place.search, WordVectors(), Seconds()), golden, Seconds(), collection=collection
    )
    assert scores.recall_at_5 == pytest.approx(2 / 3)


def test_retrieval_loads_nothing_heavy() -> None:
    """A cold start would pay seconds for packages that a question does not need."""
    code = "import sys, shared.retrieval.retriever; print([m for m in %r if m in sys.modules])"
    heavy = (
        "numpy",
        "onnxruntime",
        "qdrant_client",
        "pydantic",
        "selectolax",
        "markdown_it",
        "yaml",
        "httpx",
    )
    root = Path(__file__).resolve().parents[2]
    out = subprocess.run(
        [sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, cwd=root, check=True
    )
    assert out.stdout.strip() == "[]"
