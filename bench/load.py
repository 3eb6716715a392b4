"""A closed-loop load: clients on kept-alive connections, each sending its next request when it has its answer.

Bare asyncio protocols, so that the client's own cost stays small. Bounded in requests and seconds; 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

PROMPT = "Summarise the following notes for a colleague who was away. " + "The relay answers. " * 90


def body(model: str, *, stream: bool = False) -> bytes:
    value = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are brief and exact."},
            {"role": "user", "content": PROMPT},
        ],
        "temperature": 0.3,
        "max_tokens": 400,
        **({"stream": True} if stream else {}),
    }
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Result:
    """Seconds per answer, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    first_failure: bytes = b""
    bytes_in: int = 0
    elapsed: float = 0.0

    def at(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class Client(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.load.fail(b"connection lost: " + repr(error).encode())
            self.done.set_result(None)

    def next(self) -> None:
        if not self.load.take():
            if not self.done.done():
                self.done.set_result(None)
            self.transport.close()
            return
        self.buffer.clear()
        self.began = time.perf_counter()
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.load.result.bytes_in += len(data)
        self.buffer += data
        if self._complete():
            self.load.result.seconds.append(time.perf_counter() - self.began)
            if not self.buffer.startswith(b"HTTP/1.1 200"):
                self.load.fail(bytes(self.buffer[:400]))
            self.next()

    def _complete(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            return len(self.buffer) >= end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])
        return self.buffer.endswith(b"0\r\n\r\n")


class Load:
    def __init__(self, port: int, key: str, payload: bytes, *, requests: int, path: str = "/v1/chat/completions"):
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\n"
            f"content-length: {len(payload)}\r\n\r\n"
        )
        self.port = port
        self.request = head.encode() + payload
        self.left = requests
        self.result = Result()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def fail(self, what: bytes) -> None:
        self.result.failed += 1
        self.result.first_failure = self.result.first_failure or what

    async def run(self, connections: int, *, seconds: float = 120.0) -> Result:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        clients = [
            (await loop.create_connection(lambda: Client(self), "127.0.0.1", self.port))[1] for _ in range(connections)
        ]
        try:
            await asyncio.wait_for(asyncio.gather(*(client.done for client in clients)), seconds)
        finally:
            for client in clients:
                client.transport.close()
        self.result.elapsed = time.perf_counter() - began
        return self.result
