"""Jobs on one machine: a child process for each task, and a folder for each execution.

The tasks end with the process that started them: see :mod:`shared.embedded.job_supervisor`, one of which
watches over each execution. Its folder tells every other process how it is doing.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import re
import select
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shared.embedded import job_supervisor
from shared.errors import Garbled, Missing, Rejected, TimedOut, Unreachable
from shared.ports.jobs import JOBS, Execution
from shared.resilience.deadline import Deadline

SERVICE = "local-jobs"
KEPT = 20
"""Executions whose folders stay; the oldest go when another starts."""

_LEAVE_SECONDS = 2.0
_MOST_TASKS = 64
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_WATCHED: list[subprocess.Popen[bytes]] = []
"""The supervisors of this process, for as long as it lives: the end of their input would stop them."""
_WATCHING = threading.Lock()


class LocalJobs:
    """:class:`~shared.ports.jobs.Jobs` on this machine.

    ``command`` is what the arguments are put behind, ``environment`` what each task is given besides its
    number, ``folder`` where executions are kept.
    """

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._command = list(command)
        self._environment = dict(environment)

    def start(self, job: str, args: Sequence[str], deadline: Deadline, *, tasks: int = 1) -> str:
        if job not in JOBS:
            raise Missing(SERVICE, "start", f"there is no job {job!r}", hint=f"Known: {', '.join(JOBS)}.")
        if not 1 <= tasks <= _MOST_TASKS:
            raise Rejected(SERVICE, f"start {job}", f"{tasks} tasks are not 1 to {_MOST_TASKS}")
        name = f"lectern-{job}-job-{uuid.uuid4().hex[:8]}"
        folder = self._folder / name
        try:
            self._forget_old()
            folder.mkdir(parents=True)
            job_supervisor.write(folder, self._facts(job, name, args, tasks))
            self._watch(folder, job, deadline)
        except OSError as error:
            hint = "Check the disk and the folder's permissions."
            raise Unreachable(SERVICE, f"start {job}", f"{folder}: {error.strerror}", hint=hint) from error
        return name

    def execution(self, name: str, deadline: Deadline) -> Execution:
        if deadline.expired():
            raise TimedOut(SERVICE, f"read {name}", "no time left")
        _let_go()
        folder = self._folder / name
        if not _NAME.fullmatch(name) or not (folder / "execution.json").exists():
            raise Missing(SERVICE, "read the execution", f"there is none of the name {name!r}")
        is_watched = _is_watched(folder)  # before its facts: it may end in between
        facts = _facts(folder)
        if facts["state"] == "running" and not is_watched:
            facts |= {"state": "failed", "failed_tasks": facts["tasks"], "message": "It was killed."}
        return Execution(
            name=name,
            state=facts["state"],
            tasks=facts["tasks"],
            failed_tasks=facts["failed_tasks"],
            started_at=facts["started_at"],
            finished_at=facts["finished_at"],
            message=facts["message"],
        )

    def _facts(self, job: str, name: str, args: Sequence[str], tasks: int) -> dict[str, Any]:
        return {
            "job": f"lectern-{job}-job",
            "name": name,
            "command": [*self._command, *args],
            "tasks": tasks,
            "state": "running",
            "failed_tasks": 0,
            "started_at": time.time(),
            "finished_at": None,
            "message": "",
        }

    def _watch(self, folder: Path, job: str, deadline: Deadline) -> None:
        """Start the supervisor, and wait until it has started the tasks."""
        _let_go()
        with (folder / "supervisor.log").open("wb") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", job_supervisor.__name__, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).resolve().parents[2],  # where its module is found
                start_new_session=True,  # Ctrl-C in our terminal is for us
            )
        with _WATCHING:
            _WATCHED.append(supervisor)
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        supervisor.stdin.write(json.dumps(self._environment).encode() + b"\n")
        supervisor.stdin.flush()
        with supervisor.stdout as said:
            if not select.select([said], [], [], deadline.remaining())[0]:
                supervisor.kill()
                raise TimedOut(SERVICE, f"start {job}", "no time left")
            if not said.readline():
                words = (folder / "supervisor.log").read_text(encoding="utf-8", errors="replace").strip()
                raise Unreachable(
                    SERVICE, f"start {job}", words.rpartition("\n")[2] or "its supervisor ended"
                )

    def _forget_old(self) -> None:
        if not self._folder.exists():
            return
        folders = sorted(self._folder.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in folders[KEPT - 1 :]:
            if not _is_watched(old):
                shutil.rmtree(old, ignore_errors=True)


def _let_go() -> None:
    """Leave the supervisors that have ended."""
    with _WATCHING:
        for ended in [one for one in _WATCHED if one.poll() is not None]:
            _WATCHED.remove(ended)
            if ended.stdin:
                ended.stdin.close()


@atexit.register
def _leave() -> None:
    """As this process ends its jobs do."""
    for supervisor in _WATCHED:
        if supervisor.stdin:
            supervisor.stdin.close()
    for supervisor in _WATCHED:
        with suppress(subprocess.TimeoutExpired):
            supervisor.wait(_LEAVE_SECONDS)


def _is_watched(folder: Path) -> bool:
    """Whether the supervisor lives: it holds the lock."""
    try:
        with (folder / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _facts(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "execution.json").read_text(encoding="utf-8"))
        assert isinstance(found, dict)
    except (OSError, ValueError, AssertionError) as error:
        raise Garbled(SERVICE, "read the execution", f"{folder.name}: {error}") from error
    return found
