"""COPY on one connection, in large blocks.

pg8000 reads each row with two calls and hands it over alone; a table of small rows costs it more time than
compressing what it read. Here a block is whatever the socket gave, and rows are cut out of it
(https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY). The simple query protocol is used,
in which nothing but the answer to our one question can arrive.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

import pg8000.native
from pg8000.core import Context

BLOCK_BYTES = 1 << 18
_DATA = ord("d")
_READY = ord("Z")
_OUT = ord("H")
_HEAD = struct.Struct("!ci")
_HEAD_BYTES = 5


class CopyConnection(pg8000.native.Connection):  # type: ignore[misc]
    """A connection of pg8000 that copies. Raises what pg8000 raises."""

    def copy_out(self, sql: str, write: Callable[[bytes], object]) -> int:
        """Run ``COPY … TO STDOUT``; the number of rows."""
        context = self._asked(sql)
        buffer = bytearray(BLOCK_BYTES)
        held, done = 0, False
        while not done:
            if held == len(buffer):  # one row fills it
                buffer.extend(bytes(len(buffer)))
            held += self._received(memoryview(buffer)[held:])
            used, done = self._taken(memoryview(buffer)[:held], context, write)
            buffer[: held - used] = buffer[used:held]
            held -= used
        if context.error is not None:
            raise context.error
        return int(context.row_count)

    def copy_in(self, sql: str, blocks: Iterable[bytes]) -> int:
        """Run ``COPY … FROM STDIN``; the number of rows."""
        context = self._asked(sql)
        while True:
            code, size = _HEAD.unpack(self._exactly(_HEAD_BYTES))
            data = self._exactly(size - 4)
            if code == b"G":
                self._send(blocks)
            else:
                self.message_types[code](data, context)
            if code == b"Z":
                break
        if context.error is not None:
            raise context.error
        return int(context.row_count)

    def _asked(self, sql: str) -> Context:
        self.send_QUERY(sql)
        self._sock.flush()
        return Context(sql)

    def _received(self, room: memoryview) -> int:
        size = self._sock.readinto1(room)
        if not size:
            raise pg8000.native.InterfaceError("network error")
        return int(size)

    def _exactly(self, size: int) -> bytes:
        data = self._sock.read(size)
        if len(data) < size:
            raise pg8000.native.InterfaceError("network error")
        return bytes(data)

    def _taken(
        self, view: memoryview, context: Context, write: Callable[[bytes], object]
    ) -> tuple[int, bool]:
        """Handle every whole message; how many bytes they had, and whether that was the last one."""
        rows: list[memoryview] = []
        at, end, last = 0, len(view), False
        while end - at >= _HEAD_BYTES and not last:
            start = at + _HEAD_BYTES
            stop = at + 1 + int.from_bytes(view[at + 1 : start], "big")
            if stop > end:
                break
            if view[at] == _DATA:
                rows.append(view[start:stop])
            elif view[at] != _OUT:
                self.message_types[bytes(view[at : at + 1])](bytes(view[start:stop]), context)
                last = view[at] == _READY
            at = stop
        if rows:
            write(b"".join(rows))
        return at, last

    def _send(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            self._sock.write(_HEAD.pack(b"d", len(block) + 4))
            self._sock.write(block)
            self._sock.flush()
        self._sock.write(_HEAD.pack(b"c", 4))
        self._sock.flush()
