"""Clients of a running house's /v1, as programs have them: real connections, read to their end or left before it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import aiohttp

FINISHED = b"data: [DONE]"


@dataclass
class Answer:
    """What a client got."""

    status: int = 0
    request_id: str = ""
    body: bytes = b""
    whole: bool = False  # the answer came to its end
    error: str = ""  # what the connection said when it broke

    @property
    def received(self) -> bool:
        """Did the client get an answer it can use?"""
        return self.status == 200 and self.whole

    def text(self) -> str:
        """Of a stream, put together."""
        return "".join(
            json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
            for line in self.body.splitlines()
            if line.startswith(b"data: {") and json.loads(line[6:]).get("choices")
        )


@dataclass
class Caller:
    """One program with a key."""

    url: str
    key: str
    answers: list[Answer] = field(default_factory=list)

    def session(self) -> aiohttp.ClientSession:
        # A connection of its own for each call: a kept one that breaks would be tried again behind our back.
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers={"authorization": f"Bearer {self.key}"},
            timeout=aiohttp.ClientTimeout(total=120, sock_connect=30),
        )

    async def ask(
        self, session: aiohttp.ClientSession, model: str, *, stream: bool = True, begun: asyncio.Event | None = None
    ) -> Answer:
        """Read to the end. `begun` is set when the first bytes of the answer are here."""
        answer = Answer()
        self.answers.append(answer)
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Count, please."}]}
        try:
            async with session.post(f"{self.url}/v1/chat/completions", json=body) as reply:
                answer.status = reply.status
                answer.request_id = reply.headers.get("x-request-id", "")
                async for data in reply.content.iter_any():
                    answer.body += data
                    if begun is not None:
                        begun.set()
                answer.whole = FINISHED in answer.body if stream and reply.status == 200 else True
        except (aiohttp.ClientError, ConnectionError) as error:
            answer.error = repr(error)
        finally:
            if begun is not None:
                begun.set()
        return answer

    async def leave(self, session: aiohttp.ClientSession, model: str, *, after: float, stream: bool = True) -> None:
        """Ask, and hang up after so many seconds, wherever the answer is then."""
        try:
            async with asyncio.timeout(after):
                await self.ask(session, model, stream=stream)
        except TimeoutError:
            pass
