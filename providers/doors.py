"""Ways out, one for each policy of addresses: resolver, sockets and TLS that keep to it.

`connection` is for `/v1` traffic; `session`, over the same resolver and sockets, for all other.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohappyeyeballs import AddrInfoType, remove_addr_infos, start_connection
from aiohttp.abc import AbstractResolver, ResolveResult

from providers.addresses import Policy, judge
from providers.connection import Connection
from providers.pool import REST_SECONDS, Pool
from providers.routes import DEFAULTS, Route

log = logging.getLogger(__name__)

DNS_SECONDS = 2.0
DNS_CACHE_SECONDS = 10
HAPPY_EYEBALLS_SECONDS = 0.25  # after which the next address is tried beside the first
HEADER_LINE_BYTES = 8190
MOST_HEADERS = 128

# Every address of a name: (family, address), or OSError.
Lookup = Callable[[str, int], Awaitable[Sequence[tuple[int, str]]]]


class Blocked(OSError):
    """An address that the policy forbids. An OSError, since that is what resolving may raise."""


class Unresolved(OSError):
    """The name has led to no address."""


class NotInTime(OSError):
    """No connection was made within its time."""


class Unconnected(OSError):
    """No connection was made. The cause says why."""


@dataclass(slots=True)
class Dial:
    """What one attempt did on its way to a connection."""

    fresh: bool = False  # it had to make a connection of its own
    sockets: list[Socket] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Somebody accepted. A connection from the pool was accepted long ago."""
        return not self.fresh or any(one.was_accepted() for one in self.sockets)


class Socket(socket.socket):
    """Remembers, when it is closed, whether the other side had accepted: only then was anything sent."""

    _accepted = False

    def was_accepted(self) -> bool:
        if not self._accepted:
            try:
                self.getpeername()
                self._accepted = True
            except OSError:
                pass  # it never was connected, or is closed
        return self._accepted

    def close(self) -> None:
        self.was_accepted()
        super().close()


@lru_cache(maxsize=1)
def _lookups(process: int) -> ThreadPoolExecutor:
    """Of this process. A silent name server keeps a thread far longer than we wait, and the loop's have other work."""
    return ThreadPoolExecutor(16, thread_name_prefix="dns")


async def system_lookup(host: str, port: int) -> Sequence[tuple[int, str]]:
    asked = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    found = await asyncio.get_running_loop().run_in_executor(_lookups(os.getpid()), asked)
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


