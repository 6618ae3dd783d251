"""Parsing and chunking in pages and MB per CPU second, beside LangChain's splitters on the same Markdown.

Both read the handbook. LangChain's splitters look for lines that begin with # and for fences; Lectern parses
front matter, MDX, tables and lists, and gives each section the anchor that Docusaurus gives it. The peer has
a virtual environment of its own, so that only who runs this installs it.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.ingestion.chunking import chunk_page
from shared.ingestion.html import read_html
from shared.ingestion.markdown import read_markdown
from shared.ingestion.render import render_markdown
from shared.settings import ROOT

PEERS = Path(__file__).parent / "peers"
FOLDER = ROOT / ".cache" / "bench-peers"
COPIES = 5
LEAST_TIMES_PEER = 0.1
"""Pages of Markdown beside their two splitters in a row, which give what is nearest to our passages."""
LEAST_TIMES_PEER_BUILT = 0.3
"""The same for built HTML, which is the better source and parsed in C."""


def measure(rounds: int) -> dict[str, Any]:
    """Figures of each way, medians of ``rounds``, and the passages it makes of one copy of the handbook."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    pages = [_built(text) for text in texts]
    with tempfile.TemporaryDirectory(prefix="lectern-bench-") as folder:
        place = Path(folder) / "texts.json"
        place.write_text(json.dumps(texts), encoding="utf-8")
        command = [str(python()), str(PEERS / "split.py"), str(place), str(COPIES), str(rounds)]
        peers = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = {
        "lectern, Markdown": _measured(texts, _markdown, rounds),
        "lectern, built HTML": _measured(pages, _html, rounds),
        **{name: _figures(texts, seconds, count) for name, (seconds, count) in peers.items()},
    }
    peer = found["langchain, headers then size"]["pages_per_second"]
    return {
        "ways": found,
        "markdown_to_peer": round(found["lectern, Markdown"]["pages_per_second"] / peer, 2),
        "built_to_peer": round(found["lectern, built HTML"]["pages_per_second"] / peer, 2),
    }


def kept(found: dict[str, Any]) -> bool:
    """Whether both are within what was measured when they were written."""
    return bool(
        found["markdown_to_peer"] >= LEAST_TIMES_PEER and found["built_to_peer"] >= LEAST_TIMES_PEER_BUILT
    )


def show(found: dict[str, Any]) -> None:
    print(f"Parsing and chunking the handbook, {COPIES} times (per CPU second)")
    for name, way in found["ways"].items():
        said = f"{way['pages_per_second']:8.0f} pages {way['mb_per_second']:7.2f} MB"
        print(f"  {name:<40} {said}  ({way['passages']} passages)")
    for name, ratio, least in (
        ("Markdown / headers then size, pages", "markdown_to_peer", LEAST_TIMES_PEER),
        ("built HTML / headers then size, pages", "built_to_peer", LEAST_TIMES_PEER_BUILT),
    ):
        print(f"  {name:<40} {found[ratio]:8.2f}  (at least {least})")


def python() -> Path:
    """The interpreter of the peer's environment; made anew when what is pinned changed."""
    pinned = PEERS / "requirements.txt"
    digest = hashlib.sha256(pinned.read_bytes()).hexdigest()
    stamp, found = FOLDER / "requirements.sha256", FOLDER / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != digest:
        print(f"Setting up {FOLDER} with what parsing is measured beside (once) ...", file=sys.stderr)
        venv.create(FOLDER, clear=True, with_pip=True)
        install = [found, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", pinned]
        subprocess.run(install, check=True, stdout=sys.stderr)
        stamp.write_text(digest)
    return found


def _measured(texts: list[str], cut: Callable[[str], int], rounds: int) -> dict[str, float]:
    count = sum(cut(text) for text in texts)
    return _figures(texts, [_seconds(texts, cut) for _ in range(rounds)], count)


def _seconds(texts: list[str], cut: Callable[[str], int]) -> float:
    started = time.process_time()
    for text in texts * COPIES:
        cut(text)
    return time.process_time() - started


def _figures(texts: list[str], seconds: list[float], passages: int) -> dict[str, float]:
    median = statistics.median(seconds)
    size = sum(len(text.encode()) for text in texts) * COPIES / 1e6
    return {
        "pages_per_second": round(len(texts) * COPIES / median, 1),
        "mb_per_second": round(size / median, 3),
        "passages": passages,
    }


def _markdown(text: str) -> int:
    return len(chunk_page(read_markdown(text, url="https://acme.example/docs/page")))


def _html(text: str) -> int:
    page = read_html(text, url="https://acme.example/docs/page")
    return len(chunk_page(page)) if page else 0


def _built(text: str) -> str:
    title, body = render_markdown(text, url="https://acme.example/docs/page", link=lambda target: target)
    return f"<html lang=en><head><title>{title}</title></head><body><main><article>{body}</article></main>"
