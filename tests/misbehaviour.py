"""What the pretend vendor can do, by the name of the model that is asked for. One function a behaviour.

Numbers in the comments are those of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from tests.upstream import Exchange

Behaviour = Callable[[Exchange], Awaitable[None]]

WORDS = ("Hello", " from", " upstream", ".")
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ABSURD = {"prompt_tokens": 4_000_000_000, "completion_tokens": 9_000_000_000, "total_tokens": 13_000_000_000}
DONE = b"data: [DONE]\n\n"

BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(name: str) -> Callable[[Behaviour], Behaviour]:
    def keep(function: Behaviour) -> Behaviour:
        BEHAVIOURS[name] = function
        return function

    return keep


# -- pieces of answers -----------------------------------------------------------------


def body(
    text: str = "".join(WORDS), usage: dict[str, int] | None = USAGE, model: str = "served-model", **more: Any
) -> bytes:
    message = {"role": "assistant", "content": text} | more
    finish = "tool_calls" if "tool_calls" in more else "stop"
    answer: dict[str, Any] = {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "created": 1_795_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if usage is not None:
        answer["usage"] = usage
    return json.dumps(answer).encode()


def event(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """`delta` of None is a chunk without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "model": "served-model", "choices": choices}
    return b"data: " + json.dumps(chunk | more).encode() + b"\n\n"


def events(words: Iterable[str] = WORDS, usage: dict[str, int] | None = USAGE) -> list[bytes]:
    """A whole stream without its [DONE]."""
    told = [event({"role": "assistant", "content": ""}), *(event({"content": word}) for word in words)]
    told.append(event({}, "stop"))
    if usage is not None:
        told.append(event(None, usage=usage))
    return told


def error(message: str, code: str | None = None, kind: str = "invalid_request_error", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code} | more}).encode()


async def stream(it: Exchange, pieces: Iterable[bytes], *, pause: float = 0.0) -> None:
    await it.stream_head()
    for piece in pieces:
        await it.chunk(piece)
        if pause:
            await it.pause(pause)
    await it.chunk(b"")


async def either(it: Exchange, plain: bytes, pieces: Iterable[bytes]) -> None:
    if it.seen.streamed:
        await stream(it, pieces)
    else:
        await it.whole(plain)


def listing(models: list[str]) -> Behaviour:
    async def answer(it: Exchange) -> None:
        entries = [{"id": name, "object": "model", "owned_by": "tests", "max_model_len": 4096} for name in models]
        await it.whole(json.dumps({"object": "list", "data": entries}).encode())

    return answer


# -- as it should be ----------------------------------------------------------------------


@behaviour("ok")
async def ok(it: Exchange) -> None:
    await either(it, body(), [*events(), DONE])


@behaviour("slow")
async def slow(it: Exchange) -> None:
    """A word each twentieth of a second."""
    if it.seen.streamed:
        await stream(it, [*events(), DONE], pause=0.05)
    else:
        await it.pause(0.3)
        await it.whole(body())


@behaviour("long")
async def long(it: Exchange) -> None:
    """A hundred words a second for ten seconds: something to leave in the middle of."""
    await stream(it, [*events(f"word{n} " for n in range(1000)), DONE], pause=0.01)


