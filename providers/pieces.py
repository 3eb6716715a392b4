"""What has come of a body and was not read yet: filled by whatever carries it, read by one attempt."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

HIGH_WATER = 64 * 1024  # bytes that may be here before whoever sends must wait


class Pieces:
    """A `streams.Source`. What came before an error is read before it, unless it is the reader who gave up."""

    __slots__ = ("_ended", "_error", "_loop", "_on_eof", "_pieces", "_reader", "_size")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._on_eof: list[Callable[[], None]] = []

    # -- the reader's side ------------------------------------------------------------

    async def readany(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        self._was_read()
        return data

    def is_eof(self) -> bool:
        return self._ended

    def on_eof(self, callback: Callable[[], None]) -> None:
        self._on_eof.append(callback)

    def set_exception(self, exc: BaseException) -> None:
        """The reader is to stop."""
        self._pieces.clear()
        self._size = 0
        self._fail(exc)

    # -- the other side ---------------------------------------------------------------

    def _was_read(self) -> None:
        """There is room again."""

    def _put(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        wake(self._reader)

    def _end(self) -> None:
        self._ended = True
        for callback in self._on_eof:
            callback()
        wake(self._reader)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        wake(self._reader)


def wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
