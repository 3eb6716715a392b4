"""The floor: the least a Python gateway can do. Bare ASGI and aiohttp: look at the key, forward, read the usage."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import msgspec

UPSTREAM = os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:9001")
KEYS = {b"Bearer " + os.environ.get("BENCH_KEY", "").encode()}

_session: aiohttp.ClientSession | None = None
_request = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


async def application(scope: Any, receive: Any, send: Any) -> None:
    global _session
    if scope["type"] == "lifespan":
        await receive()
        _session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await _session.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert _session is not None
    if dict(scope["headers"]).get(b"authorization") not in KEYS:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    body = (await receive())["body"]
    fields = _request.decode(body)
    headers = {"content-type": "application/json", "authorization": "Bearer upstream"}
    async with _session.post(UPSTREAM + scope["path"], data=body, headers=headers) as reply:
        kind = reply.headers["content-type"].encode()
        await send({"type": "http.response.start", "status": reply.status, "headers": [(b"content-type", kind)]})
        if bytes(fields.get("stream", b"")) == b"true":
            async for data in reply.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            data = await reply.read()
            _answer.decode(data)
            await send({"type": "http.response.body", "body": data})
