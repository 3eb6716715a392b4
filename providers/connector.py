"""The one module that touches the network: what goes out, where to, for how long, and errors in our own words.

`/v1` traffic uses the two methods of `wiring.Port`, over connections of our own. Control traffic uses `client()`, which
is httpx over aiohttp, under the same rules. Code without a loop of its own goes through `call()`.

A name is resolved once, every address it gives is judged, and the connection is made to one of those. Redirects are
not followed, nothing is taken from the environment, TLS is always verified, and compressed answers are refused, since
none was asked for.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from providers import causes
from providers.addresses import Network, Policy, parse_networks, read_url
from providers.connection import Connection
from providers.doors import Dial, Door, Lookup, system_lookup, trusted
from providers.errors import ProviderError, TimedOut
from providers.inside import Application, Exchange
from providers.registry import Kind, Place
from providers.routes import Route, head_of, route_to
from providers.streams import Attempt, Clock, Opened
from providers.wiring import HttpAnswer, HttpRequest, Limits

T = TypeVar("T")

STALE_SECONDS = 1.0  # a used connection that breaks later than this was not idle: the provider had begun to work
_CONTROL_BYTES = 32 * 1024 * 1024  # of an answer to control traffic


class Connector:
    """One a process. `start()` it inside the loop that will use it."""

    def __init__(
        self,
        *,
        private_networks: tuple[Network, ...] = (),
        ca_bundle: str = "",
        lookup: Lookup = system_lookup,
        inside: Application | None = None,
    ) -> None:
        self._private = private_networks
        self._ca_bundle = ca_bundle
        self._lookup = lookup
        self._inside = inside
        self._tls: ssl.SSLContext | None = None
        self._doors: dict[Policy, Door] = {}
        self._clock = Clock()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self, *, shared: bool = True) -> None:
        """`shared`: sync code of this process may use it too, through `call()`."""
        self.loop = asyncio.get_running_loop()
        self._tls = await asyncio.to_thread(trusted, self._ca_bundle)
        if shared:
            _register(self)

    async def close(self) -> None:
        _unregister(self)
        for attempt in tuple(self._clock.attempts):
            attempt.abandon()
        doors, self._doors = self._doors, {}
        for door in doors.values():
            await door.close()
        self._clock.stop()
        await asyncio.sleep(0)  # transports report that they are closed in the next turn of the loop

    @property
    def tls(self) -> ssl.SSLContext:
        if self._tls is None:
            raise RuntimeError("The connector has not been started.")
        return self._tls

    def _door(self, policy: Policy) -> Door:
        door = self._doors.get(policy)
        if door is None:
            door = self._doors[policy] = Door(policy, self.tls, self._lookup)
        return door

    def session_for(self, url: str, kind: Kind | None) -> aiohttp.ClientSession:
        return self._door(read_url(url, place_of(kind), self._private)[1]).session

    # -- the port -------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Attempts that have been dialled and not let go of."""
        return len(self._clock.attempts)

    async def send(self, request: HttpRequest, limits: Limits) -> HttpAnswer:
        async with self.stream(request, limits) as answer:
            return HttpAnswer(answer.status, answer.headers, await answer.read())

    def stream(self, request: HttpRequest, limits: Limits) -> Attempt:
        opener = self._ask_inside if place_of(request.kind) is Place.INSIDE else self._ask
        return Attempt(self._clock, opener, request, limits)

    # -- opening --------------------------------------------------------------------

    async def _ask_inside(self, request: HttpRequest, limits: Limits, dial: Dial) -> Opened:
        exchange = Exchange(self._inside or _pretend_vendor(), request)
        try:
            status, headers = await exchange.headers_come()
        except BaseException:
            exchange.close()
            raise
        return Opened(status, headers, exchange, exchange.close)

    async def _ask(self, request: HttpRequest, limits: Limits, dial: Dial) -> Opened:
        route = route_to(request.url, place_of(request.kind), self._private)
        door = self._door(route.policy)
        head = head_of(request, route)
        began = time.monotonic()
        try:
            connection = door.pool.take(route.where) or await door.connection(route, dial, limits.connect)
            await connection.ask(request.method, head, request.body)
        except causes.NETWORK_ERRORS as error:
            if not causes.is_stale(error, dial) or time.monotonic() - began > STALE_SECONDS:
                raise causes.of_dialling(error, dial, request.url) from error
            connection = await self._ask_anew(door, route, request, limits, dial)
        return Opened(connection.status, connection.headers, connection, connection.let_go)

    @staticmethod
    async def _ask_anew(door: Door, route: Route, request: HttpRequest, limits: Limits, dial: Dial) -> Connection:
        """The other side had closed a resting connection as we wrote to it: nothing was read from us. A new one, which
        is not kept: that server does not keep its own."""
        try:
            connection = await door.connection(route, dial, limits.connect)
            await connection.ask(request.method, head_of(request, route, keep=False), request.body, keep=False)
        except causes.NETWORK_ERRORS as error:
            raise causes.of_dialling(error, dial, request.url) from error
        return connection

    # -- control traffic --------------------------------------------------------------

    def client(self, kind: Kind | None = None, *, seconds: float = 10.0) -> httpx.AsyncClient:
        """httpx for everything that is not `/v1` traffic, under the rules of this kind (none: the cloud's)."""
        return httpx.AsyncClient(
            transport=_GuardedTransport(self, kind),
            trust_env=False,
            follow_redirects=False,
            timeout=seconds,
            headers={"User-Agent": "relayhouse", "Accept-Encoding": "identity"},
        )