class Resolver(AbstractResolver):
    """Resolves within two seconds, and refuses a name when any of its addresses is forbidden."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(DNS_SECONDS):
                found = await self._lookup(host, port)
        except TimeoutError:
            raise OSError(f"'{host}' was not resolved within {DNS_SECONDS:g} s") from None
        if not found:
            raise OSError(f"'{host}' has no address")
        for _, address in found:
            reason = judge(address, self._policy)
            if reason:
                raise Blocked(f"'{host}' leads to {reason}")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=one,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


class Names:
    """What names have led to in the last seconds. Who asks for one that is being looked up waits with the first."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._found: dict[tuple[str, int], tuple[float, asyncio.Task[list[ResolveResult]]]] = {}

    async def find(self, host: str, port: int) -> list[AddrInfoType]:
        family = _family_of(host)
        found = [(family, host)] if family is not None else await self._looked_up(host, port)
        return [(one, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for one, address in found]

    async def _looked_up(self, host: str, port: int) -> list[tuple[int, str]]:
        now = asyncio.get_running_loop().time()
        until, looking = self._found.get((host, port), (0.0, None))
        if looking is None or now >= until or _failed(looking):
            looking = asyncio.get_running_loop().create_task(self._resolver.resolve(host, port))
            looking.add_done_callback(_failed)  # so that it is seen, also when nobody waits for it any more
            self._forget(now)
            self._found[host, port] = now + DNS_CACHE_SECONDS, looking
        await asyncio.wait({looking})
        if looking.cancelled():
            raise OSError(f"'{host}' is not looked up any more")
        return [(one["family"], one["host"]) for one in looking.result()]

    def _forget(self, now: float) -> None:
        for key in [key for key, (until, _) in self._found.items() if now >= until]:
            del self._found[key]

    def close(self) -> None:
        for _, looking in self._found.values():
            looking.cancel()
        self._found.clear()


def _family_of(host: str) -> int | None:
    """Of an address; None for a name."""
    try:
        return socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return None


def _failed(looking: asyncio.Task[Any]) -> bool:
    return looking.done() and (looking.cancelled() or looking.exception() is not None)


class Door:
    """The connections of one policy, in one loop."""

    def __init__(self, policy: Policy, tls: ssl.SSLContext, lookup: Lookup) -> None:
        self.policy = policy
        self.pool = Pool(asyncio.get_running_loop())
        self._tls = tls
        self._resolver = Resolver(policy, lookup)
        self._names = Names(self._resolver)
        self._session: aiohttp.ClientSession | None = None

    # -- for `/v1` traffic --------------------------------------------------------------

    async def connection(self, route: Route, dial: Dial, seconds: float) -> Connection:
        """A new one. Raises Blocked, Unresolved, NotInTime or Unconnected."""
        dial.fresh = True
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(route, dial)
        except TimeoutError as error:
            raise NotInTime(f"no connection within {seconds:g} s") from error

    async def _connect(self, route: Route, dial: Dial) -> Connection:
        try:
            addresses = await self._names.find(route.host, route.port)
        except Blocked:
            raise
        except OSError as error:
            raise Unresolved(str(error)) from error
        while True:
            try:
                return await self._connect_to_one(addresses, route, dial)
            except Blocked:
                raise
            except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError for some addresses
                if not addresses:
                    raise Unconnected(str(error)) from error

    async def _connect_to_one(self, addresses: list[AddrInfoType], route: Route, dial: Dial) -> Connection:
        """To any of these addresses. Those that it was tried with are taken out when it fails."""
        loop = asyncio.get_running_loop()
        try:
            connected = await start_connection(
                addresses,
                happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS,
                loop=loop,
                socket_factory=lambda info: self._socket(info, dial),
            )
        except BaseException:
            addresses.clear()
            raise
        try:
            remove_addr_infos(addresses, connected.getpeername())
        except (OSError, ValueError):  # it broke at once, which shows when it is used
            addresses.clear()
        _, connection = await loop.create_connection(
            lambda: Connection(loop, self.pool, route.where),
            sock=connected,
            ssl=self._tls if route.secure else None,
            server_hostname=route.host if route.secure else None,
        )
        if self.pool.closed:
            connection.abort()
        return connection

    def _socket(self, info: AddrInfoType, dial: Dial | None = None) -> socket.socket:
        """The last look before a packet goes out: whatever led here, this is the address that would be dialled."""
        family, kind, protocol, _, address = info
        reason = judge(address[0], self.policy)
        if reason:
            raise Blocked(reason)
        made = Socket(family=family, type=kind, proto=protocol)
        made.setblocking(False)
        if dial is not None:
            dial.sockets.append(made)
        return made

    # -- for all other ------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self._tls,
            resolver=self._resolver,
            ttl_dns_cache=DNS_CACHE_SECONDS,
            socket_factory=self._socket,
            keepalive_timeout=REST_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=DEFAULTS,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=HEADER_LINE_BYTES,
            max_field_size=HEADER_LINE_BYTES,
            max_headers=MOST_HEADERS,
        )

    async def close(self) -> None:
        self._names.close()
        self.pool.close()
        if self._session is not None:
            await self._session.close()


# -- trust ----------------------------------------------------------------------------


def trusted(ca_bundle: str = "") -> ssl.SSLContext:
    """The machine's certificate authorities, or those that come with httpx where it has none, and the extra ones."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not context.get_ca_certs() and not _has_store():
        import certifi

        context.load_verify_locations(certifi.where())
    if ca_bundle:
        try:
            context.load_verify_locations(ca_bundle)
        except (OSError, ssl.SSLError) as error:
            # Providers that need it will fail, and say so; the others must not.
            log.error("CA_BUNDLE %s cannot be read: %s", ca_bundle, error)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _has_store() -> bool:
    """A folder of certificates is read only when one is looked for, so it does not show in the context."""
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(os.scandir(paths.capath))))
