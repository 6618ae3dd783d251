"""How long a warm retrieval takes over Qdrant's REST, beside one bare round trip to the same server."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from shared.resilience.deadline import Deadline
from shared.retrieval.retriever import Retriever
from shared.settings import Settings
from shared.wiring.parts import Parts
from tests.benchmarks.cold_start import QUESTION


def measure(ready: Settings, rounds: int) -> dict[str, float]:
    """Medians in milliseconds; retrieval is by words alone, two requests, so no model's time is in it."""
    with Parts(ready) as parts:
        search = parts.vector_search
        retriever = Retriever(search, None, time.monotonic, alias=ready.qdrant_alias)

        def ping() -> object:
            return search.ping(Deadline.after(10))

        def retrieve() -> object:
            return retriever.retrieve(QUESTION, Deadline.after(10), dense=False)

        pings, retrievals = _together(ping, retrieve, rounds)
    return {
        "ping_ms": round(pings, 2),
        "retrieval_ms": round(retrievals, 2),
        "retrieval_to_ping": round(retrievals / pings, 1),
    }


def _together(first: Callable[[], object], second: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The two medians in milliseconds, taken in turns."""
    figures: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 3):
        for call, seconds in zip((first, second), figures, strict=True):
            began = time.perf_counter()
            call()
            if number >= 3:
                seconds.append(time.perf_counter() - began)
    return statistics.median(figures[0]) * 1000, statistics.median(figures[1]) * 1000
