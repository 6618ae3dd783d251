"""Runs the benchmarks on one embedded stack and prints what came out, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.benchmarks import cold_start, latency, shipped

MOST_TIMES_NOTHING = 3.0
LEAST_TIMES_EAGER = 2.5


def main() -> int:
    """0 when the promised ratios hold."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="cold starts of each kind (default: 5)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args()
    python = shipped.python()
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as home:
        Path(home).chmod(0o755)
        with cold_start.generating_stack(Path(home)) as ready:
            starts = cold_start.measure(python, ready, chosen.rounds)
            warm = latency.measure(ready, rounds=100)
    figures = {"cold_start": cold_start.summary(starts), "cold_start_runs": starts, "retrieval": warm}
    if chosen.json:
        print(json.dumps(figures))
    else:
        _print(figures["cold_start"], warm, chosen.rounds)
    ratios = figures["cold_start"]
    kept = ratios["ours_to_nothing"] <= MOST_TIMES_NOTHING and ratios["eager_to_ours"] >= LEAST_TIMES_EAGER
    return 0 if kept else 1


def _print(cold: dict[str, float], warm: dict[str, float], rounds: int) -> None:
    print(f"CPU seconds from process start to the first generated answer (median of {rounds}, taking turns)")
    _line("functions-framework, doing nothing", cold["nothing_cpu_seconds"])
    _line("chat", cold["ours_cpu_seconds"])
    _line("the same answer through eager SDKs", cold["eager_cpu_seconds"])
    _line("chat / nothing", cold["ours_to_nothing"], f"at most {MOST_TIMES_NOTHING}")
    _line("eager SDKs / chat", cold["eager_to_ours"], f"at least {LEAST_TIMES_EAGER}")
    print("Warm retrieval over Qdrant's REST (median of 100, milliseconds)")
    _line("bare ping", warm["ping_ms"])
    _line("retrieval, words alone", warm["retrieval_ms"], f"{warm['retrieval_to_ping']} pings")


def _line(what: str, figure: float, note: str = "") -> None:
    print(f"  {what:<36} {figure:6.2f}" + (f"  ({note})" if note else ""))
