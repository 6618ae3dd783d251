"""The generator port, on both clients of Gemini, and on the real service with GEMINI_API_KEY."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.adapters.gemini.generativeai import GenerativeAIGenerator
from shared.adapters.gemini.prices import Prices
from shared.adapters.gemini.rest import GeminiGenerator
from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.errors import (
    AccessDenied,
    Blocked,
    Cancelled,
    DependencyError,
    Garbled,
    Interrupted,
    LecternError,
    Missing,
    Overloaded,
    Throttled,
    TimedOut,
    Unreachable,
)
from shared.ports import Generator, Piece, Prompt, Turn
from shared.resilience.deadline import Deadline
from tests.contract.gemini_faults import BOTH_PORTS, KEY, load_package
from tests.contract.qdrant_faults import http, peer

MODEL = "gemini-3.5-flash-lite"
PRICES = Prices(0.30, 2.50)
CLIENTS = {"rest": GeminiGenerator, "generativeai": GenerativeAIGenerator}
REAL_KEY = os.environ.get("GEMINI_API_KEY", "")
REAL = [f"real {name}" for name in CLIENTS] if REAL_KEY else []
HELLO = Prompt("Answer in one line.", (Turn("user", "Say héllo to the world, then stop."),))
Make = Callable[..., Any]


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGemini]:
    with FakeGemini(api_key=KEY) as fake:
        load_package(fake)
        yield fake


@pytest.fixture
def fake(server: FakeGemini) -> Iterator[FakeGemini]:
    server.seen.clear()
    server.left.clear()
    yield server
    server.faults.clear()


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest, fake: FakeGemini) -> Iterator[Make]:
    made = []

    def make(key: str = KEY, model: str = MODEL, base_url: str = "") -> Any:
        address = base_url or fake.base_url
        made.append(CLIENTS[request.param](key, model, base_url=address, prices=PRICES))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=[*CLIENTS, *REAL])
def generator(request: pytest.FixtureRequest, fake: FakeGemini) -> Iterator[Generator]:
    kind = CLIENTS[request.param.removeprefix("real ")]
    if request.param in REAL:
        made = kind(REAL_KEY, MODEL, prices=PRICES)
    else:
        made = kind(KEY, MODEL, base_url=fake.base_url, prices=PRICES)
    yield made
    made.close()


def collect(generator: Any, seconds: float = 20, prompt: Prompt = HELLO) -> tuple[str, LecternError | None]:
    """The text that arrived and the error that ended it."""
    text = ""
    try:
        for piece in generator.stream(prompt, Deadline.after(seconds)):
            text += piece.text
    except LecternError as error:
        return text, error
    return text, None


# ---------------------------------------------------------------- results


def test_the_answer_comes_in_pieces_the_last_with_usage(generator: Generator) -> None:
    """A reader would see nothing until the end, and nobody what it cost."""
    pieces = list(generator.stream(HELLO, soon()))
    assert "".join(piece.text for piece in pieces)
    costs = [piece.usage.cost_usd for piece in pieces if piece.usage]
    assert costs == sorted(costs)
    usage = pieces[-1].usage
    assert usage is not None
    assert usage.input_tokens > 5
    assert usage.output_tokens > 0
    expected = (usage.input_tokens * 0.30 + usage.output_tokens * 2.50) / 1e6
    assert usage.cost_usd == pytest.approx(expected)
    assert pieces[-1].finish_reason == "STOP"


def test_an_answer_that_was_too_long_is_an_answer(generator: Generator) -> None:
    """A long answer would be thrown away as an error instead of shown as far as it goes."""
    long = Prompt(
        "", (Turn("user", "Count " + "one two three four five six seven " * 5),), max_output_tokens=5
    )
    pieces = list(generator.stream(long, soon()))
    assert pieces[-1].finish_reason == "MAX_TOKENS"


def test_system_and_turns_arrive_as_they_are(client: Make, fake: FakeGemini) -> None:
    """The model would answer without its instruction, or take its own words for the reader's."""
    turns = (Turn("user", "one"), Turn("model", "two"), Turn("user", "three \ud83d"))
    text, error = collect(client(), prompt=Prompt("be brief", turns, max_output_tokens=77, temperature=0.25))
    assert (text, error) == ("echo: three ?", None)
    body = fake.seen[-1].body
    instruction = body.get("systemInstruction") or body["system_instruction"]
    assert instruction["parts"][0]["text"] == "be brief"
    assert [one["role"] for one in body["contents"]] == ["user", "model", "user"]
    assert body["generationConfig"]["maxOutputTokens"] == 77
    assert body["generationConfig"]["temperature"] == 0.25


