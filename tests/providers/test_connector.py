"""What a real socket can do wrong, as the fault matrix of docs/reliability.md numbers it, and what is made of it."""

from __future__ import annotations

import asyncio
import resource
import time

import httpx
import pytest

from providers.connector import Connector
from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    Interrupted,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    TimedOut,
    TooLarge,
    Unreachable,
)
from providers.registry import KINDS
from providers.wiring import HttpRequest, Limits
from tests.providers.talk import Said, failure, limits, plain, streamed, target, tight, until_closed
from tests.upstream import Upstream

TEXT = "Hello from upstream."


# -- what works -------------------------------------------------------------------------


async def test_plain_and_streamed_answer_say_the_same(connector: Connector, upstream: Upstream) -> None:
    answer = await plain(connector, target("ok", upstream.base_url))
    said = await streamed(connector, target("ok", upstream.base_url))
    assert answer.text == said.text == TEXT
    assert answer.usage == said.usage
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.output) == (9, 4)


async def test_the_key_is_sent_and_nothing_of_us(connector: Connector, upstream: Upstream) -> None:
    await plain(connector, target("ok", upstream.base_url))
    headers = upstream.chats[0].headers
    assert headers["authorization"] == "Bearer test-key-secret-0123456789"
    assert headers["accept-encoding"] == "identity"
    assert set(headers) == {
        "accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent",
    }  # fmt: skip


async def test_connections_are_used_again_after_a_stream_was_read_to_its_end(
    connector: Connector, upstream: Upstream
) -> None:
    for _ in range(3):
        await streamed(connector, target("ok", upstream.base_url))
        await until_closed(connector)
    assert len({seen.connection for seen in upstream.chats}) == 1


@pytest.mark.parametrize("model", ["odd-framing", "unknown-types", "json-for-sse", "no-usage", "absurd-usage"])
async def test_f18_f22_f28_f29_odd_streams_say_the_same(connector: Connector, upstream: Upstream, model: str) -> None:
    assert (await streamed(connector, target(model, upstream.base_url))).text == TEXT


async def test_f22_a_stream_for_a_plain_answer_is_collected(connector: Connector, upstream: Upstream) -> None:
    answer = await plain(connector, target("sse-for-json", upstream.base_url))
    assert (answer.text, answer.body) == (TEXT, b"")
    assert answer.usage is not None


async def test_f31_a_stale_connection_is_replaced_in_silence(connector: Connector, upstream: Upstream) -> None:
    to = target("stale", upstream.base_url)
    for _ in range(3):
        assert (await plain(connector, to)).text == TEXT
    await asyncio.to_thread(upstream.await_that, lambda it: all(seen.ended for seen in it.requests))
    assert [(seen.number, seen.ended) for seen in upstream.chats] == [
        (1, "answered"),
        (2, "cut"),
        (1, "answered"),
        (1, "answered"),
    ]


async def test_f02_a_reset_of_a_fresh_connection_is_not_tried_again(connector: Connector, upstream: Upstream) -> None:
    await failure(connector, "resets", upstream.base_url, stream=False)
    assert len(upstream.chats) == 1


# -- what does not ------------------------------------------------------------------------

