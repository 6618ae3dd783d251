"""Server-sent events as Gemini sends them (HTML Living Standard, section 9.2), read as they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.adapters.gemini.errors import garbled

_LARGEST_EVENT = 4 << 20


def event_data(operation: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each complete event; chunks may be split anywhere, inside a character too.

    An event that the end of the stream cuts off is dropped, as the standard says. Raises
    ``Garbled`` when an event grows past 4 MiB.
    """
    data: list[bytes] = []
    for line in _lines(operation, chunks):
        if not line:
            if data:
                yield b"\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))


def _lines(operation: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LARGEST_EVENT:
            raise garbled(operation, f"an event of more than {_LARGEST_EVENT} bytes")
        for line in lines:
            yield line.removesuffix(b"\r")
