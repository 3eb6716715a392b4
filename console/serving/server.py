"""uvicorn with our signals, our bounds and our drain.

uvicorn alone ends an idle connection at once when it drains, also one that was accepted a moment ago and is about to
ask, and bounds neither the size of a request's head nor the time it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from console import runs
from console.serving.transport import Held
from routing import worker
from routing.exchange import LEAVING
from routing.metrics import METRICS

log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024  # request line and headers
HEAD_SECONDS = 30.0  # the longest they may take to arrive
LINGER_SECONDS = 1.0  # while draining, how long an idle connection may still ask one more question
CUT_SECONDS = 2.0  # for an answer that outlived the drain to say so
SOCKET_MESSAGE_BYTES = 1024 * 1024
SWEEP_TICKS = 50  # of a tenth of a second

TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """One HTTP connection."""

    draining = False  # of this process; set on the class
    head_since: float | None = None  # when the head being read began
    head_bytes = 0
    _tell_left: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.head_since = self.loop.time()
        offered: dict[object, object] = {"tell": self.when_left, "abort": transport.abort}  # type: ignore[attr-defined]
        self._extensions = {LEAVING: offered}
        super().connection_made(Held(transport, self.loop))  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        tell, self._tell_left = self._tell_left, None
        if tell is not None:
            tell()
        super().connection_lost(exc)

    def when_left(self, tell: Callable[[], None] | None) -> None:
        """Call this when the client leaves, or nothing any more. Cheaper than a task that waits for a message."""
        self._tell_left = tell
        if tell is None:
            return
        self.flow.resume_reading()  # a long body has stopped it, and then nobody notices a client that leaves
        if self.cycle is not None and self.cycle.disconnected:
            self.loop.call_soon(tell)

    def on_message_begin(self) -> None:
        self.head_since = self.loop.time()
        self.head_bytes = 0
        super().on_message_begin()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_since is not None:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_headers_complete(self) -> None:
        self.head_since = None
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()
        if self.draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def shutdown(self) -> None:
        """The drain begins: what is being answered is finished, what is idle may ask once more."""
        if self.cycle is not None:
            self.cycle.keep_alive = False


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, *, drain_seconds: float, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.drain_seconds = drain_seconds
        self._on_ready = on_ready

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()  # uvicorn would raise them again after it ended; `leave` is called instead

    def leave(self) -> None:
        """Drain and end. Called again: end now."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        # What was loaded stays: without this a full pass over Django's heap stops every answer for 40 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()
        self._count()
        self._on_ready()

    def _count(self) -> None:
        loop, connections = asyncio.get_running_loop(), self.server_state.connections
        METRICS.gauge("relayhouse_connections_open", "Connections of clients.", lambda: len(connections))
        METRICS.gauge("relayhouse_tasks", "Tasks of the event loops.", lambda: len(asyncio.all_tasks(loop)))

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            self._end_slow_heads()
        return await super().on_tick(counter)

    def _end_slow_heads(self) -> None:
        limit = asyncio.get_running_loop().time() - HEAD_SECONDS
        for connection in self._http():
            if connection.head_since is not None and connection.head_since < limit and connection.idle():
                connection.transport.close()

    # -- the drain ---------------------------------------------------------------

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _not_ready()
        Protocol.draining = True
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()  # sockets close with 1012: their runs go on and are waited for
        await self._finish_answers()
        await self._cut_off()
        await self.lifespan.shutdown()

    async def _finish_answers(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while self._busy() and not self.force_exit and clock() - began < self.drain_seconds:
            if clock() - began > LINGER_SECONDS:
                self._close_idle()
            await asyncio.sleep(0.02)

    def _busy(self) -> bool:
        waiting = self.server_state.connections or self.server_state.tasks
        return bool(waiting or worker.in_flight() or runs.in_flight())

    async def _cut_off(self) -> None:
        """What outlived the drain is cancelled; it says so to its client and settles what it used."""
        self._close_idle()
        tasks = list(self.server_state.tasks)
        if tasks:
            log.warning("%d answers outlived the drain and are cut off", len(tasks))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CUT_SECONDS)
        for connection in self._http():
            connection.transport.close()

    def _close_idle(self) -> None:
        for connection in self._http():
            if connection.idle():
                connection.transport.close()

    def _http(self) -> list[Protocol]:
        return [c for c in self.server_state.connections if isinstance(c, Protocol)]


def _not_ready() -> None:
    running = worker.running()
    if running is not None:
        running.draining = True


def config_for(application: Any) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        loop="uvloop",
        http=Protocol,
        ws="websockets-sansio",
        lifespan="on",
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_max_queue=16,
        ws_per_message_deflate=False,  # frames are small, and each compressor would keep 300 kB
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # console.addresses decides whom to believe
        timeout_keep_alive=15,
        backlog=2048,
    )
