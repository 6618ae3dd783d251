"""How many tests each implementation of a port passed, printed when a run with contract suites ends.

A suite's fixtures carry the implementation as their parameter; it travels on the test's report, so that the
count also holds when several processes share the run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest

KEY = "contract"
TOGETHER = "no one of them"
"""Tests of a suite that no fixture gives to one implementation: values alone, or all of them in one test."""


@dataclass(frozen=True)
class Suite:
    """The port that a file tests, and the implementation behind each parameter of ``fixtures``."""

    port: str
    fixtures: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)
    otherwise: str = TOGETHER


_STORES = {"folder": "FolderStore", "gcs": "GcsStore", "gcs_http": "GcsHttpStore"}
_SERVERS = {"unix": "on 18, socket", "tls": "on 17, TLS", "DATABASE_URL": "on DATABASE_URL"}
_ENGINES = {"embedded": "on the embedded engine", "server": "on 1.16.3", "address": "on QDRANT_URL"}
_FAULTY = "before faulty peers"

SUITES = {
    "test_object_store.py": Suite("ObjectStore", ("at", "versioned"), _STORES),
    "test_object_store_faults.py": Suite("ObjectStore", ("rig", "kind"), _STORES),
    "test_vector_search.py": Suite(
        "VectorSearch", ("where",), {key: f"QdrantSearch {at}" for key, at in _ENGINES.items()}, _FAULTY
    ),
    "test_vector_admin.py": Suite(
        "VectorAdmin", ("where",), {key: f"QdrantAdmin {at}" for key, at in _ENGINES.items()}, _FAULTY
    ),
    "test_vector_bulk.py": Suite(
        "VectorBulk", ("where",), {key: f"QdrantBulk {at}" for key, at in _ENGINES.items()}, _FAULTY
    ),
    "test_vector_snapshots.py": Suite(
        "VectorSnapshots", ("where",), {key: f"QdrantSnapshots {at}" for key, at in _ENGINES.items()}, _FAULTY
    ),
    "test_generator.py": Suite(
        "Generator",
        ("client", "generator"),
        {"rest": "GeminiGenerator", "generativeai": "GenerativeAIGenerator"},
    ),
    "test_embedder.py": Suite(
        "Embedder",
        ("client", "embedder"),
        {"local": "LocalEmbedder", "rest": "GeminiEmbedder", "generativeai": "GenerativeAIEmbedder"},
    ),
    "test_services.py": Suite(
        "Services",
        ("shop",),
        {"cloud_run": "CloudRunServices", "memory": "MemoryServices"},
        "CloudRunServices",
    ),
    "test_measurements.py": Suite("Measurements", otherwise="CloudMeasurements"),
    "test_jobs.py": Suite("Jobs", ("place",), {"local": "LocalJobs", "cloud_run": "CloudRunJobs"}),
    "neon/test_ledger.py": Suite(
        "Ledger", ("database",), {key: f"NeonLedger {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_leases.py": Suite(
        "Leases", ("database",), {key: f"NeonLeases {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_runs.py": Suite(
        "Runs, RunPages, RunTexts", ("database",), {key: f"NeonRuns {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_questions.py": Suite(
        "Questions", ("database",), {key: f"NeonQuestions {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_run_starts.py": Suite(
        "RunStarts", ("database",), {key: f"NeonRunStarts {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_suggestions.py": Suite(
        "SuggestionStore", ("database",), {key: f"NeonSuggestions {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_answers.py": Suite(
        "AnswerLog", ("database",), {key: f"NeonAnswerLog {at}" for key, at in _SERVERS.items()}
    ),
    "neon/test_errors.py": Suite("Ledger, AnswerLog", otherwise="behind a faulty network"),
}


def label(item: pytest.Item) -> tuple[str, str] | None:
    """Port and implementation that a test is about; None outside the suites."""
    place = item.nodeid.partition("::")[0].removeprefix("tests/contract/")
    suite = SUITES.get(place)
    if suite is None:
        return None
    params = getattr(item, "callspec", None)
    given = [str(params.params[name]) for name in suite.fixtures if params and name in params.params]
    if not given:
        return suite.port, suite.otherwise
    kind, _, _ = given[0].removeprefix("real ").partition(":gs://")
    real = "" if kind == given[0] else ", the real service"
    return suite.port, suite.named.get(kind, kind) + real


def pytest_itemcollected(item: pytest.Item) -> None:
    if found := label(item):
        item.user_properties.append((KEY, list(found)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table: a line a port."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for port, kind in (value for key, value in report.user_properties if key == KEY):
                counts.setdefault(port, {}).setdefault(kind, Counter())[outcome] += 1
    if not counts:
        return
    terminalreporter.section("contract suites: tests passed by each implementation")
    for port, kinds in sorted(counts.items()):
        parts = [f"{kind} {_figures(kinds[kind])}" for kind in sorted(kinds)]
        terminalreporter.write_line(f"{port} · {', '.join(parts)}")


def _figures(found: Counter[str]) -> str:
    failed = f" ({found['failed']} failed)" if found["failed"] else ""
    return f"{found['passed']}{failed}"
