"""Pools of connections, one for each policy of addresses: resolver, sockets and TLS that keep to it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from providers.addresses import Policy, judge

log = logging.getLogger(__name__)

DNS_SECONDS = 2.0
DNS_CACHE_SECONDS = 10
KEEP_ALIVE_SECONDS = 30.0
HEADER_LINE_BYTES = 8190
MOST_HEADERS = 128

_HEADERS = {"User-Agent": "relayhouse", "Accept-Encoding": "identity"}

# Every address of a name: (family, address), or OSError.
Lookup = Callable[[str, int], Awaitable[Sequence[tuple[int, str]]]]


class Blocked(OSError):
    """An address that the policy forbids. An OSError, since that is what resolving may raise."""


@dataclass(slots=True)
class Dial:
    """What one attempt did on its way to a connection."""

    fresh: bool = False  # it had to make a connection of its own
    sockets: list[Socket] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        """Somebody accepted. A connection from the pool was accepted long ago."""
        return not self.fresh or any(one.was_accepted() for one in self.sockets)


DIAL: ContextVar[Dial | None] = ContextVar("dial", default=None)


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
        dial = DIAL.get()
        if dial is not None:
            dial.fresh = True
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


class Door:
    """The connections of one policy: a pool, and a way to get a connection nobody has used before."""

    def __init__(self, policy: Policy, tls: ssl.SSLContext, lookup: Lookup) -> None:
        self.policy = policy
        self._tls = tls
        self._lookup = lookup
        self.pooled = self._session(force_close=False)
        self._fresh: aiohttp.ClientSession | None = None

    @property
    def fresh(self) -> aiohttp.ClientSession:
        if self._fresh is None:
            self._fresh = self._session(force_close=True)
        return self._fresh

    def _session(self, *, force_close: bool) -> aiohttp.ClientSession:
        pool: dict[str, Any] = {"force_close": True} if force_close else {"keepalive_timeout": KEEP_ALIVE_SECONDS}
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self._tls,
            resolver=Resolver(self.policy, self._lookup),
            ttl_dns_cache=DNS_CACHE_SECONDS,
            socket_factory=self._socket,
            **pool,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=HEADER_LINE_BYTES,
            max_field_size=HEADER_LINE_BYTES,
            max_headers=MOST_HEADERS,
        )

    def _socket(self, info: Any) -> socket.socket:
        """The last look before a packet goes out: whatever led here, this is the address that would be dialled."""
        family, kind, protocol, _, address = info
        reason = judge(address[0], self.policy)
        if reason:
            raise Blocked(reason)
        made = Socket(family=family, type=kind, proto=protocol)
        made.setblocking(False)
        dial = DIAL.get()
        if dial is not None:
            dial.fresh = True
            dial.sockets.append(made)
        return made

    async def close(self) -> None:
        await self.pooled.close()
        if self._fresh is not None:
            await self._fresh.close()


@lru_cache(maxsize=64)
def timeout_for(connect: float) -> aiohttp.ClientTimeout:
    # Everything after the connection is watched by us: see streams.py.
    return aiohttp.ClientTimeout(total=None, connect=connect)


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