def test_letters_of_any_language_survive_the_stream(client: Make, fake: FakeGemini) -> None:
    """Characters would break where the network happened to split them."""
    said = 'ünïcödé 漢字 🚀 quote" brace} bracket] back\\slash'
    fake.faults.next(Fault(trickle=True))
    text, error = collect(client(), prompt=Prompt("", (Turn("user", said),)))
    assert (text, error) == (f"echo: {said}", None)


def test_pieces_arrive_while_the_rest_is_written(client: Make, fake: FakeGemini) -> None:
    """The first word would come with the last one."""
    fake.faults.next(Fault(endless=True, chunk_delay=0.02))
    pieces = client().stream(HELLO, soon())
    first = [next(pieces) for _ in range(3)]
    assert all(isinstance(piece, Piece) and piece.text for piece in first)
    pieces.close()


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("fault", BOTH_PORTS)
def test_a_failing_service_is_told_apart(client: Make, fake: FakeGemini, fault: str) -> None:
    """The next rung, the retry and the message to the operator depend on what went wrong."""
    cause, expected = BOTH_PORTS[fault]
    fake.faults.next(cause)
    started = time.monotonic()
    text, error = collect(client(), 0.5)
    assert type(error) is expected
    assert isinstance(error, DependencyError)
    assert error.retryable
    assert error.hint
    assert text == ""
    assert time.monotonic() - started < 1.5


def test_the_services_own_delay_is_passed_on(client: Make, fake: FakeGemini) -> None:
    """Retrying sooner than the service asked burns the quota for everybody."""
    fake.faults.next(
        Fault(status=429, retry_delay="7.5s"), Fault(status=429, retry_after="3"), Fault(status=429)
    )
    errors = [collect(client())[1] for _ in range(3)]
    assert [error.retry_after for error in errors if isinstance(error, Throttled)] == [7.5, 3.0, None]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(endless=True, chunk_delay=0.05), "echo: Say "),
        (Fault(endless=True), "echo: Say "),
        (Fault(chunk_delay=5), "echo: Say "),
    ],
    ids=["drips for ever", "pours for ever", "stops half way"],
)
def test_the_deadline_holds_between_pieces(client: Make, fake: FakeGemini, fault: Fault, text: str) -> None:
    """A stream that never ends would hold a reader, a thread and a bill for ever."""
    fake.faults.next(fault)
    started = time.monotonic()
    said, error = collect(client(), 0.5)
    assert type(error) is TimedOut
    assert said.startswith(text)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("fault", [Fault(cut_after=2), Fault(end_after=2)], ids=["cut", "ended early"])
def test_a_stream_that_ends_early_is_not_an_answer(client: Make, fake: FakeGemini, fault: Fault) -> None:
    """Half an answer would be shown, cited and kept as a whole one."""
    fake.faults.next(fault)
    text, error = collect(client())
    assert type(error) is Interrupted
    assert text == "echo: Say héllo to "


@pytest.mark.parametrize("after", [0, 2])
def test_an_error_in_the_stream_is_an_error(client: Make, fake: FakeGemini, after: int) -> None:
    """The service's apology, or nothing at all, would pass for the end of the answer."""
    fake.faults.next(Fault(error_after=after))
    text, error = collect(client())
    # Google's package drops the object and leaves an empty chunk, so only that much is known there.
    assert isinstance(error, (Overloaded, Interrupted))
    assert isinstance(error, Overloaded) or "generativeai" in type(client()).__module__
    assert error.retryable
    assert "overloaded" not in text


