"""Bytes to the lines of newline-delimited JSON, as they come from the network: cut anywhere. No I/O.

A line may end with or without a carriage return; empty ones say nothing. What is longer than an event of another
framing may be is refused before it is held.
"""

from __future__ import annotations

from providers.errors import TooLarge
from providers.sse import EVENT_BYTES


class LineDecoder:
    """`feed` it what arrives, `close` it at the end."""

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, limit: int = EVENT_BYTES) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []  # of a line that has not ended
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in this piece."""
        first, mark, rest = data.partition(b"\n")
        if not mark:
            self._hold(first)
            return []
        if self._pieces:
            self._hold(first)
            first = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        *lines, rest = rest.split(b"\n")
        whole = [line for each in (first, *lines) if (line := self._whole(each))]
        self._hold(rest)
        return whole

    def close(self) -> list[bytes]:
        """The last line, where its end was left out."""
        line = self._whole(b"".join(self._pieces))
        self._pieces.clear()
        self._size = 0
        return [line] if line else []

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size > self._limit:
                raise self._too_large()

    def _whole(self, line: bytes) -> bytes:
        if len(line) > self._limit:
            raise self._too_large()
        return line.strip()

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A line of the answer is longer than {self._limit:,} bytes.")
