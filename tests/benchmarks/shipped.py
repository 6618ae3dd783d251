"""A virtual environment with what ships and nothing else.

A function must be measured as it is deployed: rich, for one, is there for the tests and the command line, and
``import httpx`` loads it wherever it is installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from shared.settings import ROOT

FOLDER = ROOT / ".cache" / "bench-venv"


def python() -> Path:
    """Its interpreter; made anew when requirements.txt changed."""
    digest = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()
    stamp, found = FOLDER / "requirements.sha256", FOLDER / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != digest:
        print(f"Setting up {FOLDER} with requirements.txt (once; about a minute) ...", file=sys.stderr)
        venv.create(FOLDER, clear=True, with_pip=True)
        install = [found, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*install, "-r", ROOT / "requirements.txt"], check=True, stdout=sys.stderr)
        stamp.write_text(digest)
    return found
