"""The embedder port, on every implementation: the local model, Gemini over REST, Google's package.

With GEMINI_API_KEY the real service is one more implementation (and is billed, for a few words).
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.adapters.gemini.generativeai import GenerativeAIEmbedder
from shared.adapters.gemini.rest import GeminiEmbedder
from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.embedded.minilm import LocalEmbedder
from shared.errors import AccessDenied, DependencyError, Garbled, Missing, Throttled, TimedOut, Unreachable
from shared.ports import Embedder
from shared.resilience.deadline import Deadline
from tests.contract.gemini_faults import BOTH_PORTS, KEY, load_package
from tests.contract.qdrant_faults import http, peer

MODEL = "gemini-embedding-001"
Make = Callable[..., Any]
CLIENTS = {"rest": GeminiEmbedder, "generativeai": GenerativeAIEmbedder}
REAL_KEY = os.environ.get("GEMINI_API_KEY", "")


def soon() -> Deadline:
    return Deadline.after(20)


def dot(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGemini]:
    with FakeGemini(api_key=KEY) as fake:
        load_package(fake)
        yield fake


@pytest.fixture
def fake(server: FakeGemini) -> Iterator[FakeGemini]:
    server.seen.clear()
    yield server
    server.faults.clear()


@pytest.fixture(scope="module")
def local() -> LocalEmbedder:
    return LocalEmbedder()


@pytest.fixture(params=["local", *CLIENTS, *([f"real {name}" for name in CLIENTS] if REAL_KEY else [])])
def embedder(request: pytest.FixtureRequest, fake: FakeGemini, local: LocalEmbedder) -> Iterator[Embedder]:
    if request.param == "local":
        yield local
        return
    name = request.param.removeprefix("real ")
    real = name != request.param
    made = CLIENTS[name](REAL_KEY, MODEL) if real else CLIENTS[name](KEY, MODEL, base_url=fake.base_url)
    yield made
    made.close()


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest, fake: FakeGemini) -> Iterator[Make]:
    """Makes an embedder over the network, with any key, address and size."""
    made = []

    def make(key: str = KEY, model: str = MODEL, base_url: str = "", **options: Any) -> Embedder:
        made.append(CLIENTS[request.param](key, model, base_url=base_url or fake.base_url, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ---------------------------------------------------------------- results


def test_one_unit_vector_a_text_in_order(embedder: Embedder) -> None:
    """Passages would be found under other passages' meaning."""
    texts = ["restore a backup", "colours of the sidebar", "restore a backup"]
    vectors = embedder.embed_documents(texts, soon()).vectors
    assert len(vectors) == 3
    assert all(len(one) == embedder.dimensions for one in vectors)
    assert all(abs(math.hypot(*one) - 1) < 1e-5 for one in vectors)
    assert dot(vectors[0], vectors[2]) > 0.999
    assert dot(vectors[0], vectors[1]) < 0.95


def test_a_question_is_nearest_to_the_passage_that_answers_it(embedder: Embedder) -> None:
    """Search by meaning would return anything."""
    query = embedder.embed_query("How do I restore a backup?", soon())
    near, far = embedder.embed_documents(
        ["To restore a backup, name the recovery point.", "The sidebar has three colours."], soon()
    ).vectors
    assert dot(query, near) > dot(query, far)


def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    """A page without passages would stop an ingestion."""
    found = embedder.embed_documents([], soon())
    assert (found.vectors, found.tokens) == ((), 0)


def test_the_model_has_a_name_that_stays(embedder: Embedder) -> None:
    """Vectors of two models would be compared, or an index rebuilt at each start."""
    assert embedder.model == embedder.model
    assert str(embedder.model).strip()


def test_a_used_up_deadline_is_kept(embedder: Embedder) -> None:
    """A reader whose time is over would wait for the rest of a search."""
    with pytest.raises(TimedOut):
        embedder.embed_query("hello", Deadline.after(0))


def test_broken_characters_do_not_matter(embedder: Embedder) -> None:
    """Half an emoji in a question would be answered with an error."""
    assert len(embedder.embed_query("restore \ud83d this", soon())) == embedder.dimensions


# ---------------------------------------------------------------- over the network


def test_more_than_a_batch_goes_in_batches(client: Make, fake: FakeGemini) -> None:
    """The service refuses more than 100 texts at once: ingestion would fail on the first real site."""
    texts = [f"passage number{n}" for n in range(205)]
    found = client(dimensions=64).embed_documents(texts, soon())
    assert [len(one.body["requests"]) for one in fake.seen] == [100, 100, 5]
    assert found.vectors[204] == client(dimensions=64).embed_documents(texts[204:], soon()).vectors[0]
    assert found.tokens > 205


