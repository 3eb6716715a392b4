"""One attempt at an answer, whoever gives it: opened, read in pieces within its limits, and let go of once.

Time is watched by one clock for all attempts of a process, which looks twenty times a second while there are any: a
timer for each would cost more than the rest of this file. While nobody is reading only the deadline counts: a slow
reader makes the provider wait, and that is no stall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Protocol

import msgspec

from providers import causes
from providers.doors import Dial
from providers.errors import InvalidAnswer, TooLarge
from providers.wiring import HttpRequest, Limits

TICK_SECONDS = 0.05
LINGER_SECONDS = 0.1  # how long the end of a body is waited for, so that its connection can be used again


class Source(Protocol):
    """Where pieces come from."""

    async def readany(self) -> bytes:
        """What is there, or waits for it; nothing at the end."""

    def is_eof(self) -> bool: ...

    def on_eof(self, callback: Callable[[], None]) -> None: ...

    def set_exception(self, exc: BaseException) -> None: ...


class Opened(msgspec.Struct, frozen=True):
    """An answer whose headers have come."""

    status: int
    headers: Mapping[str, str]
    source: Source
    # Called once with whether the body had ended by then: if not, whatever carries it is closed.
    close: Callable[[bool], None] | None


Opener = Callable[[HttpRequest, Limits, Dial], Awaitable[Opened]]


class Clock:
    """Every open attempt, and the one timer that looks whether any of them is overdue."""

    def __init__(self) -> None:
        self.attempts: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self.attempts.add(attempt)
        if self._timer is None:
            self._timer = loop.call_later(TICK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for attempt in tuple(self.attempts):
            if now >= attempt.due:
                attempt.expire(now)
        self._timer = loop.call_later(TICK_SECONDS, self._look, loop) if self.attempts else None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Attempt:
    """`async with` it for the open answer, which is itself: it fulfils `wiring.HttpStream` and is its own iterator."""

    __slots__ = (
        "_bytes",
        "_clock",
        "_close",
        "_dial",
        "_expired",
        "_first",
        "_limits",
        "_loop",
        "_opener",
        "_over",
        "_request",
        "_source",
        "_task",
        "due",
        "headers",
        "status",
    )

    def __init__(self, clock: Clock, opener: Opener, request: HttpRequest, limits: Limits) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.due = 0.0  # when the clock is to call
        self._clock = clock
        self._opener = opener
        self._request = request
        self._limits = limits
        self._source: Source | None = None
        self._close: Callable[[bool], None] | None = None
        self._bytes = 0
        self._first = True
        self._over = False

    # -- opening ------------------------------------------------------------------

    async def __aenter__(self) -> Attempt:
        limits = self._limits
        self._loop = loop = asyncio.get_running_loop()
        self.due = min(limits.deadline, loop.time() + limits.first_byte)
        self._expired = False
        self._dial = dial = Dial()
        self._task = task = asyncio.current_task(loop)
        assert task is not None
        cancelling = task.cancelling()
        self._clock.add(self, loop)
        try:
            opened = await self._opener(self._request, limits, dial)
        except asyncio.CancelledError:
            self._end()
            if self._expired and task.uncancel() <= cancelling:
                raise causes.too_late(sent=dial.reached) from None
            raise
        except BaseException:
            self._end()
            raise
        self._source = opened.source
        self._close = opened.close
        self.status = opened.status
        self.headers = opened.headers
        reason = _refused(opened, limits)
        if reason:
            self.abandon()
            raise InvalidAnswer(reason, upstream_status=opened.status)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.leave()
        else:
            self.abandon()

    # -- reading ------------------------------------------------------------------

    def chunks(self) -> Attempt:
        return self

    def __aiter__(self) -> Attempt:
        return self

    async def __anext__(self) -> bytes:
        limits = self._limits
        if not self._first:
            self.due = min(limits.deadline, self._loop.time() + limits.idle)
        if self._over or self._source is None:
            raise causes.cut()
        try:
            data = await self._source.readany()
        except causes.NETWORK_ERRORS as error:
            self.abandon()
            raise causes.of_reading(error) from error
        except BaseException:  # ours, from the clock; or the reader was cancelled, and nobody wants the rest
            self.abandon()
            raise
        self.due = limits.deadline
        if not data:
            raise StopAsyncIteration
        self._first = False
        self._bytes += len(data)
        if self._bytes > limits.body_bytes:
            self.abandon()
            raise TooLarge(f"The answer is longer than {limits.body_bytes:,} bytes.")
        return data

    async def read(self) -> bytes:
        pieces: list[bytes] = []
        async for data in self:
            pieces.append(data)
            if self._source is not None and self._source.is_eof():  # a piece is all there was
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # -- time -----------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """The clock calls: one of the limits has passed."""
        self.due = now + 3600.0
        if self._over:
            return
        if self._source is None:
            self._expired = True
            if self._task is not None:
                self._task.cancel()
        elif self._first:
            self._source.set_exception(causes.too_late())
        elif now >= self._limits.deadline:
            self._source.set_exception(causes.too_long())
        else:
            self._source.set_exception(causes.stalled())

    # -- the end --------------------------------------------------------------------

    def leave(self) -> None:
        """Done reading. The connection is given back if the body has ended, or ends in a moment."""
        if self._over:
            return
        if self._source is None or self._source.is_eof():
            self._end(at_end=True)
            return
        self._source.on_eof(self._end_reached)
        self._loop.call_later(LINGER_SECONDS, self.abandon)

    def abandon(self) -> None:
        """Close the connection at once, whatever is still to come."""
        self._end()

    def _end_reached(self) -> None:
        self._end(at_end=True)

    def _end(self, *, at_end: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self._task = None
        self._clock.attempts.discard(self)
        close, self._close = self._close, None
        if close is not None:
            close(at_end)


def _refused(opened: Opened, limits: Limits) -> str:
    """What about the headers makes this no answer at all."""
    if 300 <= opened.status < 400:
        return f"The provider answered {opened.status}, a redirect. Redirects are not followed: correct the address."
    coding = opened.headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in ("", "identity"):
        return "The provider sent a compressed answer, which was not asked for."
    size = 0
    for name, value in opened.headers.items():
        size += len(name) + len(value)
    if size > limits.header_bytes:
        return f"The provider sent more than {limits.header_bytes:,} bytes of headers."
    return ""
