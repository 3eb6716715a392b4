"""What the pretend vendor does when it is asked for embeddings, by the name of the model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.misbehaviour import error
from tests.upstream import Exchange

SIZE = 4


def vector(text: str, size: int = SIZE) -> list[float]:
    """Its length, then numbers that differ from text to text and fit into 32 bits exactly."""
    return [float(len(text)), *(((sum(text.encode()) + n) % 64) / 64 for n in range(size - 1))]


def body(texts: list[str], size: int = SIZE, **more: Any) -> dict[str, Any]:
    rows = [{"object": "embedding", "index": n, "embedding": vector(text, size)} for n, text in enumerate(texts)]
    tokens = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": rows, "model": "served-embed", "usage": usage} | more


async def embeds(it: Exchange) -> None:
    asked = it.seen.json
    await it.whole(json.dumps(body(asked["input"], asked.get("dimensions") or SIZE)).encode())


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Exchange], Awaitable[None]]:
    async def answer(it: Exchange) -> None:
        said = body(it.seen.json["input"])
        change(said)
        await it.whole(json.dumps(said).encode())

    return answer


def when(word: str, refuse: Callable[[Exchange], Awaitable[None]]) -> Callable[[Exchange], Awaitable[None]]:
    """As it should be, until a text has this word in it."""

    async def answer(it: Exchange) -> None:
        texts = it.seen.json["input"]
        await (refuse(it) if any(word in text.split() for text in texts) else embeds(it))

    return answer


async def fails(it: Exchange) -> None:
    await it.whole(error("The server had an error.", "server_error", "server_error"), 500)


class Once:
    """Busy the first time, as it should be from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, it: Exchange) -> None:
        self.asked += 1
        if self.asked == 1:
            await it.whole(error("Slow down.", "rate_limit_exceeded", "requests"), 429, retry_after="0")
        else:
            await embeds(it)


def _of_two_sizes(said: dict[str, Any]) -> None:
    said["data"][-1]["embedding"] = [1.0]


BEHAVIOURS: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "embeds": embeds,
    "embeds-in-disorder": changed(lambda said: said["data"].reverse()),
    "embeds-without-usage": changed(lambda said: said.pop("usage")),
    "embeds-absurd-usage": changed(lambda said: said.update(usage={"prompt_tokens": 4 * 10**9, "total_tokens": 1})),
    "embeds-too-few": changed(lambda said: said["data"].pop()),
    "embeds-two-sizes": changed(_of_two_sizes),
    "embeds-same-number": changed(lambda said: [row.update(index=n // 2) for n, row in enumerate(said["data"])]),
    "embeds-nothing": changed(lambda said: [row.update(embedding=[]) for row in said["data"]]),
    "embeds-error-200": changed(lambda said: said.update(data=None, error={"message": "Busy.", "code": "overloaded"})),
    "embeds-until": when("stumble", fails),
    "embeds-busy-once": when("stumble", Once()),
}
