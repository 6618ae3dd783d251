"""What an ingestion costs by the page: a small site, a large one, and one that has not changed.

Pages are those of the handbook, repeated and mutated so that no two passages are the same, and the embedder
costs nothing. Each run is a process of its own, whose memory is measured alone. Time is given twice: by the
clock, and as processor time of the run and of the services together, which does not depend on what else the
machine is doing.
"""

from __future__ import annotations

import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shared import settings
from shared.settings import ROOT, Settings
from shared.wiring.ingestion import Wanted, ingestion
from shared.wiring.parts import Parts
from shared.wiring.sources import open_source
from shared.wiring.stack import services
from tests.embedders import Free
from tests.local_stack import environment

SMALL, LARGE = 500, 20_000
MOST_TIMES_A_PAGE = 1.3
LEAST_TIMES_UNCHANGED = 5.0
MOST_TIMES_MEMORY = 1.25
SEED = 20261125
_WORD = re.compile(r"\b[a-z]{6,}\b")


def measure(small: int = SMALL, large: int = LARGE) -> dict[str, Any]:
    """Seconds, processor seconds and peak memory of a first and an unchanged run at both sizes."""
    found: dict[str, Any] = {}
    for name, count in (("small", small), ("large", large)):
        with tempfile.TemporaryDirectory(prefix="lectern-bench-") as home:
            Path(home).chmod(0o755)
            site = write_pages(Path(home) / "site", count)
            begun = _all_seconds()
            with services(settings.load({}, home=f"{home}/home", embedder="none"), share=False) as ready:
                first, again = (_run(ready.settings, site) for _ in range(2))
            # Postgres's own children count once it has ended.
            first["all_seconds"] = _all_seconds() - begun - again["cpu_seconds"]
            found[name] = {"pages": count, "first": first, "unchanged": again}
    small_run, large_run = found["small"], found["large"]
    return found | {
        "wall_a_page": _a_page(large_run, "seconds") / _a_page(small_run, "seconds"),
        "processor_a_page": _a_page(large_run, "all_seconds") / _a_page(small_run, "all_seconds"),
        "memory": large_run["first"]["peak_mb"] / small_run["first"]["peak_mb"],
        "small_first_to_unchanged": _first_to_unchanged(small_run),
        "large_first_to_unchanged": _first_to_unchanged(large_run),
    }


def kept(found: dict[str, Any]) -> bool:
    """Whether the promised ratios hold."""
    unchanged = min(found["small_first_to_unchanged"], found["large_first_to_unchanged"])
    return bool(
        found["processor_a_page"] <= MOST_TIMES_A_PAGE
        and found["memory"] <= MOST_TIMES_MEMORY
        and unchanged >= LEAST_TIMES_UNCHANGED
        and not any(found[size]["unchanged"]["report"]["embedded"] for size in ("small", "large"))
    )


def show(found: dict[str, Any]) -> None:
    """The figures as a table."""
    print("Ingestion with an embedder that costs nothing")
    for name in ("small", "large"):
        for kind in ("first", "unchanged"):
            one, pages = found[name][kind], found[name]["pages"]
            wall = f"{one['seconds']:7.1f} s, {1000 * one['seconds'] / pages:6.2f} ms a page"
            print(
                f"  {pages:6} pages, {kind:10} {wall}, the run's processor {one['cpu_seconds']:6.1f} s, "
                f"peak {one['peak_mb']:5.0f} MB"
            )
    most = f"(at most {MOST_TIMES_A_PAGE})"
    print(f"  processor time a page, large / small {found['processor_a_page']:6.2f}  {most}")
    print(f"  the same by the clock                {found['wall_a_page']:6.2f}")
    print(f"  peak memory, large / small           {found['memory']:6.2f}  (at most {MOST_TIMES_MEMORY})")
    for name in ("small", "large"):
        ratio = found[f"{name}_first_to_unchanged"]
        print(f"  first / unchanged, {name}             {ratio:6.1f}  (at least {LEAST_TIMES_UNCHANGED:.0f})")


def write_pages(folder: Path, count: int) -> Path:
    """The handbook's pages again and again, with other words in each copy."""
    originals = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    words = sorted({word for text in originals for word in _WORD.findall(text)})
    for number in range(count):
        text = _mutated(originals[number % len(originals)], words, random.Random(SEED + number))
        path = folder / f"part-{number // 100:03}" / f"page-{number:05}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"---\ntitle: Page {number}\n---\n{text}", encoding="utf-8")
    return folder


def _mutated(text: str, words: list[str], dice: random.Random) -> str:
    """Every fifth long word is another one of the handbook's."""
    return _WORD.sub(lambda found: dice.choice(words) if dice.random() < 0.2 else found[0], _body(text))


def _body(text: str) -> str:
    return text.split("\n---\n", 1)[1] if text.startswith("---\n") else text


def _run(own: Settings, site: Path) -> dict[str, Any]:
    child = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.ingesting", str(site)],
        cwd=ROOT,
        env=environment(own),
        check=True,
        stdout=subprocess.PIPE,
    )
    found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return found


def _all_seconds() -> float:
    """Processor seconds of this process, where the engine runs, and of all its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _a_page(run: dict[str, Any], what: str) -> float:
    return float(run["first"][what] / run["pages"])


def _first_to_unchanged(run: dict[str, Any]) -> float:
    return float(run["first"]["seconds"] / run["unchanged"]["seconds"])


def _peak_mb() -> float:
    """Most memory that this process had. Not ``ru_maxrss``, which begins with that of the process that it was
    forked from.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _child(place: str) -> None:
    own = replace(settings.load(), embedder="none")
    begun = time.perf_counter()
    with Parts(own) as parts, open_source(own, place, "/docs") as pages:
        parts.embedder = Free()
        made = ingestion(parts)
        report = made.run(Wanted(place, "/docs").run(made.fingerprint), pages)
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": _peak_mb(),
        "report": {key: value for key, value in asdict(report).items() if key != "refused"},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    _child(sys.argv[1])
