"""Asking a model as the gateway does, without the gateway: adapter and connector together."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from providers.adapters import adapter_for
from providers.chat import ChatAnswer, ChatRequest, Event, Failed, Finish, ReasoningDelta, TextDelta, Usage, UsageReport
from providers.connector import Connector
from providers.errors import ProviderError
from providers.registry import KINDS
from providers.wiring import HttpAnswer, Limits, Target

SECRET = "test-key-secret-0123456789"


def fields(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in values.items()}


def asks(text: str = "Hello?", *, stream: bool = False, **more: Any) -> ChatRequest:
    return ChatRequest(fields(**{"messages": [{"role": "user", "content": text}]} | more), stream=stream)


def target(model: str = "m", base_url: str = "", kind: str = "vllm", secret: str = SECRET, **options: Any) -> Target:
    row = KINDS[kind]
    return Target(1, "house", row, base_url or row.base_url, model, secret=secret, options=options)


def limits(**seconds: float) -> Limits:
    """Generous, so that a busy machine breaks no test that is not about time."""
    now = asyncio.get_running_loop().time()
    times = {"connect": 5.0, "first_byte": 5.0, "idle": 5.0} | seconds
    return Limits(deadline=now + times.pop("total", 10.0), **times)


def tight(**seconds: float) -> Limits:
    """Those of the fault matrix, about halved: the suite waits for each of them."""
    return limits(**{"connect": 0.4, "first_byte": 0.6, "idle": 0.6, "total": 2.0} | seconds)


@dataclass
class Said:
    """What a stream said in all."""

    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def usage(self) -> Usage | None:
        told = [event.usage for event in self.events if isinstance(event, UsageReport)]
        return told[-1] if told else None

    @property
    def finish(self) -> Finish | None:
        return next((event for event in self.events if isinstance(event, Finish)), None)

    @property
    def frames(self) -> bytes:
        return b"".join(event.frame for event in self.events)

    def raise_reported(self) -> None:
        if self.events and isinstance(self.events[-1], Failed):
            raise self.events[-1].error


async def plain(connector: Connector, to: Target, within: Limits | None = None, **more: Any) -> ChatAnswer:
    adapter = adapter_for(to.kind)
    http, _ = adapter.chat_request(asks(**more), to)
    answer = await connector.send(http, within or limits())
    if answer.status >= 400:
        raise adapter.error(answer, to)
    return adapter.chat_answer(answer, to)


async def streamed(
    connector: Connector, to: Target, within: Limits | None = None, said: Said | None = None, **more: Any
) -> Said:
    """The whole stream. What came before an error is in `said`."""
    said = said or Said()
    adapter = adapter_for(to.kind)
    request = asks(stream=True, **more)
    http, _ = adapter.chat_request(request, to)
    async with connector.stream(http, within or limits()) as answer:
        if answer.status >= 400:
            raise adapter.error(HttpAnswer(answer.status, answer.headers, await answer.read()), to)
        decoder = adapter.decoder(request, to)
        async for data in answer.chunks():
            said.events += decoder.feed(data)
            said.raise_reported()
        said.events += decoder.close()
        said.raise_reported()
    return said


async def until_closed(connector: Connector) -> None:
    deadline = time.monotonic() + 2
    while connector.open:
        assert time.monotonic() < deadline, f"{connector.open} attempts are still open"
        await asyncio.sleep(0.01)


async def failure(
    connector: Connector,
    model: str,
    base_url: str,
    *,
    stream: bool,
    within: Limits | None = None,
    said: Said | None = None,
) -> ProviderError:
    to = target(model, base_url)
    asked = streamed(connector, to, within, said=said) if stream else plain(connector, to, within)
    with pytest.raises(ProviderError) as caught:
        await asked
    return caught.value
