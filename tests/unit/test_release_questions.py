"""What a candidate is asked, and what its answers show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared.adapters.identity_tokens import IdentityTokens
from shared.delivery.observations import Asked
from shared.errors import AccessDenied, DependencyError, Garbled, Overloaded, Rejected, Unreachable
from shared.evaluation.golden import GoldenQuestion
from shared.resilience.deadline import Deadline
from shared.wiring.release_questions import Credentials, HttpProbes, HttpQuestions, asked, questions_of
from tests.fakes.cloud_run import FakeCloudRun, RunError
from tests.fakes.cloud_run.local import Tokens

ABOUT = GoldenQuestion("q", "How?", "userq", frozenset(), {"/docs/a": 1})
ELSEWHERE = GoldenQuestion("q", "How?", "userq", frozenset(), {"https://docs.example.com/docs/a": 1})
ODD = GoldenQuestion("u", "Which visa?", "unanswerable", frozenset(), {})
NOBODY_KNOWS = GoldenQuestion("g", "How?", "general", frozenset(), {})


def body(
    kind: str = "generated", urls: tuple[str, ...] = ("/docs/a#b",), degraded: tuple[str, ...] = ()
) -> Any:
    return {"kind": kind, "citations": [{"url": url} for url in urls], "degraded": list(degraded)}


@pytest.mark.parametrize(
    ("question", "answer", "right", "cited"),
    [
        (ABOUT, body(), True, True),
        (ABOUT, body(urls=("/docs/b#c", "/docs/a")), True, True),
        (ABOUT, body(urls=("https://docs.example.com/docs/a#b",)), True, True),
        (ELSEWHERE, body(urls=("https://docs.example.com/docs/a#b",)), True, True),
        (ELSEWHERE, body(urls=("https://other.example.com/docs/a",)), False, True),
        (ABOUT, body(urls=("/docs/b",)), False, True),
        (ABOUT, body(urls=()), False, False),
        (ABOUT, body("not_found", ()), False, True),
        (ODD, body("not_found", ()), True, True),
        (ODD, body(), False, True),
        (NOBODY_KNOWS, body(), None, True),
    ],
)
def test_an_answer_is_right_when_it_cites_the_page_or_rightly_declines(
    question: GoldenQuestion, answer: Any, right: bool | None, cited: bool
) -> None:
    """Wrong answers would pass for right ones, or honest ones for wrong."""
    found = asked(question, 200, 0.5, answer)
    assert (found.right, found.cited, found.status) == (right, cited, 200)


@pytest.mark.parametrize(
    "answer", [None, [], "It's running!", {"kind": "generated"}, {"citations": [], "degraded": []}]
)
def test_what_is_no_answer_counts_as_none(answer: Any) -> None:
    """Google's sample page would pass for an answer."""
    assert asked(ABOUT, 200, 0.5, answer) == Asked("q", 0, 0.5)


def test_each_release_asks_in_an_order_of_its_own() -> None:
    """The same few questions would be asked of each release, and the others never."""
    golden = [GoldenQuestion(str(number), "?", "userq", frozenset(), {}) for number in range(50)]
    first, second = questions_of(golden, "abc1234"), questions_of(golden, "def5678")
    assert sorted(one.id for one in first) == sorted(one.id for one in second)
    assert first != second
    assert first == questions_of(golden, "abc1234")
    assert len(questions_of(None, "abc1234")) >= 3


class Canned:
    """A service behind httpx, without a socket: answers by path, and keeps what it was sent."""

    def __init__(self, **answers: list[httpx.Response]) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        waiting = self.answers[request.url.path.strip("/")]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def client(canned: Canned) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(canned))


def test_questions_leave_no_trace_and_name_who_asks() -> None:
    """A release's questions would be recorded as readers', or be refused where chat is not public."""
    canned = Canned(chat=[httpx.Response(200, json=body())])
    credentials = Credentials(lambda audience, _deadline: f"token of {audience}", "https://chat", "key")
    with client(canned) as http:
        questions = HttpQuestions(http, [ABOUT], credentials)
        pair = questions.ask("https://c---chat", "https://stable---chat", Deadline.after(5))
        questions.close()
    assert pair.candidate.right
    assert pair.stable.right
    assert {request.url.host for request in canned.requests} == {"c---chat", "stable---chat"}
    for request in canned.requests:
        assert request.headers["Cache-Control"] == "no-store"
        assert request.headers["Authorization"] == "Bearer token of https://chat"
        assert request.headers["X-Api-Key"] == "key"


def test_a_candidate_that_warms_up_is_waited_for() -> None:
    """A good candidate would be condemned for being asked a second too early."""
    warming = httpx.Response(503, json={"error": {"code": "warming_up"}})
    canned = Canned(live=[httpx.Response(200)], ready=[warming, httpx.Response(200)])
    with client(canned) as http:
        probes = HttpProbes(http, lambda _audience, _deadline: "", lambda _name: "https://own")
        assert probes("lectern-chat", "https://c---own", Deadline.after(5)) == ""
        assert "has no address" in probes("lectern-chat", "", Deadline.after(5))
        canned.answers["ready"] = [httpx.Response(503, text="no database")]
        assert "GET /ready answered 503: no database" in probes(
            "lectern-chat", "https://c---own", Deadline.after(5)
        )


# ------------------------------------------------------------ identity tokens


@pytest.fixture
def api() -> Iterator[FakeCloudRun]:
    with FakeCloudRun(Tokens()) as made:
        yield made


@pytest.fixture
def tokens(api: FakeCloudRun) -> Iterator[IdentityTokens]:
    with httpx.Client(trust_env=False) as http:
        yield IdentityTokens(http, "lectern-release@p", token=lambda _deadline: "t", endpoint=api.endpoint)


def test_a_token_is_asked_for_once_for_each_audience(api: FakeCloudRun, tokens: IdentityTokens) -> None:
    """Each probe would cost another call, or a token would open the wrong service."""
    first = tokens("https://a", Deadline.after(5))
    assert tokens("https://a", Deadline.after(5)) == first
    assert tokens("https://b", Deadline.after(5)) != first
    assert len(api.requests) == 2
    assert "lectern-release@p:generateIdToken" in api.requests[0]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (RunError(403, "no"), AccessDenied),
        (RunError(404, "who"), Rejected),
        (RunError(503, "busy"), Overloaded),
        ("cut", Unreachable),
        ("garbage", Garbled),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_faults_are_errors_of_ours(
    api: FakeCloudRun, tokens: IdentityTokens, fault: RunError | str, kind: type[DependencyError]
) -> None:
    """A release would end in a stack trace instead of naming the role that is missing."""
    api.faults.append(fault)
    with pytest.raises(kind) as caught:
        tokens("https://a", Deadline.after(5))
    assert "OpenIdTokenCreator" in caught.value.hint or kind is not AccessDenied
