"""A pretend vendor on a real socket, for what only a socket can do wrong. Its journal is the truth for the ledger.

    with Upstream() as upstream:
        provider = make_provider("A", kind="vllm", base_url=upstream.base_url)

The model that is asked for chooses the behaviour (`tests/misbehaviour.py` has them all: `ok`, `stalls`, `resets` ...);
`upstream.behave("resets")` chooses one for every request that follows. It runs in a thread of its own, so tests with
and without a loop can use it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.services import free_port

WAIT_SECONDS = 5.0


@dataclass
class Seen:
    """One request as it arrived, and what became of it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # which one it came on, counted from 1
    number: int  # which one it was on that connection, counted from 1
    at: float = field(default_factory=time.monotonic)
    sent: int = 0  # bytes written so far
    ended: str = ""  # "answered" when all was sent, "left" when the client closed first, "cut" when we did
    ended_at: float = 0.0

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}

    @property
    def model(self) -> str:
        return str(self.json.get("model", ""))

    @property
    def streamed(self) -> bool:
        return bool(self.json.get("stream"))


class ClientLeft(Exception):
    """The client closed its end."""


class Exchange:
    """A request being answered: what a behaviour works with."""

    def __init__(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = seen
        self.keep_alive = True
        self._writer = writer
        self._leaving = asyncio.ensure_future(reader.read(1))

    async def raw(self, data: bytes) -> None:
        if self.has_left or self._writer.is_closing():
            raise ClientLeft
        self._writer.write(data)
        self.seen.sent += len(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ClientLeft from None

    async def pause(self, seconds: float) -> None:
        """Wait, unless the client leaves."""
        await asyncio.wait({self._leaving}, timeout=seconds)
        if self.has_left:
            raise ClientLeft

    async def for_ever(self) -> None:
        await self.pause(60)

    async def head(self, status: int = 200, content_type: str = "application/json", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def whole(
        self, body: bytes, status: int = 200, content_type: str = "application/json", **headers: str
    ) -> None:
        await self.head(status, content_type, content_length=str(len(body)), **headers)
        await self.raw(body)

    async def stream_head(self, **headers: str) -> None:
        await self.head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked", **headers)

    async def chunk(self, data: bytes) -> None:
        """One piece of a body in chunks; an empty one ends it."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.keep_alive = False
        self._writer.transport.abort()

    @property
    def has_left(self) -> bool:
        """Nothing more will come from the client. A byte would be the beginning of its next request."""
        waiting = self._leaving
        return waiting.done() and (waiting.cancelled() or waiting.exception() is not None or not waiting.result())

    async def finish(self) -> bytes:
        """Stop looking out for the client's leaving. What it sent meanwhile is the beginning of its next request."""
        self._leaving.cancel()
        await asyncio.wait({self._leaving})
        return b"" if self.has_left else self._leaving.result()


Behaviour = Callable[[Exchange], Any]


class Upstream:
    """Context manager. `tls` is "" for plain HTTP, "good", or a fault of `certificates.Authority.server_context`."""

    def __init__(
        self,
        *,
        tls: str = "",
        text: str = "Hello from upstream.",
        named: Callable[[str | None], None] = lambda name: None,  # called with the host that a TLS client asks for
    ) -> None:
        self.text = text
        self.models: list[str] = []  # what its list names; empty: every behaviour
        self.requests: list[Seen] = []
        self.connections = 0
        self.open_connections = 0
        self._tls = tls
        self._named = named
        self._forced: str | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self.port = 0

    # -- where, and what it is to do ---------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def behave(self, name: str | None) -> None:
        """Answer everything this way, whatever model is asked for; None: by model again."""
        self._forced = name

    # -- what it saw ---------------------------------------------------------------------

    @property
    def chats(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.method == "POST"]

    def await_that(self, what: Callable[[Upstream], bool], seconds: float = WAIT_SECONDS) -> None:
        """Until it is so; looked at whenever something happened here, and often meanwhile."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not what(self):
                if time.monotonic() > deadline:
                    raise AssertionError(f"It did not come to that: {self.requests}")
                self._changed.wait(0.01)

    def await_left(self, number: int = 1, seconds: float = WAIT_SECONDS) -> None:
        self.await_that(lambda it: sum(seen.ended == "left" for seen in it.requests) >= number, seconds)

    # -- running ------------------------------------------------------------------------

    def __enter__(self) -> Upstream:
        self._thread.start()
        if not self._ready.wait(WAIT_SECONDS):
            raise AssertionError("The pretend vendor did not start.")
        return self

    def __exit__(self, *error: Any) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._connection(reader, writer)
            finally:
                tasks.discard(task)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._context(), backlog=2048)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _context(self) -> ssl.SSLContext | None:
        from tests.certificates import authority

        if not self._tls:
            return None
        context = authority().server_context("" if self._tls == "good" else self._tls)
        context.sni_callback = lambda _, name, __: self._named(name)
        return context

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._changed:
            self.connections += 1
            self.open_connections += 1
            connection = self.connections
        number, rest = 0, b""
        try:
            while True:
                number += 1
                seen = await _read_request(reader, rest, connection, number)
                if seen is None:
                    break
                with self._changed:
                    self.requests.append(seen)
                    self._changed.notify_all()
                keep_alive, rest = await self._answer(seen, reader, writer)
                if not keep_alive:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the client is gone, or the test is over
        finally:
            writer.close()
            with self._changed:
                self.open_connections -= 1
                self._changed.notify_all()

    async def _answer(
        self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bool, bytes]:
        exchange = Exchange(seen, reader, writer)
        ended = "answered"
        try:
            await self._behaviour(seen)(exchange)
        except ClientLeft:
            ended = "left"
            exchange.keep_alive = False
        finally:
            rest = await exchange.finish()
            with self._changed:
                seen.ended = ended if exchange.keep_alive or ended == "left" else "cut"
                seen.ended_at = time.monotonic()
                self._changed.notify_all()
        return exchange.keep_alive, rest

    def _behaviour(self, seen: Seen) -> Behaviour:
        from tests import misbehaviour, misbehaviour_embeddings

        if self._forced is None and seen.method == "GET":
            return misbehaviour.listing(self.models or sorted(misbehaviour.BEHAVIOURS))
        name = self._forced or seen.model
        known = misbehaviour.BEHAVIOURS.get(name) or misbehaviour_embeddings.BEHAVIOURS.get(name)
        if known is not None:
            return known
        return misbehaviour.BEHAVIOURS["ok"] if name in self.models else misbehaviour.BEHAVIOURS["unknown-model"]


async def _read_request(reader: asyncio.StreamReader, begun: bytes, connection: int, number: int) -> Seen | None:
    try:
        head = begun + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, path, headers, body, connection, number)


def refusing_url() -> str:
    """An address of this machine that nobody listens on."""
    return f"http://127.0.0.1:{free_port()}/v1"


@contextmanager
def serving(application: Any) -> Iterator[str]:
    """Any ASGI application under uvicorn, in a thread: its URL. `serving(providers.demo.make_application(pace=0))`."""
    import uvicorn

    port = free_port()
    config = uvicorn.Config(application, host="127.0.0.1", port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    deadline = time.monotonic() + WAIT_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise AssertionError("uvicorn did not start.")
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@asynccontextmanager
async def accepting_only() -> AsyncIterator[int]:
    """The port of a server that accepts connections and never says a word."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
