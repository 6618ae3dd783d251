"""What is opened for some work, and closed together at its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from shared.settings import Settings

T = TypeVar("T")


class Opened:
    """``settings``, and what was opened by them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._opened.close()

    def _open(self, part: T, close: Callable[[], None]) -> T:
        self._opened.callback(close)
        return part
