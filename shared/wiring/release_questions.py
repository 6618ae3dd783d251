"""What a candidate is asked: golden questions over HTTP, the same to both at the same time, and its
probes.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from shared.delivery.observations import Asked, Pair
from shared.errors import LecternError
from shared.evaluation.golden import UNANSWERABLE, GoldenQuestion
from shared.resilience.deadline import Deadline

# Neither answered from the cache nor kept in it nor recorded: readers' answers and figures stay theirs.
_HEADERS = {"Cache-Control": "no-store", "User-Agent": "lectern-release"}
_DEFAULT = ("How do I get started?", "How do I install it?", "What are the settings?", "What went wrong?")
_NOT_FOUND = "not_found"
_ALIVE_PATHS = ("/live", "/ready")
_WARM_SECONDS = 1.0

Token = Callable[[str, Deadline], str]
"""``(audience, deadline)`` -> a bearer token; empty where none is needed."""


def questions_of(golden: Sequence[GoldenQuestion] | None, seed: str) -> list[GoldenQuestion]:
    """The golden questions in an order of their own for each release, so that all of them get their turn; a
    few general ones, about which nobody knows what is right, where there are none.
    """
    if not golden:
        return [
            GoldenQuestion(f"general-{n}", text, "general", frozenset(), {})
            for n, text in enumerate(_DEFAULT)
        ]
    mixed = list(golden)
    random.Random(seed).shuffle(mixed)  # noqa: S311 - an order, no secret
    return mixed


@dataclass(frozen=True, slots=True)
class Credentials:
    """``audience`` is chat's own address, whichever tag is asked; ``api_key`` is for access by key."""

    token: Token
    audience: str
    api_key: str = ""

    def headers(self, deadline: Deadline) -> dict[str, str]:
        bearer = self.token(self.audience, deadline)
        key = {"X-Api-Key": self.api_key} if self.api_key else {}
        return {**_HEADERS, **key, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}


class HttpQuestions:
    """Implements :class:`~shared.delivery.watching.Questions`."""

    def __init__(
        self, client: httpx.Client, questions: Sequence[GoldenQuestion], credentials: Credentials
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._next = itertools.cycle(questions)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="question")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, candidate_url: str, stable_url: str, deadline: Deadline) -> Pair:
        question = next(self._next)
        candidate = self._pool.submit(self._one, candidate_url, question, deadline)
        stable = self._pool.submit(self._one, stable_url, question, deadline)
        return Pair(candidate.result(), stable.result())

    def _one(self, url: str, question: GoldenQuestion, deadline: Deadline) -> Asked:
        started = time.perf_counter()
        try:
            answer = self._client.post(
                f"{url}/chat",
                json={"question": question.text},
                headers=self._credentials.headers(deadline),
                timeout=deadline.remaining(),
            )
            seconds = time.perf_counter() - started
            body = answer.json() if answer.status_code == httpx.codes.OK else {}
        except (httpx.HTTPError, ValueError, LecternError):
            return Asked(question.id, 0, time.perf_counter() - started)
        return asked(question, answer.status_code, seconds, body)


def asked(question: GoldenQuestion, status: int, seconds: float, body: Any) -> Asked:
    """What an answer shows. One that is not of the form that the API documents counts as no answer."""
    if status != httpx.codes.OK:
        return Asked(question.id, status, seconds)
    try:
        kind = str(body["kind"])
        pages = [str(one["url"]).partition("#")[0] for one in body["citations"]]
        degraded = tuple(str(one) for one in body["degraded"])
    except (KeyError, TypeError, AttributeError):
        return Asked(question.id, 0, seconds)
    declined = kind == _NOT_FOUND
    return Asked(
        question.id, status, seconds, _right(question, pages, declined), bool(pages) or declined, degraded
    )


def _right(question: GoldenQuestion, pages: Sequence[str], declined: bool) -> bool | None:
    if question.type == UNANSWERABLE:
        return declined
    return any(map(question.answered_by, pages)) if question.relevant else None


class HttpProbes:
    """Whether a function serves at its tag: ``/live`` and ``/ready``, with a token where it is not public.

    ``addresses`` gives each service's own address, which is the audience of its tokens.
    """

    def __init__(self, client: httpx.Client, token: Token, addresses: Callable[[str], str]) -> None:
        self._client = client
        self._token = token
        self._addresses = addresses

    def __call__(self, service: str, url: str, deadline: Deadline) -> str:
        """What is wrong; empty when it serves. An instance that is warming up is waited for."""
        if not url:
            return "its candidate has no address"
        problem = ""
        while not deadline.expired():
            problem = self._problem(service, url, deadline)
            if "warming_up" not in problem:
                return problem
            time.sleep(min(_WARM_SECONDS, deadline.remaining()))
        return problem

    def _problem(self, service: str, url: str, deadline: Deadline) -> str:
        for path in _ALIVE_PATHS:
            try:
                bearer = self._token(self._addresses(service), deadline)
                headers = {**_HEADERS, **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
                answer = self._client.get(url + path, headers=headers, timeout=max(deadline.remaining(), 0.1))
            except (httpx.HTTPError, LecternError) as error:
                return f"GET {path} failed: {error or type(error).__name__}"
            if answer.status_code != httpx.codes.OK:
                return f"GET {path} answered {answer.status_code}: {answer.text[:200]}"
        return ""
