"""A page refuses a body that is too long, whether it says how long it is or not."""

from __future__ import annotations

from typing import Any

import pytest

from console.bodies import bounded

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}


async def swallow(scope: Any, receive: Any, send: Any) -> None:
    """Reads a body to its end and says how long it was; nothing when the client left."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def ask(scope: dict[str, Any], pieces: list[bytes]) -> tuple[int, bytes, int]:
    """Status, body, and how many pieces were read."""
    left = list(pieces)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    await bounded(swallow, scope, receive, send, limit=10)
    return sent[0]["status"], sent[1]["body"], len(pieces) - len(left)


@pytest.mark.parametrize("pieces", [[b"12345"], [b"12345", b"67890"]])
async def test_a_body_within_the_limit_passes(pieces: list[bytes]) -> None:
    assert await ask(SCOPE, pieces) == (200, str(len(b"".join(pieces))).encode(), len(pieces))


async def test_a_body_that_says_it_is_too_long_is_not_read() -> None:
    status, _, read = await ask({**SCOPE, "headers": [(b"content-length", b"11")]}, [b"12345678901"])
    assert (status, read) == (413, 0)


async def test_a_body_that_grows_too_long_is_read_no_further() -> None:
    status, _, read = await ask(SCOPE, [b"123456", b"789012", b"3456"])
    assert (status, read) == (413, 2)
