"""A provider inside this process: an ASGI application called in memory, seen from above like one on the network.

The same limits hold: its pieces go through a bounded queue, so a slow reader makes it wait; leaving tells it so; and
an application that returns without a last `more_body=False` has cut its answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from yarl import URL

from providers.causes import cut
from providers.errors import Unreachable
from providers.pieces import HIGH_WATER, Pieces, wake
from providers.wiring import HttpRequest

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Application = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class Exchange(Pieces):
    """One request to the application and its response. A `streams.Source` once `headers_come()` has returned."""

    def __init__(self, application: Application, request: HttpRequest) -> None:
        super().__init__(asyncio.get_running_loop())
        self._application = application
        self._request = request
        self._started: asyncio.Future[tuple[int, Mapping[str, str]]] = self._loop.create_future()
        self._writer: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()
        self._asked = False
        self._task = self._loop.create_task(self._run(), name="pretend vendor")

    async def headers_come(self) -> tuple[int, Mapping[str, str]]:
        return await self._started

    # -- the reader's side ------------------------------------------------------------

    def _was_read(self) -> None:
        wake(self._writer)

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
            if not self._ended:
                self._fail(cut())  # what was sent before it is still there to be read

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
            self._put(bytes(body))
        if not message.get("more_body", False):
            self._end()
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
