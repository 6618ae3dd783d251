"""Runs the catalogue: each mutation in a copy of the repository, against the tests that must notice it.

The work tree is never changed. A worker copies the tracked files once, mutates one file of its copy, runs
the named tests up to the first failure, and puts the file back. The tests that noticed then run on the
untouched copy and must pass there: so it was the mutation that failed them, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tests.mutations.catalogue import CATALOGUE
from tests.mutations.mutation import Mutation, Outcome, Verdict

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
LEAST_OF_AN_ADAPTER = 3
MOST_SECONDS = 120.0
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", re.MULTILINE)
_NOTICED, _PASSED = 1, 0  # pytest's exit codes


def copied(target: Path) -> Path:
    """The tracked files as they are in the work tree, in ``target``."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def pytest(copy: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Exit code (-1: it hung) and output of pytest on the code of ``copy``."""
    environ = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-rfE", "--tb=no", "--timeout=60", *arguments]
    # Its own, because pytest clears away what other runs left, and two that clear at once get in their way.
    command += [f"--basetemp={copy}-tmp"]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environ, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout + done.stderr


def tried(mutation: Mutation, copy: Path) -> Verdict:
    """What the tests make of the mutation."""
    began = time.monotonic()
    file = copy / mutation.file
    text = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutation.applied(text), encoding="utf-8")
        selection = [*mutation.tests, *(["-k", mutation.only] if mutation.only else [])]
        outcome, detail = _judged(*pytest(copy, selection))
    except LookupError as error:
        outcome, detail = "does not apply", str(error)
    finally:
        file.write_text(text, encoding="utf-8")
    return Verdict(mutation, outcome, detail, time.monotonic() - began)


def _judged(code: int, output: str) -> tuple[Outcome, str]:
    failed = _FAILED.findall(output)
    if code == _NOTICED and failed:
        return "caught", failed[0]
    if code == _PASSED:
        return "survived", output.strip().splitlines()[-1]
    return "broken", "the tests hung" if code < 0 else "\n".join(output.strip().splitlines()[-6:])


def run(mutations: Sequence[Mutation], report: Callable[[Verdict], None]) -> tuple[list[Verdict], str]:
    """The verdicts in the order of ``mutations``, and what the untouched copy fails (empty: nothing)."""
    with (
        tempfile.TemporaryDirectory(prefix="lectern-mutations-") as name,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        Path(name).chmod(0o755)
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(WORKERS):
            copies.put(copied(Path(name, str(number))))

        def work(mutation: Mutation) -> Verdict:
            copy = copies.get()
            try:
                verdict = tried(mutation, copy)
            finally:
                copies.put(copy)
            report(verdict)
            return verdict

        verdicts = list(pool.map(work, mutations))
        caught = sorted({verdict.detail for verdict in verdicts if verdict.outcome == "caught"})
        code, output = pytest(copies.get(), caught) if caught else (_PASSED, "")
    return verdicts, "" if code == _PASSED else output


def unusable(mutations: Iterable[Mutation]) -> list[str]:
    """Adapters with fewer mutations than promised."""
    counts: dict[str, int] = {}
    for mutation in mutations:
        counts[mutation.adapter] = counts.get(mutation.adapter, 0) + 1
    return [
        f"{adapter} has only {count} mutations"
        for adapter, count in counts.items()
        if count < LEAST_OF_AN_ADAPTER
    ]


def _line(verdict: Verdict) -> str:
    mutation = verdict.mutation
    what = verdict.detail.partition("::")[2] if verdict.outcome == "caught" else verdict.detail
    return f"{mutation.adapter:<24} {mutation.breaks:<62} {verdict.outcome}: {what}"


def main() -> int:
    """0 when every mutation was caught, and by nothing but itself."""
    parser = argparse.ArgumentParser(prog="make mutations", description=__doc__)
    parser.add_argument("--adapter", default="", help="only adapters whose name holds this")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    chosen = parser.parse_args()
    picked = [each for each in CATALOGUE if chosen.adapter.lower() in each.adapter.lower()]
    began = time.monotonic()
    shown: Callable[[Verdict], None] = (
        (lambda _: None) if chosen.json else lambda each: print(_line(each), flush=True)
    )
    verdicts, false_alarm = run(picked, shown)
    caught = [verdict for verdict in verdicts if verdict.outcome == "caught"]
    problems = unusable(CATALOGUE)
    if false_alarm:
        problems.append(f"tests that noticed fail without a mutation, too:\n{false_alarm}")
    if chosen.json:
        print(json.dumps({"verdicts": [asdict(verdict) for verdict in verdicts], "problems": problems}))
    else:
        print(f"{len(caught)} of {len(verdicts)} mutations caught in {time.monotonic() - began:.0f} s")
        print(*problems, sep="\n", end="\n" if problems else "")
    return 0 if len(caught) == len(verdicts) and verdicts and not problems else 1
