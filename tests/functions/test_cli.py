"""The command line as a newcomer and an operator use it, on a stack of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shared.embedded.fake_gemini import FakeGemini, Fault
from shared.settings import ROOT
from tests.local_stack import environment, write_site

LECTERN = [sys.executable, "-m", "shared.cli"]


def lectern(home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command, run to its end."""
    return subprocess.run(
        [*LECTERN, *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LECTERN_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@contextmanager
def serving(home: Path, *words: str, **environ: str) -> Iterator[tuple[str, list[str]]]:
    """``lectern run``: its address and the lines it printed until it answered."""
    process = subprocess.Popen(
        [*LECTERN, "run", "--port", "0", *words],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LECTERN_HOME": str(home), **environ},
        stderr=subprocess.PIPE,
        text=True,
    )
    lines: list[str] = []
    assert process.stderr is not None
    try:
        for line in process.stderr:
            lines.append(line.strip())
            if "Lectern answers at" in line:
                break
        else:
            raise AssertionError("\n".join(lines))
        yield lines[-1].split(" at ")[1].split()[0], lines
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the orchard's documentation is ingested."""
    folder = tmp_path_factory.mktemp("cli")
    done = lectern(folder / "home", "ingest", str(write_site(folder / "site")), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"pages", "chunks", "added", "changed", "removed", "unchanged", "embedded"} <= set(report)
    return folder / "home"


def test_ask_quotes_and_links(home: Path) -> None:
    """An operator could not try a question without a browser."""
    done = lectern(home, "ask", "How long do pears take to ripen?", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["citations"][0]["url"] == "/docs/pears#ripening"
    plain = lectern(home, "ask", "How long do pears take to ripen?")
    assert "Pears > Ripening" in plain.stdout
    assert "`ripening_days` to 7" in plain.stdout


def test_the_exit_code_tells_an_answer_from_none(home: Path) -> None:
    """A script could not tell that the documentation does not say."""
    done = lectern(home, "ask", "Which visa is needed for Japan?")
    assert done.returncode == 3
    assert "does not say" in done.stdout
    assert lectern(home, "ask").returncode == 2


def test_the_report_shows_what_was_not_answered(home: Path, tmp_path: Path) -> None:
    """Writers would not learn what readers miss."""
    for question in ("Can I pay with bitcoin?", "is payment in bitcoin possible"):
        assert lectern(home, "ask", question).returncode == 3
    page = tmp_path / "gaps.html"
    done = lectern(home, "report", "--html", str(page), "--json")
    assert done.returncode == 0, done.stderr
    [topic] = [one for one in json.loads(done.stdout)["topics"] if "bitcoin" in one["label"]]
    assert (topic["questions"], topic["unanswered"]) == (2, 2)
    assert topic["pages"]
    assert "Can I pay with bitcoin?" in page.read_text(encoding="utf-8")
    assert "is payment in bitcoin possible" in lectern(home, "report").stdout


def test_errors_name_the_next_step(tmp_path: Path) -> None:
    """A newcomer would be left with a stack trace."""
    cases = [
        (("ask", "hello"), "no documentation has been ingested", "lectern ingest"),
        (("ingest", str(tmp_path / "nowhere")), "is not a folder", "Name a folder"),
        (("status",), "There is no stack", "make run"),
        (("report",), "There is no stack", "make run"),
        (("eval", str(tmp_path)), "qrels.tsv", "golden-questions.md"),
    ]
    for number, (words, message, hint) in enumerate(cases):
        done = lectern(tmp_path / f"home{number}", *words)
        assert done.returncode == 1, done.stderr
        assert message in done.stderr.replace("\n", " ")
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
        machine = lectern(tmp_path / f"home{number}", *words, "--json")
        assert set(json.loads(machine.stdout)["error"]) == {"code", "message", "hint"}


def test_a_run_is_planned_again_and_not_applied(home: Path, tmp_path: Path) -> None:
    """Somebody who looks once more at what a run would do would have it done."""
    site = str(write_site(tmp_path / "elsewhere", {"quinces.md": "# Quinces\n\nQuinces smell of roses.\n"}))
    plan = json.loads(lectern(home, "ingest", site, "--plan", "--json").stdout)
    again = lectern(home, "ingest", "--run", plan["run"], "--plan", "--json")
    assert json.loads(again.stdout) == plan
    newest = json.loads(lectern(home, "ingest", "--runs", "--json").stdout)["runs"][0]
    assert (newest["id"], newest["status"]) == (plan["run"], "planned")
    for more in ([site], ["--base-url", "/docs"], ["--tasks", "2"]):
        done = lectern(home, "ingest", "--run", plan["run"], *more)
        assert (done.returncode, "only --plan, --allow-removal" in " ".join(done.stderr.split())) == (2, True)


def test_wrong_settings_end_before_anything_starts(tmp_path: Path) -> None:
    """A typo in a setting would be noticed after minutes, or never."""
    done = lectern(tmp_path / "home", "run", LECTERN_EMBEDER="local", QDRANT_URL="nonsense")
    assert done.returncode == 2
    assert "did you mean LECTERN_EMBEDDER?" in done.stderr
    assert "QDRANT_URL: 'nonsense' is wrong" in done.stderr
    assert not (tmp_path / "home").exists()


def test_status_and_health_agree_while_it_runs(home: Path, tmp_path: Path) -> None:
    """An operator would look at a stopped stack while another one serves readers."""
    with serving(home, "--no-ingest") as (address, _):
        status = json.loads(lectern(home, "status", "--json").stdout)
        health = httpx.get(f"{address}/health").json()
        assert status["page"] == address
        assert status["overall_status"] == health["overall_status"] == "healthy"
        assert set(status["dependencies"]) == set(health["dependencies"])
        assert status["live"]["pages"] == 4
        busy = lectern(home, "run", "--port", "0")
        assert busy.returncode == 1
        assert "is in use by process" in busy.stderr
        refused = lectern(home, "reset", "--yes")
        assert refused.returncode == 1
        page = httpx.get(address).text
        assert "Ask the docs" in page


def test_everything_is_behind_one_address(home: Path) -> None:
    """A newcomer would have to start six functions."""
    with serving(home, "--no-ingest") as (address, _):
        for method, path, status in (
            ("GET", "/live", 200),
            ("GET", "/ready", 200),
            ("GET", "/health", 200),
            ("POST", "/backup/neon", 200),
            ("POST", "/backup/qdrant", 200),
            ("PUT", "/chat", 405),
            ("GET", "/nowhere", 404),
            ("GET", "/docs/", 200),
            ("GET", "/docs/../../etc/passwd", 404),
            ("GET", "/style.css", 200),
        ):
            assert httpx.request(method, address + path, timeout=60).status_code == status, path
        nothing = httpx.post(f"{address}/drill", json={"point": "20000101T000000Z"})
        assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "no_recovery_point")
        assert 'id="how-to-restore-a-backup"' in httpx.get(address + "/docs/recovery/restore").text


def test_a_port_in_use_is_named(home: Path) -> None:
    """A newcomer with another server on 8080 would not know what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = lectern(home, "run", "--port", port)
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr


def test_the_sample_never_takes_the_place_of_ones_own_site(home: Path) -> None:
    """A writer's index would be gone after `make run`."""
    with serving(home) as (_, lines):
        assert any("left as it is" in line for line in lines)


def test_reset_deletes_its_own_and_nothing_else(tmp_path: Path) -> None:
    """A home that points to a folder of somebody's would be emptied."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    done = lectern(mine, "reset", "--yes")
    assert done.returncode == 1
    assert "thesis.tex" in done.stderr
    assert (mine / "thesis.tex").exists()
    assert "nothing at" in lectern(tmp_path / "none", "reset", "--yes").stdout


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "No GEMINI_API_KEY: answers are quotes"),
        ({"GEMINI_API_KEY": "fake-key"}, "GEMINI_API_KEY works: gemini-3.5-flash-lite writes answers"),
        ({"GEMINI_API_KEY": "wrong"}, "GEMINI_API_KEY does not work"),
    ],
)
def test_run_says_what_the_gemini_key_means(home: Path, environ: dict[str, str], expected: str) -> None:
    """A newcomer would wonder why answers are quotes, or pay without knowing."""
    with (
        FakeGemini() as gemini,
        serving(home, "--no-ingest", LECTERN_GEMINI_BASE_URL=gemini.base_url, **environ) as (_, lines),
    ):
        assert lines[0].startswith(expected)


def test_a_model_that_fails_leaves_the_quotes(home: Path, tmp_path: Path) -> None:
    """A reader would get an error because the writer is down, although the passages are there."""
    site = write_site(tmp_path / "site")
    with FakeGemini() as gemini:
        environ = {"GEMINI_API_KEY": "fake-key", "LECTERN_GEMINI_BASE_URL": gemini.base_url}
        with serving(tmp_path / "home", "--docs", str(site), **environ) as (address, _):
            question = {"question": "How cold should apples be stored?"}
            written = httpx.post(address + "/chat", json=question).json()
            gemini.faults.always(Fault(status=503))
            cached = httpx.post(address + "/chat", json=question, timeout=30).json()
            another = {"question": "How cold must apples be stored, and where?"}
            degraded = httpx.post(address + "/chat", json=another, timeout=30).json()
    assert (written["kind"], degraded["kind"]) == ("generated", "extractive")
    assert (cached["writer"], cached["answer"]) == ("cache", written["answer"])
    assert (
        written["citations"][0]["url"]
        == degraded["citations"][0]["url"]
        == "/docs/apples/picking#how-to-store"
    )
    assert degraded["rung"] == "sparse"
    assert any("overloaded" in reason for reason in degraded["degraded"])


def test_the_readers_environment_is_enough(stack, tmp_path: Path) -> None:
    """The same commands would not work against services that are named by settings."""
    environ = environment(stack)
    environ.pop("PYTHONPATH")
    done = lectern(tmp_path / "unused", "ask", "Where to turn the hive?", "--json", **environ)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "unused").exists()
