"""A provider that costs next to nothing: OpenAI's wire on a bare asyncio protocol, for measuring what stands before it.

    python -m bench.upstream --port 9001

Plain answers at once. Streams send `--events` events, one write each, `--gap` milliseconds apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import cast

WORDS = "Each request is relayed to the model that should answer it and the answer comes back as it was said ".split()

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "bench-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(WORDS * 3), "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 512, "completion_tokens": 60, "total_tokens": 572},
    }
).encode()

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "bench-1", "object": "model", "owned_by": "bench"}]}).encode()
LIST = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(MODELS), MODELS)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(value: object) -> bytes:
    return chunk(b"data: " + json.dumps(value).encode() + b"\n\n")


def delta(content: str, finish: str | None = None) -> bytes:
    return event(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": 1795000000,
            "model": "bench-1",
            "choices": [{"index": 0, "delta": {"content": content}, "logprobs": None, "finish_reason": finish}],
        }
    )


DELTAS = [delta(word + " ") for word in WORDS]
LAST = (
    delta("", "stop")
    + event({"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1795000000, "model": "bench-1",
             "choices": [], "usage": {"prompt_tokens": 512, "completion_tokens": 1000, "total_tokens": 1512}})
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)  # fmt: skip


class Upstream(asyncio.Protocol):
    """HTTP/1.1 as far as a well-behaved client needs it."""

    def __init__(self, events: int, gap: float) -> None:
        self.events, self.gap = events, gap
        self.buffer = b""
        self.streaming: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def connection_lost(self, error: Exception | None) -> None:
        if self.streaming is not None:
            self.streaming.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get "):
            self.transport.write(LIST)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.streaming = asyncio.get_running_loop().create_task(self.stream())
        else:
            self.transport.write(PLAIN)

    async def stream(self) -> None:
        self.transport.write(STREAM)
        for n in range(self.events):
            self.transport.write(DELTAS[n % len(DELTAS)])
            await asyncio.sleep(self.gap)
        self.transport.write(LAST)


async def serve(port: int, events: int, gap: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(events, gap), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--gap", type=float, default=4.0, help="milliseconds between two events")
    options = parser.parse_args()
    import uvloop

    uvloop.run(serve(options.port, options.events, options.gap / 1000))


if __name__ == "__main__":
    main()
