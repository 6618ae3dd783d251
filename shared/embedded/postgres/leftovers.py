"""What a killed server leaves behind: its children, half of an initdb, a stale pid file."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from shared.embedded.postgres.account import LINUX

_PATIENCE = 10.0
"""Seconds that a server which was told to stop may take before it is killed."""


def clear(home: Path, data: Path) -> None:
    """End every process that still works in ``home`` and remove what it left half made.

    The caller holds the home's lock, so nothing that runs there has a living owner.
    """
    end_processes(home, data)
    for half_made in (*home.glob(".initdb-*"), *home.glob(".programs-*")):
        shutil.rmtree(half_made, ignore_errors=True)
    if LINUX:
        # A number in it may belong to a stranger by now, and the server would refuse to start.
        (data / "postmaster.pid").unlink(missing_ok=True)


def end_processes(home: Path, data: Path) -> None:
    """Let a postmaster write its checkpoint; its orphans, and one that takes too long, are killed."""
    leader = _leader(data)
    until = time.monotonic() + _PATIENCE
    if leader in working_in(home):
        _send(leader, signal.SIGINT)
    while leader in working_in(home) and time.monotonic() < until:
        time.sleep(0.01)
    while found := working_in(home):
        for pid in found:
            _send(pid, signal.SIGKILL)
        time.sleep(0.01)


def _leader(data: Path) -> int:
    """The postmaster's process id as its pid file gives it; 0 when there is none."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def working_in(home: Path) -> list[int]:
    """Processes whose working directory is ``home`` or below: servers always sit in their data."""
    if not LINUX:
        return []
    root = str(home.resolve())
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            folder = Path(entry.path, "cwd").readlink()
            program = Path(entry.path, "comm").read_text().strip()
        except OSError:
            continue  # ended meanwhile, or another user's
        inside = str(folder) == root or str(folder).startswith(f"{root}/")
        if inside and program in {"postgres", "initdb"}:
            found.append(int(entry.name))
    return found


def is_gone(pid: str) -> bool:
    """Whether ``pid`` is the number of a process that has ended."""
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