def test_questions_and_passages_say_what_they_are(client: Make, fake: FakeGemini) -> None:
    """The model embeds questions and passages differently; recall drops when it is not told."""
    client().embed_query("a", soon())
    client().embed_documents(["a"], soon())
    tasks = [one.body["requests"][0]["taskType"] for one in fake.seen]
    assert [
        {3: "RETRIEVAL_QUERY", 1: "RETRIEVAL_QUERY", 2: "RETRIEVAL_DOCUMENT"}.get(t, t) for t in tasks
    ] == [
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
    ]


def test_the_second_generation_is_told_in_words(client: Make, fake: FakeGemini) -> None:
    """gemini-embedding-2 has no task field; it reads the task before the text."""
    client(model="gemini-embedding-2").embed_query("a b", soon())
    request = fake.seen[-1].body["requests"][0]
    assert "taskType" not in request
    assert request["content"]["parts"][0]["text"] == "task: search result | query: a b"


def test_both_clients_make_the_same_vectors(fake: FakeGemini) -> None:
    """Changing GEMINI_CLIENT would silently mix two kinds of vectors in one index."""
    made = [kind(KEY, MODEL, base_url=fake.base_url) for kind in CLIENTS.values()]
    assert made[0].model == made[1].model == "gemini-embedding-001/768"
    first, second = (one.embed_query("restore a backup", soon()) for one in made)
    assert dot(first, second) > 0.999999
    for one in made:
        one.close()


@pytest.mark.parametrize("fault", BOTH_PORTS)
def test_a_failing_service_is_told_apart(client: Make, fake: FakeGemini, fault: str) -> None:
    """The next rung, the retry and the message to the operator depend on what went wrong."""
    cause, expected = BOTH_PORTS[fault]
    fake.faults.next(cause)
    started = time.monotonic()
    with pytest.raises(DependencyError) as caught:
        client().embed_query("hello", Deadline.after(0.5))
    assert type(caught.value) is expected
    assert caught.value.retryable
    assert caught.value.hint
    assert time.monotonic() - started < 1.5


def test_the_services_own_delay_is_passed_on(client: Make, fake: FakeGemini) -> None:
    """Retrying sooner than the service asked burns the quota for everybody."""
    fake.faults.next(
        Fault(status=429, retry_delay="7.5s"), Fault(status=429, retry_after="3"), Fault(status=429)
    )
    delays = []
    for _ in range(3):
        with pytest.raises(Throttled) as caught:
            client().embed_query("hello", soon())
        delays.append(caught.value.retry_after)
    assert delays == [7.5, 3.0, None]


def test_a_cut_answer_is_not_half_an_answer(client: Make, fake: FakeGemini) -> None:
    """Some of the passages would be indexed with the vectors of others."""
    fake.faults.next(Fault(cut_after=0))
    with pytest.raises(Unreachable):
        client().embed_documents(["hello", "there"], soon())


@pytest.mark.parametrize(
    "body", [b"[]", b"[1]", b'"text"', b"5", b"{}", b'{"embeddings": 5}', b'{"embeddings": [5]}']
)
def test_json_of_another_form_is_garbled(client: Make, body: bytes) -> None:
    """Whatever answers at a wrong address would end an ingestion in a stack trace."""
    with peer(http("200 OK", body, "Content-Type: application/json")) as url, pytest.raises(Garbled):
        client(base_url=url).embed_query("hello", soon())


def test_nobody_there(client: Make) -> None:
    """A wrong address would look like a slow service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            client(base_url=f"http://127.0.0.1:{free.getsockname()[1]}").embed_query("hello", soon())


@pytest.mark.parametrize("key", ["wrong-key", "", "line\nbreak", "clé"])
def test_a_wrong_key_is_named_and_never_shown(client: Make, key: str) -> None:
    """The operator would look for a network fault, or find the key in the logs."""
    with pytest.raises(AccessDenied, match="GEMINI_API_KEY") as caught:
        client(key=key).embed_query("hello", soon())
    assert not key or key not in str(caught.value)


def test_the_key_is_in_no_address(client: Make, fake: FakeGemini) -> None:
    """Addresses end in the logs of every proxy on the way."""
    client().embed_query("hello", soon())
    assert KEY not in fake.seen[-1].path
    assert fake.seen[-1].headers["x-goog-api-key"] == KEY


def test_a_model_that_does_not_exist(client: Make) -> None:
    """A mistyped model would be retried for ever."""
    with pytest.raises(Missing, match="gemini_embedding_model"):
        client(model="no-such-model").embed_query("hello", soon())


@pytest.mark.parametrize(
    "fault",
    [Fault(vectors="short"), Fault(vectors="fewer"), Fault(vectors="zero"), Fault(vectors="nan")],
    ids=lambda fault: fault.vectors,
)
def test_vectors_that_cannot_be_used_are_refused(client: Make, fake: FakeGemini, fault: Fault) -> None:
    """An index would be filled with points that no search finds, or with another passage's vector."""
    fake.faults.next(fault)
    with pytest.raises(Garbled):
        client().embed_documents(["a", "b"], soon())