BOTH = [
    # behaviour, error, code, whether the provider can have seen the request
    ("resets", Unreachable, "upstream_unreachable"),  # F02
    ("closes", Unreachable, "upstream_unreachable"),  # F02
    ("silent", TimedOut, "upstream_timeout"),  # F03
    ("headers-only", TimedOut, "upstream_timeout"),  # F04
    ("drips-headers", TimedOut, "upstream_timeout"),  # F33
    ("stalls", TimedOut, "upstream_stalled"),  # F05
    ("drips", TimedOut, "deadline_exceeded"),  # F06
    ("429-soon", RateLimited, "rate_limit_exceeded"),  # F07
    ("429-quota", QuotaExhausted, "upstream_quota"),
    ("402", QuotaExhausted, "upstream_quota"),
    ("500", Overloaded, "upstream_error"),  # F10
    ("503", Overloaded, "upstream_overloaded"),
    ("html", Overloaded, "upstream_error"),  # F11
    ("401", BadCredentials, "upstream_auth"),  # F12
    ("403", BadCredentials, "upstream_auth"),  # F12
    ("400", BadRequest, "invalid_request_error"),
    ("too-long", ContextTooLong, "context_length_exceeded"),  # F13
    ("filtered", Refused, "content_filter"),  # F13
    ("404", ModelNotFound, "upstream_model_not_found"),  # F14
    ("413", BadRequest, "request_too_large"),
    ("cuts", Interrupted, "upstream_stream_interrupted"),  # F15
    ("error-200", Overloaded, "upstream_overloaded"),  # F17
    ("error-first", Overloaded, "upstream_overloaded"),  # F19
    ("error-later", Overloaded, "upstream_error"),  # F20
    ("html-200", InvalidAnswer, "upstream_invalid_response"),  # F22
    ("huge-body", TooLarge, "upstream_too_large"),  # F23
    ("bomb", InvalidAnswer, "upstream_invalid_response"),  # F24
    ("redirects", InvalidAnswer, "upstream_invalid_response"),  # F27
    ("not-http", InvalidAnswer, "upstream_invalid_response"),  # F30
    ("many-headers", InvalidAnswer, "upstream_invalid_response"),  # F30
    ("long-header", InvalidAnswer, "upstream_invalid_response"),  # F30
    ("continues", TimedOut, "upstream_timeout"),  # F30
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(("model", "kind", "code"), BOTH, ids=[row[0] for row in BOTH])
async def test_faults(
    connector: Connector, upstream: Upstream, model: str, kind: type[ProviderError], code: str, stream: bool
) -> None:
    began = time.monotonic()
    within = tight() if kind is TimedOut else limits()
    error = await failure(connector, model, upstream.base_url, stream=stream, within=within)
    assert (type(error), error.reason) == (kind, code)
    assert error.sent
    assert time.monotonic() - began < (2.5 if model == "drips" else 1.5)
    assert "secret" not in str(error)
    assert "<" not in str(error)
    await until_closed(connector)
    await asyncio.to_thread(upstream.await_that, lambda it: all(seen.ended for seen in it.requests))


@pytest.mark.parametrize(
    ("model", "kind", "code", "text"),
    [
        ("stalls", TimedOut, "upstream_stalled", "Hello from"),
        ("cuts", Interrupted, "upstream_stream_interrupted", "Hello from"),
        ("cuts-at-once", Interrupted, "upstream_stream_interrupted", ""),
        ("ends-early", Interrupted, "upstream_stream_interrupted", "Hello from"),
        ("keeps-done-to-itself", Interrupted, "upstream_stream_interrupted", TEXT),  # F21
        ("undecodable-first", InvalidAnswer, "upstream_protocol_error", ""),
        ("undecodable-later", InvalidAnswer, "upstream_protocol_error", "Hello from"),
        ("error-later", Overloaded, "upstream_error", "Hello from"),
        ("huge-line", TooLarge, "upstream_too_large", ""),
        ("bad-chunk", Interrupted, "upstream_stream_interrupted", ""),
        ("empty", InvalidAnswer, "upstream_invalid_response", ""),
    ],
)
async def test_what_came_before_a_fault_is_kept(
    connector: Connector, upstream: Upstream, model: str, kind: type[ProviderError], code: str, text: str
) -> None:
    said = Said()
    within = tight() if kind is TimedOut else limits()
    error = await failure(connector, model, upstream.base_url, stream=True, within=within, said=said)
    assert (type(error), error.reason, said.text) == (kind, code, text)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("bad-json", "upstream_invalid_response"),
        ("empty", "upstream_invalid_response"),
        ("ends-early", "upstream_invalid_response"),
    ],
)
async def test_f16_plain_answers_that_are_none(connector: Connector, upstream: Upstream, model: str, code: str) -> None:
    error = await failure(connector, model, upstream.base_url, stream=False)
    assert (type(error), error.reason) == (InvalidAnswer, code)


@pytest.mark.parametrize(("model", "seconds"), [("429-soon", 1), ("429-absurd", 3600), ("429", None), ("503", 2)])
async def test_f07_f09_when_to_come_back(
    connector: Connector, upstream: Upstream, model: str, seconds: float | None
) -> None:
    error = await failure(connector, model, upstream.base_url, stream=False)
    assert error.retry_after == seconds


