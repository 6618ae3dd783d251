"""Waits for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(found: Callable[[], T], seconds: float = 60.0) -> T:
    """Ask again and again; what is true or holds something, once it does."""
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < ends, f"it did not come to that within {seconds} s"
        time.sleep(0.01)
    return value
