"""What may go wrong with a request to the fake, on demand."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request fails; the fields can be combined. Counts are chunks of a streamed answer.
    ``operation`` is a part of the path of the requests that fail, such as ``stream``; empty: of all.

    ``status`` answers with that HTTP error, ``retry_delay`` (such as ``"7s"``) adds RetryInfo and
    ``retry_after`` the header. ``black_hole`` never answers. ``malformed`` answers 200 with a body
    that is not JSON. ``cut_after`` closes the connection after n chunks (of a whole answer: in its
    middle), ``error_after`` sends an error object as chunk n, ``end_after`` ends the stream in good
    order but early. ``endless`` repeats the first chunk for ever, ``trickle`` sends one byte at a
    time. ``blocked_prompt`` and ``blocked_answer`` name a reason. ``vectors`` spoils embeddings:
    ``short``, ``fewer``, ``zero`` or ``nan``. ``first_byte_delay`` and ``chunk_delay`` are seconds.
    """

    operation: str = ""
    status: int = 0
    retry_delay: str = ""
    retry_after: str = ""
    black_hole: bool = False
    malformed: bool = False
    cut_after: int | None = None
    error_after: int | None = None
    end_after: int | None = None
    endless: bool = False
    trickle: bool = False
    blocked_prompt: str = ""
    blocked_answer: str = ""
    vectors: str = ""
    first_byte_delay: float = 0.0
    chunk_delay: float = 0.0


class Faults:
    """The faults to come: those queued for the next requests, then the standing one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Fault] = deque()
        self._standing = Fault()

    def next(self, *faults: Fault) -> None:
        """The next requests fail so, one each."""
        with self._lock:
            self._queue.extend(faults)

    def always(self, fault: Fault) -> None:
        """Every request fails so, until :meth:`clear`."""
        with self._lock:
            self._standing = fault

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()
            self._standing = Fault()

    def take(self, path: str = "") -> Fault:
        """The fault of the request that has just arrived: the first one queued for its path, else the
        standing one.
        """
        with self._lock:
            for fault in self._queue:
                if fault.operation in path:
                    self._queue.remove(fault)
                    return fault
            return self._standing if self._standing.operation in path else Fault()