def place_of(kind: Kind | None) -> Place:
    """What belongs to no kind keeps to the rules of the cloud."""
    return Place.CLOUD if kind is None else kind.place


def _pretend_vendor() -> Application:
    from providers.demo import application

    return application


# -- httpx on the same sessions ---------------------------------------------------------


class _GuardedTransport(AiohttpTransport):  # type: ignore[misc]
    """The same sessions and rules for httpx. Its errors are httpx's own, as its callers expect."""

    def __init__(self, connector: Connector, kind: Kind | None) -> None:
        super().__init__(verify=connector.tls, trust_env=False)
        self._connector = connector
        self._kind = kind

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            # Chosen for each request: no step until the session has been taken waits for anything.
            self.client = self._connector.session_for(str(request.url), self._kind)
        except ProviderError as error:
            raise httpx.ConnectError(error.message, request=request) from error
        response: httpx.Response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx.ReadError("A compressed answer came, which was not asked for.", request=request)
        response.stream = _Bounded(response.stream)
        return response

    async def aclose(self) -> None:
        """The sessions belong to the connector."""


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._stream:
            size += len(data)
            if size > _CONTROL_BYTES:
                raise httpx.ReadError(f"The answer is longer than {_CONTROL_BYTES:,} bytes.")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


# -- for code without a loop --------------------------------------------------------------

_lock = threading.Lock()
_of_loop: tuple[int, Connector] | None = None  # process id, and the connector its web server started
_of_thread: _LoopThread | None = None


def _register(connector: Connector) -> None:
    global _of_loop
    _of_loop = (os.getpid(), connector)


def _unregister(connector: Connector) -> None:
    global _of_loop
    if _of_loop is not None and _of_loop[1] is connector:
        _of_loop = None


class _LoopThread:
    """A loop in a thread of its own, with the connector of a process that has no other."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.connector = connector_from_settings()
        self._thread = threading.Thread(target=self.loop.run_forever, name="connector", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.connector.start(shared=False), self.loop).result()

    def stop(self) -> None:
        if self.pid != os.getpid() or self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self.connector.close(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def call(work: Callable[[Connector], Coroutine[Any, Any, T]], *, seconds: float = 60.0) -> T:
    """From sync code: `call(lambda connector: connector.send(request, limits))`.

    Inside a web worker it is done on the worker's own loop and sessions; elsewhere a loop thread is started, once.
    """
    loop, connector = _home()
    if loop is _running_loop():
        raise RuntimeError("This is the connector's own loop: await it instead.")
    waiting = asyncio.run_coroutine_threadsafe(work(connector), loop)
    try:
        return waiting.result(seconds)
    except concurrent.futures.TimeoutError:
        waiting.cancel()
        raise TimedOut(f"No answer came within {seconds:g} s.", code="deadline_exceeded") from None


def _home() -> tuple[asyncio.AbstractEventLoop, Connector]:
    global _of_thread
    here = _of_loop
    if here is not None and here[0] == os.getpid():
        loop = here[1].loop
        if loop is not None and loop.is_running():
            return loop, here[1]
    with _lock:
        if _of_thread is None or _of_thread.pid != os.getpid():
            _of_thread = _LoopThread()
            atexit.register(_of_thread.stop)
        return _of_thread.loop, _of_thread.connector


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def hang_up() -> None:
    """End the loop thread, if there is one: for tests, and before a process forks."""
    global _of_thread
    with _lock:
        thread, _of_thread = _of_thread, None
    if thread is not None:
        atexit.unregister(thread.stop)
        thread.stop()


def connector_from_settings() -> Connector:
    from django.conf import settings

    return Connector(private_networks=parse_networks(settings.PRIVATE_NETWORKS), ca_bundle=settings.CA_BUNDLE)
