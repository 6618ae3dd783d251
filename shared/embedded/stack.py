"""The whole stack on one machine: Postgres, Qdrant's engine and a bucket, in one folder.

One process at a time owns a home. While it runs, ``stack.json`` tells other commands where the parts
listen; whether it is true is told by the lock, which the system drops however the owner ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from shared.embedded.postgres import EmbeddedPostgres
from shared.embedded.qdrant import EmbeddedQdrant
from shared.errors import StackError

LEAST_FREE_BYTES = 256 * 2**20
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.02

Progress = Callable[[str], None]
"""Told what begins, in words for a person."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a running stack are, in the form of the settings of the same names.

    ``page`` is the address of the local page while ``lectern run`` serves it.
    """

    database_url: str
    qdrant_url: str
    storage_bucket: str
    pid: int
    page: str = ""


class EmbeddedStack:
    """Starts the parts in ``home`` and stops them in the opposite order. A context manager.

    Errors: :class:`~shared.errors.StackError` when another process owns the home or a part does not start.
    """

    def __init__(self, home: Path, progress: Progress = lambda _: None) -> None:
        self.home = home.absolute()
        self._progress = progress
        self._parts = ExitStack()
        self.addresses: Addresses | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.close()

    def announce(self, page: str) -> None:
        """Tell other commands where the local page is served."""
        assert self.addresses is not None
        self._publish(Addresses(**{**asdict(self.addresses), "page": page}))

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._parts.callback(_own(self.home).close)
        _require_space(self.home)
        fresh = not (self.home / "postgres" / "data").exists()
        self._progress("Postgres: making the database (once)" if fresh else "Postgres: starting")
        postgres = self._parts.enter_context(EmbeddedPostgres(self.home / "postgres"))
        self._progress("Qdrant's engine: starting")
        qdrant = self._parts.enter_context(EmbeddedQdrant(self.home / "qdrant"))
        bucket = self.home / "bucket"
        bucket.mkdir(exist_ok=True)
        self._parts.callback((self.home / "stack.json").unlink, missing_ok=True)
        self._publish(Addresses(postgres.url, qdrant.url, bucket.as_uri(), os.getpid()))

    def _publish(self, addresses: Addresses) -> None:
        self.addresses = addresses
        temporary = self.home / "stack.json.new"
        temporary.write_text(json.dumps(asdict(addresses)), encoding="utf-8")
        temporary.replace(self.home / "stack.json")


def _require_space(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"The disk of {home} has {free // 2**20} MB free; {LEAST_FREE_BYTES // 2**20} MB are needed.",
            hint="Free some space, or move the data with LECTERN_HOME.",
        )


def running(home: Path) -> Addresses | None:
    """The addresses of the stack that runs in ``home``, or None when none does."""
    try:
        _own(home).close()
    except StackError:
        try:
            return Addresses(**json.loads((home / "stack.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StackError(
                f"The stack in {home} is starting or stopping.", hint="Try again in a few seconds."
            ) from error
    except FileNotFoundError:
        return None
    return None


def reset(home: Path) -> bool:
    """Delete the stack's data; whether there was any.

    Raises :class:`~shared.errors.StackError` while a process uses it, or when ``home`` is not a
    stack's folder.
    """
    home = home.absolute()
    if not home.exists():
        return False
    unknown = {entry.name for entry in home.iterdir()} - OWN_NAMES
    if unknown:
        raise StackError(
            f"{home} holds {', '.join(sorted(unknown))}, which is not Lectern's; nothing was deleted.",
            hint="Check LECTERN_HOME, or delete the folder by hand.",
        )
    with _own(home):
        shutil.rmtree(home)
    return True


OWN_NAMES = frozenset(
    {"lock", "stack.json", "stack.json.new", "postgres", "qdrant", "bucket", "functions.log", "jobs"}
)
"""What a home may hold: :func:`reset` deletes nothing else."""


def _own(home: Path) -> IO[str]:
    """Take the lock of an existing home; it is held until the file is closed."""
    lock = (home / "lock").open("a+", encoding="utf-8")
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            # Whoever asks whether a stack runs holds the lock for a moment.
            if attempt < _ATTEMPTS - 1:
                time.sleep(_PAUSE_SECONDS)
                continue
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StackError(
                f"The stack in {home} is in use by process {owner}.",
                hint="Stop it, or use another folder with LECTERN_HOME.",
            ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