@behaviour("tools")
async def tools(it: Exchange) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Riga"}'}}
    pieces = [
        event({"role": "assistant", "content": None}),
        event({"tool_calls": [{"index": 0, **call, "function": {"name": "lookup", "arguments": ""}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]}),
        event({"tool_calls": [{"index": 0, "function": {"arguments": '"Riga"}'}}]}),
        event({}, "tool_calls"),
        event(None, usage=USAGE),
        DONE,
    ]
    await either(it, body("", tool_calls=[call]), pieces)


@behaviour("floods")
async def floods(it: Exchange) -> None:
    """As fast as the reader takes it: what a slow reader must hold back."""
    await it.stream_head()
    piece = b"".join(event({"content": "x" * 1000}) for _ in range(20))
    for _ in range(2000):
        await it.chunk(piece)
    await it.chunk(DONE)
    await it.chunk(b"")


@behaviour("no-usage")  # F28
async def no_usage(it: Exchange) -> None:
    await either(it, body(usage=None), [*events(usage=None), DONE])


@behaviour("absurd-usage")  # F28
async def absurd_usage(it: Exchange) -> None:
    await either(it, body(usage=ABSURD), [*events(usage=ABSURD), DONE])


@behaviour("odd-framing")  # F29
async def odd_framing(it: Exchange) -> None:
    """A mark, comments, all three line endings, data over several lines, cut after every byte."""
    await it.stream_head()
    told = b"\xef\xbb\xbf: hello\r\n\r\n"
    told += events()[0].replace(b"\n", b"\r\n") + events()[1].replace(b"\n", b"\r")
    told += b"event: ping\ndata: nothing\n\n"
    told += events()[2].replace(b', "object"', b',\ndata: "object"')
    told += b"".join(events()[3:]) + b"id: 7\nretry: 5\ndata:[DONE]\n\n"
    for at in range(len(told)):
        await it.chunk(told[at : at + 1])
    await it.chunk(b"")


@behaviour("keeps-done-to-itself")
async def keeps_done(it: Exchange) -> None:
    """A finish reason and a clean end, but no [DONE]."""
    await either(it, body(), events())


# -- before an answer -----------------------------------------------------------------------


@behaviour("resets")  # F02
async def resets(it: Exchange) -> None:
    it.reset()


@behaviour("closes")  # F02
async def closes(it: Exchange) -> None:
    it.keep_alive = False


@behaviour("silent")  # F03
async def silent(it: Exchange) -> None:
    await it.for_ever()


@behaviour("headers-only")  # F04
async def headers_only(it: Exchange) -> None:
    await (it.stream_head() if it.seen.streamed else it.head(content_length="100"))
    await it.for_ever()


@behaviour("drips-headers")  # F33
async def drips_headers(it: Exchange) -> None:
    await it.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await it.raw(b"x-drop: 1\r\n")
        await it.pause(0.1)


@behaviour("stale")  # F31
async def stale(it: Exchange) -> None:
    """Answers the first request of a connection, and closes when the second one comes."""
    if it.seen.number > 1:
        it.reset()
        return
    await ok(it)


# -- in the middle --------------------------------------------------------------------------


@behaviour("stalls")  # F05
async def stalls(it: Exchange) -> None:
    if it.seen.streamed:
        await it.stream_head()
        await it.chunk(b"".join(events()[:3]))
    else:
        await it.head(content_length="1000")
        await it.raw(body()[:50])
    await it.for_ever()


@behaviour("drips")  # F06
async def drips(it: Exchange) -> None:
    if it.seen.streamed:
        await it.stream_head()
    else:
        await it.head(content_length="100000")
    while True:
        await (it.chunk(event({"content": "drop "})) if it.seen.streamed else it.raw(b" "))
        await it.pause(0.1)


@behaviour("cuts")  # F15
async def cuts(it: Exchange) -> None:
    if it.seen.streamed:
        await it.stream_head()
        await it.chunk(b"".join(events()[:3]))
    else:
        await it.head(content_length="1000")
        await it.raw(body()[:50])
    it.keep_alive = False


@behaviour("cuts-at-once")  # F15
async def cuts_at_once(it: Exchange) -> None:
    await it.stream_head()
    it.keep_alive = False


@behaviour("ends-early")  # F21
async def ends_early(it: Exchange) -> None:
    await either(it, body()[:60], events()[:3])


@behaviour("undecodable-first")  # F18
async def undecodable_first(it: Exchange) -> None:
    await either(it, b'{"id": ', [b'data: {"id": \n\n'])


@behaviour("undecodable-later")  # F18
async def undecodable_later(it: Exchange) -> None:
    await either(it, b'{"id": ', [*events()[:3], b"data: {not json}\n\n", DONE])


@behaviour("unknown-types")  # F18
async def unknown_types(it: Exchange) -> None:
    more = [b'event: metrics\ndata: {"type": "metrics", "load": 3}\n\n', b"event: ping\ndata: pong\n\n"]
    await either(it, body(), [*events()[:2], *more, *events()[2:], DONE])


@behaviour("error-first")  # F19
async def error_first(it: Exchange) -> None:
    said = error("The engine is overloaded.", "server_is_overloaded", "server_error")
    await either(it, said, [b"data: " + said + b"\n\n"])


@behaviour("error-later")  # F20
async def error_later(it: Exchange) -> None:
    said = error("The server had an error.", "server_error", "server_error")
    await either(it, said, [*events()[:3], b"event: error\ndata: " + said + b"\n\n", DONE])


# -- answers that are none --------------------------------------------------------------------


def refuses(
    status: int, said: bytes, content_type: str = "application/json", **headers: str
) -> Callable[[Exchange], Awaitable[None]]:
    async def refuse(it: Exchange) -> None:
        await it.whole(said, status, content_type, **headers)

    return refuse


_LIMITED = error("Rate limit reached for requests.", "rate_limit_exceeded", "requests")
_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>secret-proxy-7</h1></body></html>"

BEHAVIOURS |= {
    "429-soon": refuses(429, _LIMITED, retry_after="1"),  # F07
    "429": refuses(429, _LIMITED),  # F08
    "429-absurd": refuses(429, _LIMITED, retry_after="31536000"),  # F09
    "429-quota": refuses(429, error("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")),
    "402": refuses(402, error("Insufficient Balance", "invalid_request_error", "unknown_error")),
    "500": refuses(500, error("The server had an error.", "server_error", "server_error")),  # F10
    "503": refuses(503, error("Overloaded.", "server_is_overloaded", "server_error"), retry_after="2"),
    "html": refuses(502, _PAGE, "text/html"),  # F11
    "html-200": refuses(200, _PAGE, "text/html"),  # F22
    "401": refuses(401, error("Incorrect API key provided: test-key-sec***.", "invalid_api_key")),  # F12
    "403": refuses(403, error("No permission.", "permission_denied", "permission_error")),  # F12
    "400": refuses(400, error("Unsupported value.", "unsupported_value", param="temperature")),
    "too-long": refuses(400, error("This model's maximum context length is 16 tokens.", "context_length_exceeded")),
    "filtered": refuses(400, error("Refused.", "content_policy_violation")),  # F13
    "404": refuses(404, error("The model does not exist.", "model_not_found")),  # F14
    "unknown-model": refuses(404, error("The model does not exist.", "model_not_found")),
    "413": refuses(413, error("Request too large.", "rate_limit_exceeded", "tokens")),
    "bad-json": refuses(200, body()[:40]),  # F16
    "empty": refuses(200, b""),  # F16
    "error-200": refuses(200, error("The engine is overloaded.", "server_is_overloaded", "server_error")),  # F17
    "sse-for-json": refuses(200, b"".join([*events(), DONE]), "text/event-stream"),  # F22
    "json-for-sse": refuses(200, body()),  # F22
    "redirects": refuses(302, b"", location="/v1/stolen"),  # F27
    "bomb": refuses(200, gzip.compress(b" " * (64 * 1024 * 1024)), content_encoding="gzip"),  # F24
    "many-headers": refuses(200, body(), **{f"x_flood_{n}": "y" * 100 for n in range(2000)}),  # F30
    "long-header": refuses(200, body(), x_flood="y" * 100_000),  # F30
}


@behaviour("huge-line")  # F23
async def huge_line(it: Exchange) -> None:
    await it.stream_head()
    await it.chunk(b"data: {")
    piece = b"x" * (256 * 1024)
    while True:
        await it.chunk(piece)


@behaviour("huge-body")  # F23
async def huge_body(it: Exchange) -> None:
    size = 200 * 1024 * 1024
    await it.head(content_length=str(size))
    piece = b" " * (256 * 1024)
    for _ in range(size // len(piece)):
        await it.raw(piece)


@behaviour("bad-chunk")  # F30
async def bad_chunk(it: Exchange) -> None:
    await it.stream_head()
    await it.chunk(events()[0])
    await it.pause(0.05)
    await it.raw(b"zz\r\nnot a chunk\r\n")
    it.keep_alive = False


@behaviour("not-http")  # F30
async def not_http(it: Exchange) -> None:
    await it.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    it.keep_alive = False


@behaviour("continues")  # F30
async def continues(it: Exchange) -> None:
    """Informational answers without end."""
    while True:
        await it.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 50)
        await it.pause(0.01)
