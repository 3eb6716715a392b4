"""A connection without a network: what it writes is kept, and a test says what comes and when."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from providers.connection import Connection
from providers.pool import Pool

WHERE = ("vendor.example", 80, False)


class Wire(asyncio.Transport):
    """The other side never takes more than `takes` bytes before it is told to."""

    def __init__(self, protocol: asyncio.Protocol, *, takes: int = 1 << 30) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.closed = False
        self._protocol = protocol
        self._takes = takes

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        if len(self.written) > self._takes:
            self._protocol.pause_writing()

    def take(self) -> None:
        self._takes = 1 << 30
        self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return max(0, len(self.written) - self._takes)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def connected(pool: Pool, **wire: Any) -> tuple[Connection, Wire]:
    connection = Connection(asyncio.get_running_loop(), pool, WHERE)
    transport = Wire(connection, **wire)
    connection.connection_made(transport)
    return connection, transport


async def turn(times: int = 3) -> None:
    """Let everything that can go on do so."""
    for _ in range(times):
        await asyncio.sleep(0)


async def answered(
    connection: Connection, wire: Wire, pieces: Iterable[bytes], *, method: str = "POST", ends: bool = False
) -> bytes:
    """Ask, let these pieces come, and read the body. `ends`: the other side closes then."""

    def come() -> None:
        for piece in pieces:
            if not wire.closed:
                connection.data_received(piece)
        if ends and not wire.closed:
            wire.closed = True
            connection.connection_lost(None)

    asyncio.get_running_loop().call_soon(come)
    await connection.ask(method, b"head\r\n\r\n", b"")
    body = b""
    while data := await connection.readany():
        body += data
    return body


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    places = [0, *sorted({place % (len(data) + 1) for place in at}), len(data)]
    return [data[one:other] for one, other in itertools.pairwise(places) if one != other]


def run(test: Callable[[Pool], Any]) -> Any:
    """In a loop of its own, with a pool that is closed in the end."""

    async def inside() -> Any:
        pool = Pool(asyncio.get_running_loop())
        try:
            async with asyncio.timeout(10):  # what waits for ever is to fail
                return await test(pool)
        finally:
            pool.close()
            await turn()

    return asyncio.run(inside())
