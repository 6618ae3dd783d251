"""One instance of chat under many readers: how long the first word takes, how many it serves, what it holds.

The instance runs under gunicorn as on Cloud Run, 80 threads for 80 requests at a time, with what ships alone.
The readers are a process of their own; Postgres, Qdrant's engine and Gemini's stand-in are others' work and
run beside it on the same processors, so that the figures are an upper bound.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.settings import ROOT, Settings
from tests.local_stack import Served, environment, function

CONCURRENCY = 80
READERS_A_SECOND = 20.0
FIRST_WORD_SECONDS = 1.0
"""What the language model takes to its first word."""
STREAM_SECONDS = 2.8
"""How long it writes after that: 20 readers a second, each for 3.8 s, keep 76 streams open, and up to 80 with
what each takes besides; more than 80 are not sent to one instance.
"""
MOST_TIMES_ALONE = 1.5
MOST_PSS_MB = 256.0
PIECES = 42
EXPECTED = "generated hybrid recorded=True"


def measure(python: Path, ready: Settings, fake: FakeGemini, seconds: float = 15.0) -> dict[str, Any]:
    """All figures; times in seconds, memory in MB."""
    own = environment(
        ready,
        GEMINI_API_KEY=ready.gemini_api_key,
        LECTERN_GEMINI_BASE_URL=ready.gemini_base_url,
        LECTERN_RATE_LIMIT_REQUESTS="100000",
        LECTERN_SPEND_CAP_USD_DAY="0",
        LECTERN_SPEND_CAP_USD_MONTH="0",
        LECTERN_CACHE_SECONDS="0",
    )
    with function("chat", own, threads=CONCURRENCY, python=str(python)) as client:
        client.wait_until_ready()
        at_rest = pss(client.pid)
        fake.writer = _long_answer
        fake.faults.always(
            Fault(
                operation="stream",
                first_byte_delay=FIRST_WORD_SECONDS,
                chunk_delay=STREAM_SECONDS / PIECES,
            )
        )
        alone = readers(client, count=6, rate=0, most_open=1)
        crowd = readers(client, count=int(READERS_A_SECOND * seconds), rate=READERS_A_SECOND)
        fake.faults.clear()
        return {
            "alone": summary(alone),
            "crowd": summary(crowd),
            "crowd_to_alone": round(p95(crowd["first"]) / statistics.median(alone["first"]), 2),
            "one_at_a_time": summary(readers(client, count=60, rate=0, most_open=1)),
            "sse": summary(readers(client, count=300, rate=0, most_open=8)),
            "json": summary(readers(client, count=300, rate=0, most_open=8, form="json")),
            "pss_at_rest_mb": at_rest,
            "pss_mb": pss(client.pid),
        }


def readers(
    client: Served, *, count: int, rate: float, most_open: int = CONCURRENCY, form: str = "sse"
) -> dict[str, Any]:
    """What so many readers saw; see :mod:`tests.benchmarks.readers`."""
    words = [str(client.base_url), str(count), str(rate), str(most_open), form]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.readers", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=180,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    if found["wrong"] or len(found["whole"]) != count:
        raise RuntimeError(f"{count - len(found['whole'])} of {count} readers failed: {found['wrong'][:3]}")
    if set(found["kinds"]) != {EXPECTED}:
        raise RuntimeError(f"answers were not as they should be: {Counter(found['kinds'])}")
    return found


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Seconds to the first word, requests a second, and how many were open at once."""
    return {
        "first_p50": round(statistics.median(found["first"]), 4),
        "first_p95": round(p95(found["first"]), 4),
        "requests_a_second": round(len(found["whole"]) / found["seconds"], 1),
        "most_open": found["most_open"],
    }


def p95(figures: list[float]) -> float:
    """The 95th percentile; of few figures the largest."""
    return statistics.quantiles(figures, n=20, method="inclusive")[-1] if len(figures) > 1 else figures[0]


def pss(master: int) -> float:
    """MB that the instance holds: gunicorn's master and its worker, what they share counted once."""
    own = psutil.Process(master)
    return round(sum(one.memory_full_info().pss for one in (own, *own.children(recursive=True))) / 2**20, 1)


def kept(figures: dict[str, Any]) -> bool:
    """Whether what the project promises holds."""
    return bool(figures["crowd_to_alone"] <= MOST_TIMES_ALONE and figures["pss_mb"] <= MOST_PSS_MB)


def _long_answer(_system: str, prompt: str) -> str:
    """A first sentence that a passage holds, then many that none does, which are dropped as they come."""
    first = "Pick a Bramley when it comes off with a twist, in late September. [1]\n"
    return first + "And so it goes on and on. " * ((2 * PIECES - len(first.split())) // 7)
