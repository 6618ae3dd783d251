"""Runs the benchmarks on one embedded stack and prints what came out, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import cold_start, ingesting, latency, load, parsing, shipped

MOST_TIMES_NOTHING = 3.0
LEAST_TIMES_EAGER = 2.5


def main() -> int:
    """0 when the promised ratios hold."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="cold starts of each kind (default: 5)")
    parser.add_argument("--seconds", type=float, default=15.0, help="for which readers arrive (default: 15)")
    parser.add_argument(
        "--pages", type=int, default=ingesting.LARGE, help="pages of the large site (default: 20000)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args()
    python = shipped.python()
    cut = parsing.measure(chosen.rounds)
    sites = ingesting.measure(large=chosen.pages)
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as home:
        Path(home).chmod(0o755)
        with cold_start.generating_stack(Path(home)) as (ready, fake):
            starts = cold_start.measure(python, ready, chosen.rounds)
            warm = latency.measure(ready, rounds=100)
            crowd = load.measure(python, ready, fake, chosen.seconds)
    ratios = cold_start.summary(starts)
    if chosen.json:
        figures = {"cold_start": ratios, "cold_start_runs": starts, "retrieval": warm, "load": crowd}
        figures |= {"parsing": cut, "ingestion": sites}
        print(json.dumps(figures))
    else:
        _print(ratios, warm, chosen.rounds)
        _print_load(crowd)
        parsing.show(cut)
        ingesting.show(sites)
    kept = ratios["ours_to_nothing"] <= MOST_TIMES_NOTHING and ratios["eager_to_ours"] >= LEAST_TIMES_EAGER
    return 0 if kept and load.kept(crowd) and parsing.kept(cut) and ingesting.kept(sites) else 1


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


def _print_load(found: dict[str, Any]) -> None:
    alone, crowd = found["alone"], found["crowd"]
    print(
        f"Seconds to the first word: {load.READERS_A_SECOND:.0f} readers a second on one instance, "
        f"a model that waits {load.FIRST_WORD_SECONDS:.0f} s"
    )
    _line("one stream, p50", alone["first_p50"])
    _line("crowd, p50", crowd["first_p50"], f"up to {crowd['most_open']} streams open")
    _line("crowd, p95", crowd["first_p95"])
    _line("crowd p95 / one stream", found["crowd_to_alone"], f"at most {load.MOST_TIMES_ALONE}")
    print("Our own time: a model that does not wait (milliseconds to the first word)")
    one = found["one_at_a_time"]
    _line("one at a time, p50", one["first_p50"] * 1000, f"p95 {one['first_p95'] * 1000:.1f}")
    for form in ("sse", "json"):
        many = found[form]
        _line(f"8 at a time as {form}, requests a second", many["requests_a_second"], _times(many))
    print("Memory of the instance (PSS, MB)")
    _line("before the first reader", found["pss_at_rest_mb"])
    _line("after all of them", found["pss_mb"], f"at most {load.MOST_PSS_MB:.0f}")


def _times(found: dict[str, Any]) -> str:
    return f"p50 {found['first_p50'] * 1000:.0f} ms, p95 {found['first_p95'] * 1000:.0f} ms"


def _line(what: str, figure: float, note: str = "") -> None:
    print(f"  {what:<40} {figure:6.2f}" + (f"  ({note})" if note else ""))
