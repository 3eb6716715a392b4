"""One HTTP/1.1 connection to a provider: a request goes out in one write, and its answer comes in within bounds.

Made for what `/v1` needs and nothing else: one question at a time, no redirects, no trailers, no other protocol to
change to. The framing is read by llhttp; what it, or a bound, does not accept ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Protocol

import httptools

from providers.pieces import HIGH_WATER, Pieces, wake

FIELD_BYTES = 8190  # of one header
MOST_HEADERS = 128
HEAD_BYTES = 64 * 1024  # and of anything else that is not body, until some body comes
LARGE = 1024 * 1024  # a request's body is sent in pieces from here on
PIECE = 256 * 1024

_GARBLED = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class Broken(OSError):
    """The connection ended before the answer did."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the connection broke")
        self.begun = begun  # something of an answer had come


class Garbled(OSError):
    """What came is not HTTP, or more of it than there may be."""


class Keeper(Protocol):
    """Who is told what becomes of a connection."""

    def made(self, connection: Connection) -> None: ...

    def rests(self, connection: Connection) -> None:
        """It can be used again."""

    def lost(self, connection: Connection) -> None: ...


class Connection(Pieces, asyncio.Protocol):
    """A source of pieces once `ask` has returned, until `let_go`."""

    __slots__ = (
        "_asked",
        "_begun",
        "_drained",
        "_keep",
        "_keeper",
        "_left",
        "_loose",
        "_lost",
        "_method",
        "_parser",
        "_paused",
        "_stopped",
        "_transport",
        "_until_close",
        "_waiter",
        "headers",
        "rested_at",
        "status",
        "where",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper, where: object) -> None:
        super().__init__(loop)
        self.where = where  # of the keeper
        self.rested_at = 0.0  # of the keeper
        self.status = 0
        self.headers: dict[str, str] = {}
        self._keeper = keeper
        self._transport: Any = None  # uvloop's transports are asyncio's by their methods only
        self._parser: httptools.HttpResponseParser | None = _parser_for(self)
        self._waiter: asyncio.Future[None] | None = None  # for the end of the head
        self._drained: asyncio.Future[None] | None = None
        self._asked = False  # a request was written, and its answer is not whole
        self._begun = False  # something came in answer
        self._keep = False  # another question may follow
        self._until_close = False  # the body ends where the connection does
        self._paused = False  # the provider takes no more of the request for now
        self._stopped = False  # the provider is not read from for now
        self._lost = False
        self._method = ""
        self._left = 0  # headers there may still be
        self._loose = 0  # bytes since the last of the body

    # -- asking -----------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return not self._lost and not self._transport.is_closing()

    async def ask(self, method: str, head: bytes, body: bytes, *, keep: bool = True) -> None:
        """Send a request and wait for the head of its answer. Raises Broken and Garbled; closes when it raises."""
        if self._lost:  # a moment ago: nobody would tell us again
            raise Broken(begun=False)
        self._ended, self._error = False, None
        self._on_eof.clear()
        self._asked, self._begun, self._keep = True, False, keep
        self._method, self._left, self._loose = method, MOST_HEADERS, 0
        self.status, self.headers = 0, {}
        self._waiter = waiter = self._loop.create_future()
        try:
            if len(body) < LARGE:
                self._transport.write(head + body)
            else:
                await self._send(head, body, waiter)
            await waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None

    async def _send(self, head: bytes, body: bytes, waiter: asyncio.Future[None]) -> None:
        """A large body, in pieces, as fast as it is taken. Once there is an answer nobody wants the rest."""
        self._transport.write(head)
        for at in range(0, len(body), PIECE):
            while self._paused and not waiter.done():
                self._drained = self._loop.create_future()
                try:
                    await self._drained
                finally:
                    self._drained = None
            if waiter.done():
                self._keep = False
                return
            self._transport.write(body[at : at + PIECE])

    def let_go(self, at_end: bool) -> None:
        """Done with this answer. The connection stays only when all of it was there, and all of the question sent."""
        whole = at_end and self._ended and self._keep and self.usable
        if not whole or self._transport.get_write_buffer_size():
            self.abort()
            return
        self._pieces.clear()
        self._size = 0
        self._was_read()
        self._keeper.rests(self)

    def abort(self) -> None:
        self._keep = False
        if not self._lost:
            self._transport.abort()

    def _was_read(self) -> None:
        if self._stopped:
            self._stopped = False
            if self.usable:
                self._transport.resume_reading()

    # -- the transport calls ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._keeper.made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._parser = None  # which holds this
        self._keeper.lost(self)
        if not self._asked:
            return
        if self.status and self._until_close and exc is None:
            self._complete()
        else:
            self._break(Broken(begun=self._begun))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        wake(self._drained)

    def data_received(self, data: bytes) -> None:
        if not self._asked or self._parser is None:
            self.abort()  # nobody asked: whatever this is, the next answer would not be what it seems
            return
        self._begun = True
        self._loose += len(data)
        try:
            self._parser.feed_data(data)
        except _GARBLED as error:
            self._break(Garbled(str(error)))
            self.abort()
            return
        if self._loose > HEAD_BYTES and self._asked:
            self._break(Garbled("more than there may be beside a body"))
            self.abort()
        elif self._size > HIGH_WATER and not self._stopped:
            self._stopped = True
            self._transport.pause_reading()

    # -- the parser calls -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._ended:
            raise Garbled("a second answer to one question")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._left -= 1
        if self._left < 0 or len(name) + len(value) > FIELD_BYTES:
            raise Garbled("more headers than there may be")
        if self.status:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace")
        headers = self.headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:  # only for now: the answer follows
            self.headers = {}
            self._left, self._loose = MOST_HEADERS, 0
            return
        self.status = status
        self._keep = self._keep and self._parser.should_keep_alive()
        self._until_close = _until_close(self.headers)
        wake(self._waiter)
        wake(self._drained)
        if self._method == "HEAD":
            self._keep = False  # the parser would wait for the body that is only spoken of
            self._complete()

    def on_body(self, body: bytes) -> None:
        if self._asked:
            self._loose = 0
            self._put(body)

    def on_message_complete(self) -> None:
        if self.status and self._asked:
            self._complete()

    # -- the end of an answer ----------------------------------------------------------------

    def _complete(self) -> None:
        self._asked = False
        self._end()

    def _break(self, error: OSError) -> None:
        """What came of a body is still there to be read."""
        self._keep = False
        if not self._asked:
            return
        self._asked = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        wake(self._drained)
        self._fail(error)


def _parser_for(connection: Connection) -> httptools.HttpResponseParser:
    parser = httptools.HttpResponseParser(connection)
    # What some servers do and every client forgives.
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
    )
    return parser


def _until_close(headers: Mapping[str, str]) -> bool:
    coding = headers.get("transfer-encoding")
    if coding is not None:
        return coding.rpartition(",")[2].strip().lower() != "chunked"
    return "content-length" not in headers
