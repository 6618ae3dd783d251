"""One instance of a revision: a real process, with its port, its probe, its memory limit.

Cloud Run may run many instances of a revision; here there is one at most. It is started when a revision is
made (which is what makes it ready), and again by the next request after it ended or was scaled to zero.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.fakes.cloud_run.images import entry_point

_MEMORY_CHECK_SECONDS = 0.1
_PROBE_SECONDS = 0.05
_FAILED_TO_START = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT "
    "environment variable within the allocated timeout."
)
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


class NotStarted(Exception):
    """The container did not come up; the message says why."""


def bytes_of(amount: str) -> int:
    """``512Mi`` in bytes."""
    return int(float(amount[:-2]) * _UNITS[amount[-2:]])


class Instance:
    """``environment`` is the container's, ``probe`` the path that must answer 2xx within ``patience``
    seconds.
    """

    def __init__(
        self, tree: Path, environment: Mapping[str, str], *, memory: str, probe: str, patience: float
    ) -> None:
        self._tree = tree
        self._environment = dict(environment)
        self._limit = bytes_of(memory)
        self._probe = probe
        self._patience = patience
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed with the instance
        self.port = 0
        self.memory_kills = 0
        self.starts = 0

    def ensure(self) -> int:
        """The port of a running instance, started if need be. Raises :class:`NotStarted`."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self.port

    @property
    def alive(self) -> bool:
        process = self._process
        return process is not None and process.poll() is None

    def stop(self) -> None:
        """End it as a scale-down does."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def close(self) -> None:
        self.stop()
        self._log.close()

    def said(self) -> str:
        """What it wrote so far."""
        log = self._log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode("utf-8", "replace")

    def _start(self) -> None:
        self.port = _free_port()
        self.starts += 1
        threads = self._environment.get("THREADS", "8")
        process = subprocess.Popen(
            entry_point(self.port, threads),
            cwd=self._tree,
            env={**self._environment, "PORT": str(self.port)},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_until_up(process)
        except NotStarted:
            _end(process)
            raise
        self._process = process
        threading.Thread(target=self._watch_memory, args=(process,), daemon=True).start()

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        ends = time.monotonic() + self._patience
        while time.monotonic() < ends:
            if process.poll() is not None:
                raise NotStarted(f"{_FAILED_TO_START} It exited with {process.returncode}.")
            if _answers(self.port, self._probe):
                return
            time.sleep(_PROBE_SECONDS)
        raise NotStarted(f"The startup probe on {self._probe} failed within the allocated timeout.")

    def _watch_memory(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the whole container when it holds more than its limit, as the sandbox does."""
        while process.poll() is None:
            if _held(process.pid) > self._limit:
                self.memory_kills += 1
                _kill(process)
                return
            time.sleep(_MEMORY_CHECK_SECONDS)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except OSError:
        return False
    finally:
        connection.close()


def _held(pid: int) -> int:
    """Memory that only this process tree has, in bytes."""
    try:
        root = psutil.Process(pid)
        return sum(one.memory_full_info().uss for one in (root, *root.children(recursive=True)))
    except psutil.Error:
        return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(5)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
    _kill(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
