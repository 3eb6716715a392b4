"""An application in this process is, from above, like a server on the network: the same answers and the same faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from providers.connector import Connector
from providers.demo import MODELS, make_application
from providers.errors import Interrupted, ProviderError, TimedOut, TooLarge, Unreachable
from providers.registry import KINDS
from providers.wiring import HttpRequest, Limits
from tests.providers.talk import limits, plain, streamed, target, until_closed
from tests.upstream import serving

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
START = {"type": "http.response.start", "status": 200, "headers": [(b"X-Odd", b"yes")]}


def request(body: bytes = b"{}") -> HttpRequest:
    return HttpRequest("POST", "http://demo.invalid/v1/x?a=1", {"x-one": "1"}, body, KINDS["demo"])


async def running(application: Any) -> Connector:
    connector = Connector(inside=application)
    await connector.start()
    return connector


@pytest.fixture
async def demo() -> AsyncIterator[Connector]:
    connector = await running(make_application(pace=0))
    yield connector
    await until_closed(connector)
    await connector.close()


# -- the pretend vendor -------------------------------------------------------------------


async def test_the_pretend_vendor_answers_both_ways_alike(demo: Connector) -> None:
    to = target("relay-1", kind="demo")
    answer, said = await plain(demo, to), await streamed(demo, to)
    assert answer.text == said.text
    assert answer.text
    assert answer.usage == said.usage


async def outcome(connector: Connector, model: str, base_url: str, kind: str, *, stream: bool) -> tuple[Any, ...]:
    to = target(model, base_url, kind)
    within = limits(first_byte=1.5, idle=1.5, total=5)
    try:
        answer = await (streamed(connector, to, within) if stream else plain(connector, to, within))
    except ProviderError as error:
        return (type(error), error.reason, error.sent, error.retry_after, error.upstream_status)
    return (answer.text, answer.usage)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_in_memory_and_on_a_socket_every_model_fares_the_same(stream: bool) -> None:
    inside, outside = await running(make_application(pace=0)), Connector()
    await outside.start()
    with serving(make_application(pace=0)) as url:
        here = await asyncio.gather(*(outcome(inside, model, "", "demo", stream=stream) for model in MODELS))
        there = await asyncio.gather(*(outcome(outside, model, f"{url}/v1", "vllm", stream=stream) for model in MODELS))
    assert dict(zip(MODELS, here, strict=True)) == dict(zip(MODELS, there, strict=True))
    await until_closed(inside)
    await until_closed(outside)
    await inside.close()
    await outside.close()


# -- applications that misbehave --------------------------------------------------------------


async def test_what_the_application_is_given() -> None:
    seen: dict[str, Any] = {}

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        seen.update(scope, body=(await receive())["body"])
        await send(START)
        await send({"type": "http.response.body", "body": b"ok"})

    connector = await running(application)
    answer = await connector.send(request(b"hello"), limits())
    assert (answer.status, answer.headers["x-odd"], answer.body) == (200, "yes", b"ok")
    assert (seen["path"], seen["query_string"], seen["headers"], seen["body"]) == (
        "/v1/x",
        b"a=1",
        [(b"x-one", b"1")],
        b"hello",
    )
    await connector.close()


async def test_returning_without_the_last_piece_is_a_cut() -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    connector = await running(application)
    with pytest.raises(Interrupted):
        await connector.send(request(), limits())
    assert connector.open == 0
    await connector.close()


async def test_what_was_sent_before_a_cut_arrives() -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.sleep(0)  # the reader has its headers and waits
        await send({"type": "http.response.body", "body": b"all but ", "more_body": True})
        await send({"type": "http.response.body", "body": b"the end", "more_body": True})

    connector = await running(application)
    read: list[bytes] = []
    with pytest.raises(Interrupted):
        await read_into(read, connector)
    assert b"".join(read) == b"all but the end"
    await connector.close()


async def read_into(pieces: list[bytes], connector: Connector) -> None:
    async with connector.stream(request(), limits()) as answer:
        async for data in answer.chunks():
            pieces.append(data)  # noqa: PERF401 - what came before the exception counts


async def test_returning_without_a_word_is_a_broken_connection() -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await receive()

    connector = await running(application)
    with pytest.raises(Unreachable):
        await connector.send(request(), limits())
    await connector.close()


async def test_a_crash_is_a_broken_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        raise ValueError("oops")

    connector = await running(application)
    with pytest.raises(Unreachable):
        await connector.send(request(), limits())
    assert "the application inside failed" in caplog.text
    await connector.close()


async def test_leaving_tells_the_application() -> None:
    told = asyncio.Event()

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        try:
            assert (await receive())["type"] == "http.disconnect"
        finally:
            told.set()

    connector = await running(application)
    async with connector.stream(request(), limits()) as answer:
        assert await anext(answer.chunks()) == b"first"
    await asyncio.wait_for(told.wait(), 1)
    await until_closed(connector)
    await connector.close()


async def test_a_slow_reader_holds_the_application_back() -> None:
    sent = 0

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(START)
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": b"x" * 1024, "more_body": True})
            sent += 1024
        await send({"type": "http.response.body"})

    connector = await running(application)
    async with connector.stream(request(), limits(idle=0.1)) as answer:
        await anext(answer.chunks())
        await asyncio.sleep(0.3)
        assert sent < 256 * 1024
        size = 0
        async for data in answer:
            size += len(data)
    assert size > 9_000_000
    await connector.close()


async def test_it_is_bounded_like_everything_else() -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    connector = await running(application)
    now = asyncio.get_running_loop().time()
    with pytest.raises(TooLarge):
        await connector.send(request(), Limits(deadline=now + 2, body_bytes=1_000_000))
    await until_closed(connector)
    await connector.close()


async def test_silence_ends_at_the_deadline() -> None:
    async def application(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    connector = await running(application)
    began = time.monotonic()
    with pytest.raises(TimedOut):
        await connector.send(request(), limits(first_byte=0.2))
    assert time.monotonic() - began < 0.5
    assert connector.open == 0
    await connector.close()
