"""Asking a model as the gateway does, without the gateway: adapter and connector together, or an adapter alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import strategies as st

from providers.adapters import adapter_for
from providers.chat import (
    ChatAnswer,
    ChatRequest,
    Ended,
    Event,
    Failed,
    Finish,
    ReasoningDelta,
    TextDelta,
    Usage,
    UsageReport,
)
from providers.connector import Connector
from providers.errors import ProviderError
from providers.registry import KINDS
from providers.wiring import Decoder, HttpAnswer, Limits, Opening, Target

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


E = TypeVar("E")


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
    def failure(self) -> ProviderError:
        """What it reported at last."""
        last = self.events[-1]
        assert isinstance(last, Failed)
        return last.error

    @property
    def words(self) -> list[str]:
        """Events as text: two errors are never equal."""
        return [repr(event) for event in self.events]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def frames(self) -> bytes:
        return b"".join(event.frame for event in self.events)

    def raise_reported(self) -> None:
        if self.events and isinstance(self.events[-1], Failed):
            raise self.events[-1].error


# -- without a network --------------------------------------------------------------------


def heard(decoder: Decoder, data: bytes | Iterable[bytes]) -> Said:
    """The whole stream, at once or in pieces. Raises what is known only at its end."""
    said = Said()
    for piece in [data] if isinstance(data, bytes) else data:
        said.events += decoder.feed(piece)
    said.events += decoder.close()
    return said


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(at)]


def every_byte(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def event(kind: str, **more: Any) -> bytes:
    """One that has its name in both places."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


def values_of(names: Sequence[str], *more: str) -> st.SearchStrategy[Any]:
    """JSON in which what a wire knows stands in the wrong places."""
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return st.recursive(
        leaves | st.sampled_from(more) if more else leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(names), inner, max_size=4),
        max_leaves=10,
    )


def check_rubbish(
    played: Callable[[list[bytes]], Said],
    rubbish: list[bytes],
    answered: Callable[[bytes], ChatAnswer] | None = None,
) -> None:
    """It raises nothing but what a provider may be blamed for, and a stream of it has an end."""
    with suppress(ProviderError):
        assert isinstance(played(rubbish).events[-1], Failed | Ended)
    with suppress(ProviderError):
        if answered is not None:
            answered(b"".join(rubbish))


# -- over a network -----------------------------------------------------------------------


async def opened(connector: Connector, to: Target, within: Limits | None = None) -> Target:
    """The target itself, except where a conversation must be made first."""
    adapter = adapter_for(to.kind)
    if not isinstance(adapter, Opening):
        return to
    answer = await connector.send(adapter.opening_request(to), within or limits())
    if answer.status >= 400:
        raise adapter.error(answer, to)
    return adapter.opened(answer, to)


async def plain(connector: Connector, to: Target, within: Limits | None = None, **more: Any) -> ChatAnswer:
    to = await opened(connector, to, within)
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
    to = await opened(connector, to, within)
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