@pytest.mark.parametrize(
    "fault", [Fault(blocked_prompt="SAFETY"), Fault(blocked_prompt="BLOCKLIST")], ids=str
)
def test_a_withheld_question_says_why(client: Make, fake: FakeGemini, fault: Fault) -> None:
    """A refusal would look like an empty answer, and be retried."""
    fake.faults.next(fault)
    text, error = collect(client())
    assert type(error) is Blocked
    assert fault.blocked_prompt in error.detail
    assert "question" in error.detail
    assert not error.retryable
    assert text == ""


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "OTHER"])
def test_a_withheld_answer_says_why(client: Make, fake: FakeGemini, reason: str) -> None:
    """An answer that a filter stopped half way would be shown as complete."""
    fake.faults.next(Fault(blocked_answer=reason))
    _, error = collect(client())
    assert type(error) is Blocked
    assert reason in error.detail


@pytest.mark.parametrize("key", ["wrong-key", "", "line\nbreak", "clé"])
def test_a_wrong_key_is_named_and_never_shown(client: Make, key: str) -> None:
    """The operator would look for a network fault, or find the key in the logs."""
    _, error = collect(client(key=key))
    assert type(error) is AccessDenied
    assert "GEMINI_API_KEY" in error.hint
    assert not error.retryable
    assert not key or key not in str(error)


def test_the_key_is_in_no_address(client: Make, fake: FakeGemini) -> None:
    """Addresses end in the logs of every proxy on the way."""
    collect(client())
    assert KEY not in fake.seen[-1].path
    assert fake.seen[-1].headers["x-goog-api-key"] == KEY


def test_a_model_that_does_not_exist(client: Make) -> None:
    """A mistyped model would be retried for ever."""
    _, error = collect(client(model="no-such-model"))
    assert type(error) is Missing
    assert "gemini_model" in error.hint


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/html"])
@pytest.mark.parametrize("body", [b'{"answer": 5}', b"[5]", b'"text"', b"<p>Welcome</p>"])
def test_an_answer_of_another_form_is_no_answer(client: Make, body: bytes, kind: str) -> None:
    """Whatever answers at a wrong address would be shown as an answer, or end in a stack trace."""
    sent = b"data: " + body + b"\n\n" if kind == "text/event-stream" else body
    with peer(http("200 OK", sent, f"Content-Type: {kind}")) as url:
        text, error = collect(client(base_url=url))
    assert isinstance(error, (Garbled, Interrupted))
    assert text == ""


def test_nobody_there(client: Make) -> None:
    """A wrong address would look like a slow service."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        _, error = collect(client(base_url=f"http://127.0.0.1:{free.getsockname()[1]}"))
    assert type(error) is Unreachable


def test_a_used_up_deadline_asks_nobody(client: Make, fake: FakeGemini) -> None:
    """Tokens would be paid for an answer that nobody waits for."""
    _, error = collect(client(), 0)
    assert type(error) is TimedOut
    assert not fake.seen


# ---------------------------------------------------------------- stopping


def test_closing_hangs_up_at_once(client: Make, fake: FakeGemini) -> None:
    """The service would go on writing, and billing, after the reader left."""
    fake.faults.next(Fault(endless=True, chunk_delay=0.02))
    pieces = client().stream(HELLO, soon())
    next(pieces)
    pieces.close()
    assert fake.left.wait(1)
    assert list(pieces) == []


def test_another_thread_can_stop_a_wait(client: Make, fake: FakeGemini) -> None:
    """A reader who leaves while the model thinks would hold a thread until the deadline."""
    fake.faults.next(Fault(chunk_delay=15))
    pieces = client().stream(HELLO, soon())
    next(pieces)
    ended: list[object] = []

    def wait() -> None:
        try:
            list(pieces)
        except LecternError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with contextlib.suppress(TimeoutError):
        thread.join(0.2)
    pieces.close()
    thread.join(1)
    assert not thread.is_alive()
    assert [type(one) for one in ended] == [Cancelled]


def test_a_client_serves_again_after_each_fault(client: Make, fake: FakeGemini) -> None:
    """One bad answer would spoil the connection for the readers after it."""
    made = client()
    for fault in (Fault(cut_after=1), Fault(malformed=True), Fault(status=503), Fault(error_after=1)):
        fake.faults.next(fault)
        assert collect(made)[1] is not None
        assert collect(made)[1] is None


def test_many_threads_share_one_client(client: Make) -> None:
    """Readers would get each other's answers."""
    made = client()
    said: dict[int, str] = {}

    def ask(number: int) -> None:
        said[number] = collect(made, prompt=Prompt("", (Turn("user", f"number {number}"),)))[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert said == {number: f"echo: number {number}" for number in range(8)}
