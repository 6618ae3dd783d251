"""The process that watches over one execution of a local job: ``python -m shared.embedded.job_supervisor F``.

It reads ``F/execution.json``, starts the tasks, and writes how they ended back to it. The first line of its
standard input is the tasks' environment, a JSON object: it has secrets, and so is in no file. Whoever
started it holds the other end: when that ends, however it ends, the tasks are stopped. The lock on
``F/lock``, which the system drops with this process, tells others whether it still watches.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GRACE_SECONDS = 10.0
"""What a task has to stop in, as on Cloud Run."""

_TAIL_BYTES = 4000
_LONGEST_MESSAGE = 300
_PR_SET_PDEATHSIG = 1

Json = dict[str, Any]


def main(folder: Path) -> None:
    """Run the execution of ``folder`` to its end."""
    lock = (folder / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    facts = json.loads((folder / "execution.json").read_text(encoding="utf-8"))
    environment = json.loads(sys.stdin.buffer.readline())
    tasks = [_start(folder, facts, environment, index) for index in range(facts["tasks"])]
    print("started", flush=True)  # noqa: T201 - what the starter waits for
    stopped = threading.Event()
    threading.Thread(target=_stop_with_starter, args=(tasks, stopped), daemon=True).start()
    codes = [task.wait() for task in tasks]
    write(folder, facts | _outcome(folder, codes, is_stopped=stopped.is_set()))


def write(folder: Path, facts: Json) -> None:
    """Put ``execution.json`` in place whole."""
    new = folder / "execution.json.new"
    new.write_text(json.dumps(facts), encoding="utf-8")
    new.replace(folder / "execution.json")


def _start(folder: Path, facts: Json, environment: Json, index: int) -> subprocess.Popen[bytes]:
    numbers = {"INDEX": index, "COUNT": facts["tasks"], "ATTEMPT": 0}
    own = {f"CLOUD_RUN_TASK_{key}": str(value) for key, value in numbers.items()}
    own |= {"CLOUD_RUN_JOB": facts["job"], "CLOUD_RUN_EXECUTION": facts["name"]}
    with (folder / f"task-{index}.log").open("wb") as log:
        return subprocess.Popen(
            facts["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**environment, **own},
            start_new_session=True,
            preexec_fn=_dies_with_us(),  # noqa: PLW1509 - no thread has been started, and it only calls the system
        )


def _dies_with_us() -> Callable[[], None] | None:
    """Where the system can do it, a task is killed with this process."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _stop_with_starter(tasks: list[subprocess.Popen[bytes]], stopped: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    stopped.set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for task in tasks:
            if task.poll() is None:
                os.killpg(task.pid, number)
        end = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < end and any(task.poll() is None for task in tasks):
            time.sleep(0.05)


def _outcome(folder: Path, codes: list[int], *, is_stopped: bool) -> Json:
    failed = [index for index, code in enumerate(codes) if code != 0]
    message = ""
    if failed:
        how = f"exit code {codes[failed[0]]}" if codes[failed[0]] > 0 else f"signal {-codes[failed[0]]}"
        message = f"Task {failed[0]} ended with {how}: {_last_line(folder / f'task-{failed[0]}.log')}"
    if failed and is_stopped:
        message = "It was stopped with the process that had started it."
    state = "failed" if failed else "succeeded"
    return {"state": state, "failed_tasks": len(failed), "finished_at": time.time(), "message": message}


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    telling = [line.strip() for line in lines if line.strip()]
    return telling[-1][:_LONGEST_MESSAGE] if telling else "it said nothing."


if __name__ == "__main__":
    main(Path(sys.argv[1]))
