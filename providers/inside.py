"""A provider inside this process: an ASGI application called in memory, seen from above like one on the network.

The same limits hold: its pieces go through a bounded queue, so a slow reader makes it wait; leaving tells it so; and
an application that returns without a last `more_body=False` has cut its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from yarl import URL

from providers.causes import cut
from providers.errors import Unreachable
from providers.wiring import HttpRequest

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

HIGH_WATER = 64 * 1024  # bytes an application may be ahead of its reader


class Exchange:
    """One request to the application and its response. A `streams.Source` once `headers_come()` has returned."""

    def __init__(self, application: Application, request: HttpRequest) -> None:
        self._application = application
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[tuple[int, Mapping[str, str]]] = self._loop.create_future()
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._asked = False
        self._ended = False
        self._error: BaseException | None = None
        self._on_eof: list[Callable[[], None]] = []
        self._task = self._loop.create_task(self._run(), name="pretend vendor")

    async def headers_come(self) -> tuple[int, Mapping[str, str]]:
        return await self._started

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
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        _wake(self._writer)
        return data

    def is_eof(self) -> bool:
        return self._ended

    def on_eof(self, callback: Callable[[], None]) -> None:
        self._on_eof.append(callback)

    def set_exception(self, exc: BaseException) -> None:
        if self._error is None:
            self._error = exc
        self._pieces.clear()
        _wake(self._reader)

    def close(self, at_end: bool = False) -> None:
        """The client leaves: the application is told, and stopped if it does not care."""
        self._gone.set()
        self._on_eof.clear()
        if not self._task.done():
            self._task.cancel()

    # -- the application's side -------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._application(self._scope(), self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except Exception:
            # A fault of the application is what a crashed server is to a client: a broken connection.
            log.exception("the application inside failed")
        finally:
            if not self._started.done():
                self._started.set_exception(Unreachable("The connection was closed before an answer came."))
                self._started.exception()  # seen, also when nobody waits for it any more
            if not self._ended and self._error is None:
                self._error = cut()  # what was sent before it is still there to be read
                _wake(self._reader)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in message.get("headers", ())}
            if not self._started.done():
                self._started.set_result((message["status"], headers))
            return
        body = message.get("body", b"")
        if body:
            self._pieces.append(bytes(body))
            self._size += len(body)
        if not message.get("more_body", False):
            self._ended = True
            for callback in self._on_eof:
                callback()
        _wake(self._reader)
        while self._size > HIGH_WATER and not self._ended:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    def _scope(self) -> MutableMapping[str, Any]:
        url = URL(self._request.url)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path.encode(),
            "query_string": url.raw_query_string.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in self._request.headers.items()],
            "client": ("127.0.0.1", 0),
            "server": (url.host, url.port),
        }


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