async def test_f24_a_compression_bomb_takes_no_memory(connector: Connector, upstream: Upstream) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await failure(connector, "bomb", upstream.base_url, stream=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


async def test_f27_a_redirect_is_not_followed(connector: Connector, upstream: Upstream) -> None:
    await failure(connector, "redirects", upstream.base_url, stream=True)
    assert [seen.path for seen in upstream.requests] == ["/v1/chat/completions"]


# -- leaving, and slow readers ----------------------------------------------------------------


async def test_leaving_in_mid_stream_closes_upstream_at_once(connector: Connector, upstream: Upstream) -> None:
    reading = asyncio.create_task(streamed(connector, target("long", upstream.base_url), limits(total=10, idle=5)))
    await asyncio.to_thread(upstream.await_that, lambda it: bool(it.requests) and it.requests[0].sent > 500)
    reading.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.to_thread(upstream.await_left)
    assert time.monotonic() - began < 0.5
    assert connector.open == 0


async def test_leaving_before_headers_closes_upstream_at_once(connector: Connector, upstream: Upstream) -> None:
    asking = asyncio.create_task(plain(connector, target("silent", upstream.base_url), limits(total=10, first_byte=9)))
    await asyncio.to_thread(upstream.await_that, lambda it: bool(it.requests))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.to_thread(upstream.await_left)
    assert connector.open == 0


async def test_leaving_without_reading_to_the_end_closes_upstream(connector: Connector, upstream: Upstream) -> None:
    async with connector.stream(request(upstream, "long"), limits(total=10)) as answer:
        await anext(answer.chunks())
    await asyncio.to_thread(upstream.await_left)
    await until_closed(connector)


async def test_a_slow_reader_holds_the_provider_back(connector: Connector, upstream: Upstream) -> None:
    async with connector.stream(request(upstream, "floods"), limits(total=20, idle=0.2)) as answer:
        chunks = answer.chunks()
        await anext(chunks)
        # Longer than it may be idle: it is we who are slow, and that is no stall.
        await asyncio.sleep(0.5)
        sent = upstream.chats[0].sent
        await asyncio.sleep(0.2)
        assert upstream.chats[0].sent == sent  # buffers of both kernels are full, and ours is small
        assert sent < 16 * 1024 * 1024
        await anext(chunks)


async def test_many_that_leave_leave_nothing_behind(connector: Connector, upstream: Upstream) -> None:
    async def leave_after(seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await streamed(connector, target("long", upstream.base_url), limits(total=10, idle=5))
        except TimeoutError:
            pass

    await asyncio.gather(*(leave_after(0.001 * n) for n in range(1, 101)))
    await until_closed(connector)
    await asyncio.to_thread(upstream.await_that, lambda it: it.open_connections == 0)


def request(upstream: Upstream, model: str) -> HttpRequest:
    body = b'{"model":"%s","stream":true,"messages":[]}' % model.encode()
    return HttpRequest("POST", f"{upstream.base_url}/chat/completions", {}, body, KINDS["vllm"])


async def test_the_deadline_is_one_for_everything(connector: Connector, upstream: Upstream) -> None:
    began = time.monotonic()
    with pytest.raises(TimedOut):
        await plain(connector, target("drips", upstream.base_url), limits(total=0.6, first_byte=5, idle=5))
    assert time.monotonic() - began < 0.9


async def test_the_end_of_a_large_request_body_arrives(connector: Connector, upstream: Upstream) -> None:
    text = "x" * 3_000_000
    assert (await plain(connector, target("ok", upstream.base_url), text=text)).text == TEXT
    assert upstream.chats[0].json["messages"][0]["content"] == text


# -- control traffic --------------------------------------------------------------------------


async def test_httpx_follows_the_same_rules(connector: Connector, upstream: Upstream) -> None:
    async with connector.client(KINDS["vllm"]) as local:
        listed = await local.get(f"{upstream.base_url}/models")
    assert "ok" in [entry["id"] for entry in listed.json()["data"]]
    async with connector.client() as cloud:
        with pytest.raises(httpx.ConnectError, match="not allowed"):
            await cloud.get(f"{upstream.base_url}/models")


async def test_httpx_gets_no_compressed_answer(connector: Connector, upstream: Upstream) -> None:
    async with connector.client(KINDS["vllm"]) as client:
        with pytest.raises(httpx.ReadError, match="compressed"):
            await client.post(f"{upstream.base_url}/chat/completions", json={"model": "bomb"})


def test_limits_have_a_deadline_of_their_own() -> None:
    assert Limits(deadline=1.0).idle < Limits(deadline=1.0).first_byte
