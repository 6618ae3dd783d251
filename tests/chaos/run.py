"""One cell: the chat function in its own process, a fault, readers who ask, and what became of it."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from shared.resilience.deadline import Deadline
from shared.settings import ROOT
from shared.wiring import upkeep
from shared.wiring.parts import Parts
from tests.chaos import matrix
from tests.chaos.lane import Lane
from tests.chaos.matrix import Cell, Expected, expected

DEADLINE_SECONDS = 20.0
SETTLED_SECONDS = 5.0
AT_ONCE, AFTERWARDS = 4, 5
"""Readers who ask at once when the fault begins, which opens the breakers, and one by one after them."""
THREADS = 8
LINK = "/docs/apples/picking#how-to-store"
QUESTIONS = (
    "How cold should apples be stored?",
    "At how many degrees should I store apples?",
    "How do I store apples?",
    "How should one store apples?",
    "At what degrees do you store apples?",
    "Store apples beside potatoes?",
    "How to store apples in the cold_room?",
    "How many degrees to store apples?",
    "Can I store apples beside potatoes?",
    "How cold must I store apples?",
)
"""No two are one question for the cache."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer as the reader got it; ``status`` 0 when there was none."""

    status: int
    seconds: float
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell came to; ``problems`` is empty when it is as it must be."""

    cell: Cell
    rungs: str
    writers: str
    recorded: str
    first_seconds: float
    settled_seconds: float
    problems: tuple[str, ...]


def run(lane: Lane, cell: Cell) -> Outcome:
    """Run one cell on a lane, and leave the lane healthy and empty of spooled writes."""
    lane.heal()
    lane.forget_cached()
    from_start = cell.fault == matrix.CERTIFICATE
    questions = iter(QUESTIONS)
    with chat(lane.environment(cell.down if from_start else ())) as client:
        problems = [] if from_start else _unwell(ask(client, next(questions)))
        if not from_start:
            for name in cell.down:
                lane.strike(name, cell.fault)
        with ThreadPoolExecutor(AT_ONCE) as readers:
            at_once = itertools.islice(questions, AT_ONCE)
            first = list(readers.map(lambda question: ask(client, question), at_once))
        later = [ask(client, question) for question in itertools.islice(questions, AFTERWARDS)]
        lane.heal()
    problems += _judged(expected(cell), first, later)
    problems += _lost(lane, [*first, *later])
    problems += [
        f"{name}: a foreign certificate was trusted" for name in cell.down if lane.impostors[name].trusted
    ]
    return _outcome(cell, first, later, problems)


@contextmanager
def chat(environment: Mapping[str, str]) -> Iterator[httpx.Client]:
    """The chat function under gunicorn, as Cloud Run starts it. It takes over a socket that listens already,
    so the first request waits for it.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = _started(listener.fileno(), environment)
    try:
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            client.get("/live").raise_for_status()
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _started(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--workers",
        "1",
        "--threads",
        str(THREADS),
        "--timeout",
        "0",
    ]
    command += ["--no-control-socket", "--graceful-timeout", "2", "--bind", f"fd://{descriptor}"]
    return subprocess.Popen(
        [*command, "functions_framework:create_app()"],
        cwd=ROOT,
        env={**environment, "FUNCTION_SOURCE": "functions/chat.py", "FUNCTION_TARGET": "chat"},
        pass_fds=(descriptor,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def ask(client: httpx.Client, question: str) -> Asked:
    began = time.monotonic()
    try:
        answer = client.post("/chat", json={"question": question}, headers={"Accept": "application/json"})
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return Asked(0, time.monotonic() - began, {"error": type(error).__name__})
    return Asked(answer.status_code, time.monotonic() - began, body)


# ---------------------------------------------------------------- judging


def _unwell(asked: Asked) -> list[str]:
    well = Expected("hybrid", frozenset({matrix.MODEL}), recorded=True, named=frozenset())
    found = _problems(well, asked, DEADLINE_SECONDS)
    if not found and asked.body["degraded"]:
        found = [f"degraded by {asked.body['degraded']}"]
    return [f"before the fault: {one}" for one in found]


def _judged(wanted: Expected, first: list[Asked], later: list[Asked]) -> list[str]:
    settled = DEADLINE_SECONDS if wanted.waits else SETTLED_SECONDS
    found = [problem for one in first for problem in _problems(wanted, one, DEADLINE_SECONDS)]
    found += [f"afterwards: {problem}" for one in later for problem in _problems(wanted, one, settled)]
    return list(dict.fromkeys(found))


def _problems(wanted: Expected, asked: Asked, seconds: float) -> list[str]:
    found = [f"took {asked.seconds:.0f} s"] if asked.seconds > seconds else []
    body = asked.body
    if asked.status != httpx.codes.OK:
        return [*found, f"status {asked.status}: {body.get('error')}"]
    links = [citation["url"] for citation in body["citations"]]
    if links[:1] != [LINK]:
        found.append(f"cites {links[:1]}")
    if body["rung"] != wanted.rung:
        found.append(f"rung {body['rung']} instead of {wanted.rung} ({', '.join(body['degraded'])})")
    if body["writer"] not in wanted.writers:
        found.append(f"writer {body['writer']} ({', '.join(body['degraded'])})")
    if body["recorded"] is not wanted.recorded:
        found.append(f"recorded {body['recorded']} ({', '.join(body['degraded'])})")
    said = body["degraded"]
    return found + [
        f"{name} not named in {said}" for name in wanted.named if not any(name in one for one in said)
    ]


def _lost(lane: Lane, asked: list[Asked]) -> list[str]:
    """Answers that were said to be recorded and are not in Postgres after the replay."""
    with Parts(lane.settings()) as parts:
        drained = upkeep.drain(parts, Deadline.after(60.0))
    claimed = {one.body["answer_id"] for one in asked if one.body.get("recorded")}
    lost = claimed - lane.recorded()
    found = [f"{len(lost)} of {len(claimed)} recorded answers were lost"] if lost else []
    return found + ([f"the replay stopped: {drained.stopped}"] if drained.stopped else [])


def _outcome(cell: Cell, first: list[Asked], later: list[Asked], problems: list[str]) -> Outcome:
    every = [*first, *later]
    return Outcome(
        cell,
        _seen(every, "rung"),
        _seen(every, "writer"),
        _seen(every, "recorded"),
        max(one.seconds for one in first),
        max(one.seconds for one in later),
        tuple(problems),
    )


def _seen(asked: list[Asked], field: str) -> str:
    return ", ".join(dict.fromkeys(str(one.body.get(field, "none")).lower() for one in asked))
