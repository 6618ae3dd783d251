"""The life of an embedded Postgres: made once, started in a tenth of a second, gone with its owner."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import pg8000.native

from shared.embedded.postgres import leftovers
from shared.embedded.postgres.account import Account, child_setup, give, server_account
from shared.embedded.postgres.binaries import PACKAGE, programs
from shared.errors import StackError

USER = "lectern"
DATABASE = "postgres"

SETTINGS: Mapping[str, str] = {
    # A small machine with one application on it; what is committed is on the disk (fsync stays on).
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "32",
    "shared_buffers": "32MB",
    "work_mem": "8MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "io_method": "sync",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "huge_pages": "off",
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}

_LONGEST_SOCKET = 100
"""Bytes; sun_path holds 104 on macOS and 108 on Linux, its final zero included."""

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_CHILD_SECONDS = 5.0
"""How long a killed owner's child may hold its lock: between its fork and its exec it has a copy."""
_LOG_BYTES = 5_000_000
_ATTEMPTS = 3


class EmbeddedPostgres:
    """A Postgres server of our own, with its data in ``home``.

    Reached through a unix socket alone, by its owner alone. ``settings`` are put on top of
    :data:`SETTINGS` (None leaves one out); ``package`` is the wheel that the programs come from.
    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    However the last run ended (``kill -9`` of us, of the server, in the middle of the first
    set-up), the next start works and what was committed is there.

    Errors: :class:`~shared.errors.StackError` when another process uses this home, or when the
    server does not come up; its message carries the server's own words.
    """

    def __init__(
        self, home: Path, settings: Mapping[str, str | None] | None = None, *, package: str = PACKAGE
    ) -> None:
        self.home = home.absolute()
        self.data = self.home / "data"
        self.log = self.home / "postgres.log"
        self._package = package
        wanted = {**SETTINGS, **(settings or {})}
        self._settings = {key: value for key, value in wanted.items() if value is not None}
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._released = threading.Event()
        self._has_sockets = False

    @property
    def url(self) -> str:
        """The address in the form of DATABASE_URL."""
        return f"postgresql://{USER}@/{DATABASE}?host={quote(str(self._sockets), safe='/')}&port={self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def start(self) -> Self:
        """Make the database if there is none, start it, and return when it answers a query."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._start_locked()
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """End the server after a checkpoint; nothing happens when it does not run."""
        atexit.unregister(self.stop)
        if self._process:
            self._end(self._process)
            self._process = None
        self._released.set()
        if self._lock:
            if self._has_sockets:
                shutil.rmtree(self._sockets, ignore_errors=True)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------ one owner

    def _take_lock(self) -> None:
        lock = (self.home / "lock").open("a+")
        end = time.monotonic() + _CHILD_SECONDS
        while not _locked(lock):
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            if leftovers.is_gone(owner) and time.monotonic() < end:
                time.sleep(0.01)
                continue
            lock.close()
            raise StackError(
                f"The database in {self.home} is in use by process {owner}.",
                hint="Stop that process, or set LECTERN_HOME to another folder.",
            )
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    # ------------------------------------------------------------ starting

    def _start_locked(self) -> None:
        account = server_account(self.home)
        leftovers.clear(self.home, self.data)
        folder = programs(self.home, account, self._package)
        if not (self.data / "PG_VERSION").exists():
            self._make(folder, account)
        self._prepare_sockets(account)
        for attempt in range(1, _ATTEMPTS + 1):
            self._process = self._spawn(folder, account)
            if self._answers(self._process):
                return
            if attempt == _ATTEMPTS or not self._may_work_next_time():
                raise StackError(
                    f"The database in {self.home} did not start: {self._last_words()}",
                    hint=f"The whole log is in {self.log}.",
                )
            leftovers.clear(self.home, self.data)

    def _make(self, folder: Path, account: Account) -> None:
        """A new cluster: complete under its final name, or not there at all."""
        work = Path(tempfile.mkdtemp(prefix=".initdb-", dir=self.home))
        give(work, account)
        command = [
            str(folder / "initdb"), "--pgdata", str(work), "--username", USER, "--encoding", "UTF8",
            "--no-locale", "--auth-local", "trust", "--auth-host", "reject", "--wal-segsize", "4",
            "--no-instructions",
        ]  # fmt: skip
        process = self._keep(command, account, work)
        if process.wait() != 0:
            raise StackError(
                f"No database could be made in {self.home}: {self._last_words()}",
                hint=f"The whole log is in {self.log}.",
            )
        work.rename(self.data)

    def _spawn(self, folder: Path, account: Account) -> subprocess.Popen[bytes]:
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.write_bytes(b"")
        options = [word for key, value in self._settings.items() for word in ("-c", f"{key}={value}")]
        command = [str(folder / "postgres"), "-D", str(self.data), "-k", str(self._sockets), *options]
        return self._keep(command, account, self.data)

    def _keep(self, command: list[str], account: Account, folder: Path) -> subprocess.Popen[bytes]:
        """Start a child from a thread that lives until we stop: it dies when that thread ends."""
        started: list[subprocess.Popen[bytes] | OSError] = []
        ready = threading.Event()
        released = self._released = threading.Event()

        def keeper() -> None:
            try:
                started.append(self._popen(command, account, folder))
            except OSError as error:
                started.append(error)
            ready.set()
            released.wait()

        threading.Thread(target=keeper, name="embedded-postgres", daemon=True).start()
        ready.wait()
        if isinstance(started[0], OSError):
            raise StackError(
                f"{command[0]} could not be started: {started[0].strerror}.",
                hint="Install the requirements again: `pip install -r requirements.txt`.",
            ) from started[0]
        return started[0]

    def _popen(self, command: list[str], account: Account, folder: Path) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,  # how leftovers are found
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                start_new_session=True,  # Ctrl-C in our terminal is for us
                preexec_fn=child_setup(account, signal.SIGINT),  # noqa: PLW1509 - it only makes system calls
            )

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Wait for a SELECT 1; False when the server ended instead."""
        until, pause = time.monotonic() + _START_SECONDS, 0.005
        while process.poll() is None and time.monotonic() < until:
            try:
                with pg8000.native.Connection(
                    USER, database=DATABASE, unix_sock=str(self._socket), ssl_context=False, timeout=5
                ) as connection:
                    connection.run("SELECT 1")
                    return True
            except (pg8000.native.Error, OSError):
                time.sleep(pause)
                pause = min(pause * 1.5, 0.1)
        return False

    def _may_work_next_time(self) -> bool:
        """An orphan of the last run may hold the shared memory, or the pid file, a moment longer."""
        words = self._last_words()
        return "shared memory" in words or "lock file" in words

    def _last_words(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4000))
            lines = log.read().decode("utf-8", "replace").splitlines()
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
        return (telling or lines or ["it said nothing."])[-1]

    # ------------------------------------------------------------ the socket

    @property
    def _port(self) -> str:
        return self._settings.get("port", "5432")

    @property
    def _socket(self) -> Path:
        return self._sockets / f".s.PGSQL.{self._port}"

    @property
    def _sockets(self) -> Path:
        """A folder whose path is short enough for a socket: in home, or a fixed one among the temporary."""
        inside = self.home / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{self._port}")) <= _LONGEST_SOCKET:
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lectern-{os.geteuid()}-{digest}"

    def _prepare_sockets(self, account: Account) -> None:
        folder = self._sockets
        if (
            folder.is_dir()
            and not folder.is_symlink()
            and folder.stat().st_uid in (os.geteuid(), account.uid)
        ):
            shutil.rmtree(folder)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise StackError(
                f"{folder} belongs to somebody else.",
                hint="Remove it, or set LECTERN_HOME to a shorter path.",
            ) from None
        self._has_sockets = True
        folder.chmod(stat.S_IRWXU)
        give(folder, account)

    # ------------------------------------------------------------ stopping

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if process.poll() is None:
                process.send_signal(number)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return


def _locked(lock: IO[str]) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
