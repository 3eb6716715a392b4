"""Clients that leave: before their answer, in its middle, and all at once, under our server and under any other."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from billing.models import Request
from console.serving.server import Protocol
from routing import edge
from tests.routing.gate import MESSAGES, WAIT_SECONDS, Gate
from tests.upstream import Upstream

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module", params=[Protocol, HttpToolsProtocol], ids=["our server", "uvicorn"])
def http(request: pytest.FixtureRequest) -> type[asyncio.Protocol]:
    chosen: type[asyncio.Protocol] = request.param
    return chosen


def test_leaving_before_the_answer_closes_the_call(gate: Gate, first: Upstream) -> None:
    body = json.dumps({"model": "a:silent", "messages": MESSAGES}).encode()
    asked = len(first.chats)
    with socket.create_connection(("127.0.0.1", gate.port), timeout=WAIT_SECONDS) as made:
        head = f"POST {PATH} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {gate.secret}\r\n"
        made.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first.await_that(lambda it: len(it.chats) > asked)
    left = time.monotonic()
    first.await_that(lambda it: it.chats[asked].ended == "left")
    assert time.monotonic() - left < 1.0
    record = gate.until(lambda: Request.objects.filter(status="cancelled").order_by("-started_at").first(), "recorded")
    assert record.error_code == "client_left"
    assert gate.records(record.id).billed == ["ambiguous"]


def test_leaving_is_noticed_behind_a_body_that_filled_the_buffer(gate: Gate, first: Upstream) -> None:
    """The server stops reading while more than 64 kB of it wait to be taken."""
    body = json.dumps({"model": "a:silent", "messages": [{"role": "user", "content": "x" * 900_000}]}).encode()
    asked = len(first.chats)
    with socket.create_connection(("127.0.0.1", gate.port), timeout=WAIT_SECONDS) as made:
        head = f"POST {PATH} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {gate.secret}\r\n"
        made.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:700_000])
        time.sleep(0.1)  # so that the edge is waiting for the rest, which then comes at once
        gate.loop.call_soon_threadsafe(time.sleep, 0.1)
        made.sendall(body[700_000:])
        first.await_that(lambda it: len(it.chats) > asked)
    left = time.monotonic()
    first.await_that(lambda it: it.chats[asked].ended)
    assert first.chats[asked].ended == "left"
    assert time.monotonic() - left < 0.3, "it was noticed only when the provider took too long"


def test_leaving_in_mid_stream_closes_the_call_and_pays_for_what_came(gate: Gate, first: Upstream) -> None:
    asked = len(first.chats)
    body = {"model": "a:long", "messages": MESSAGES, "stream": True}
    with (
        httpx.Client(base_url=gate.url, headers=gate.headers) as client,
        client.stream("POST", PATH, json=body) as answer,
    ):
        request_id = answer.headers["x-request-id"]
        read = 0
        for data in answer.iter_bytes():
            read += len(data)
            if read > 1000:
                break
    left = time.monotonic()
    first.await_that(lambda it: it.chats[asked].ended == "left")
    assert time.monotonic() - left < 1.0
    records = gate.records(request_id)
    assert (records.request.status, records.request.error_code) == ("cancelled", "client_left")
    assert records.request.provider == "a"
    assert records.billed == ["counted"]
    assert records.entries[0].output_tokens > 0


def test_whoever_does_not_read_is_cut_off(
    gate: Gate, first: Upstream, http: type[asyncio.Protocol], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-C3: also when the provider has said everything and only the end is still to be sent."""
    monkeypatch.setattr(edge, "LATE_SECONDS", 0.2)
    state = gate._server.server_state
    before = len(state.connections)
    body = json.dumps({"model": "a:floods", "messages": MESSAGES, "stream": True}).encode()
    asked = len(first.chats)
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", gate.port))
        head = f"POST {PATH} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {gate.secret}\r\n"
        made.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first.await_that(lambda it: len(it.chats) > asked)
        gate.until(lambda: not state.tasks, "the answer is still waited with")
        if http is Protocol:  # uvicorn's own waits for the client
            gate.until(lambda: len(state.connections) <= before, "the connection is still there")
    gate.at_rest()


def test_many_leave_at_once(gate: Gate, first: Upstream) -> None:
    """In the middle of a body, before the answer, after some of it."""
    body = {"model": "a:long", "messages": MESSAGES, "stream": True}

    async def leave(number: int) -> None:
        async with httpx.AsyncClient(base_url=gate.url, headers=gate.headers, timeout=WAIT_SECONDS) as client:
            try:
                async with asyncio.timeout(0.02 + 0.01 * number):
                    async with client.stream("POST", PATH, json=body) as answer:
                        async for _ in answer.aiter_bytes():
                            pass
            except TimeoutError:
                pass  # that is how it leaves

    async def all_leave() -> None:
        await asyncio.gather(*(leave(number) for number in range(30)))

    asyncio.run(all_leave())
    gate.at_rest()
    names = gate.call(_tasks)
    assert not [name for name in names if "Exchange" in name or "chat" in name], names


async def _tasks() -> list[str]:
    await asyncio.sleep(0.05)
    return [str(task.get_coro()) for task in asyncio.all_tasks()]
