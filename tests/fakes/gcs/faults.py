"""Faults on demand: which operation, at which of its calls, what goes wrong."""

from __future__ import annotations

import threading
from dataclasses import dataclass

_TEXT = "insert initiate chunk status cancel stat media list delete patch bucket token"
OPERATIONS = tuple(_TEXT.split())


@dataclass
class Fault:
    """One fault. It passes over ``skip`` calls of the operation ``on``, then strikes ``times`` times.

    ``status``: answered instead of doing anything, with ``retry_after`` and ``message``.
    ``delay``: seconds before anything else. ``drop``: reset before anything is done.
    ``cut_request``: the connection is reset after that many bytes of the request's body.
    ``cut_response``: the same for the response's body.
    ``damage_request``: one bit of the request's last byte of payload arrives flipped.
    ``lose_answer``: done, but reset instead of answered. ``garbage``: done, but answered with this body.
    ``flip``: done, with one bit of the response's body flipped. ``drip``: seconds between the blocks
    of 1 KiB in which the body is sent.
    """

    on: str
    skip: int = 0
    times: int = 1
    status: int = 0
    retry_after: str = ""
    message: str = "fault on demand"
    reason: str = "backendError"
    delay: float = 0.0
    drip: float = 0.0
    drop: bool = False
    cut_request: int = -1
    cut_response: int = -1
    lose_answer: bool = False
    garbage: bytes | None = None
    flip: bool = False
    damage_request: bool = False


class Faults:
    """The faults that are waiting, and how often each operation was called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self.calls: dict[str, int] = dict.fromkeys(OPERATIONS, 0)

    def add(self, fault: Fault) -> None:
        assert fault.on in OPERATIONS, f"{fault.on} is none of {OPERATIONS}"
        with self._lock:
            self._waiting.append(fault)

    def answer(self, on: str, status: int, *, times: int = 1, skip: int = 0, retry_after: str = "") -> None:
        """Answer the operation with an error status."""
        self.add(Fault(on, skip, times, status=status, retry_after=retry_after))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault that strikes this call, if any."""
        with self._lock:
            self.calls[operation] += 1
            for fault in self._waiting:
                if fault.on != operation:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._waiting.remove(fault)
                return fault
        return None
