"""On the way to a connection: names looked up once, the next address, and answers that are broken off."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from providers.connector import Connector
from providers.errors import Unreachable
from tests.certificates import authority
from tests.providers.talk import failure, limits, plain, streamed, target, until_closed
from tests.upstream import Upstream

TEXT = "Hello from upstream."


class Lookups:
    """Names that lead to these addresses, once they may."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked = 0
        self.begun = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, host: str, port: int) -> Sequence[tuple[int, str]]:
        self.asked += 1
        self.begun.set()
        await self.may.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, one) for one in self.addresses]


async def test_a_name_is_looked_up_once_for_all_who_ask(upstream: Upstream) -> None:
    lookups = Lookups("127.0.0.1")
    lookups.may.clear()
    connector = Connector(lookup=lookups)
    await connector.start()
    to = target("ok", f"http://vendor.example:{upstream.port}/v1")
    asked = [asyncio.create_task(plain(connector, to)) for _ in range(5)]
    await lookups.begun.wait()
    asked[0].cancel()  # the others wait for the same answer
    await asyncio.wait({asked[0]})
    lookups.may.set()
    assert [answer.text for answer in await asyncio.gather(*asked[1:])] == [TEXT] * 4
    assert lookups.asked == 1
    await connector.close()


async def test_a_name_that_was_not_found_is_looked_up_again(upstream: Upstream) -> None:
    lookups = Lookups()
    connector = Connector(lookup=lookups)
    await connector.start()
    to = target("ok", f"http://vendor.example:{upstream.port}/v1")
    with pytest.raises(Unreachable, match="could not be resolved"):
        await plain(connector, to)
    lookups.addresses = ("127.0.0.1",)
    assert (await plain(connector, to)).text == TEXT
    assert lookups.asked == 2
    await connector.close()


async def test_the_next_address_is_taken_when_one_refuses(upstream: Upstream) -> None:
    connector = Connector(lookup=Lookups("127.0.0.9", "127.0.0.1"))  # nobody listens on the first
    await connector.start()
    assert (await plain(connector, target("ok", f"http://vendor.example:{upstream.port}/v1"))).text == TEXT
    await connector.close()


async def test_an_answer_that_had_begun_is_not_asked_for_again(connector: Connector) -> None:
    """The first answer keeps its connection; the second breaks off in the middle of its first line."""
    questions = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal questions
        for answer in (b"HTTP/1.1 429 Slow\r\ncontent-length: 2\r\n\r\n{}", b"HTTP/1.1 2"):
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            questions += 1
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    assert (await failure(connector, "m", address, stream=False)).upstream_status == 429
    error = await failure(connector, "m", address, stream=False)
    assert (error.reason, error.sent, questions) == ("upstream_unreachable", True, 2)
    server.close()
    await server.wait_closed()


async def test_a_connection_that_was_closed_while_it_rested_is_not_used(connector: Connector) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 429 Slow\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    for _ in range(3):
        closed.clear()
        assert (await failure(connector, "m", address, stream=False)).upstream_status == 429
        await closed.wait()
    server.close()
    await server.wait_closed()


async def test_a_secure_connection_names_its_host_and_is_used_again() -> None:
    names: list[str | None] = []
    with Upstream(tls="good", named=names.append) as upstream:
        connector = Connector(ca_bundle=str(authority().ca_file), lookup=Lookups("127.0.0.1"))
        await connector.start()
        to = target("ok", f"https://localhost:{upstream.port}/v1")
        for _ in range(3):
            assert (await plain(connector, to)).text == TEXT
            assert (await streamed(connector, to)).text == TEXT
            await until_closed(connector)
        assert names == ["localhost"]
        await connector.close()


async def test_closing_ends_what_is_being_looked_up() -> None:
    lookups = Lookups()
    lookups.may.clear()
    connector = Connector(lookup=lookups)
    await connector.start()
    asked = asyncio.create_task(plain(connector, target("ok", "http://vendor.example/v1")))
    await lookups.begun.wait()
    await connector.close()
    with pytest.raises(Unreachable, match="could not be resolved"):
        await asked


async def test_an_address_is_not_looked_up(upstream: Upstream) -> None:
    lookups = Lookups()
    connector = Connector(lookup=lookups)
    await connector.start()
    assert (await plain(connector, target("ok", upstream.base_url))).text == TEXT
    assert not lookups.asked
    await connector.close()


async def test_closing_ends_what_is_being_asked(upstream: Upstream) -> None:
    connector = Connector()
    await connector.start()
    asked = asyncio.create_task(plain(connector, target("silent", upstream.base_url), limits(total=5)))
    await asyncio.to_thread(upstream.await_that, lambda it: bool(it.requests))
    await connector.close()
    with pytest.raises(Unreachable):
        await asked
    await asyncio.to_thread(upstream.await_left)
