"""What every kind of provider must do, whatever it speaks: one suite over every row of the table.

A row's wire is spoken by `tests/misbehaviour_<wire>.py`: its `contract(scenario, seen, kind)` says how a request is
answered. `LACKS` there names what the vendor does not do at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from providers.adapters import adapter_for, speaks
from providers.chat import ChatAnswer, EmbeddingRequest, FinishReason, ToolCallDelta
from providers.connector import Connector
from providers.errors import (
    BadCredentials,
    ContextTooLong,
    Interrupted,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
)
from providers.registry import KINDS, Kind, Place
from providers.wiring import HttpAnswer, Target
from tests.cloud import Cloud, local_connector
from tests.providers.talk import SECRET, Said, asks, limits, opened, plain, streamed, until_closed
from tests.upstream import Seen

TEXT = "Hello from upstream."
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "The weather in a city.",
        "strict": True,
        "parameters": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
QUESTION = {"role": "user", "content": "What is the weather in Riga?"}
OPTIONS = {"region": "eu-west-1", "organization": "org-test", "title": "Relayhouse", "bill_to": "test"}

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS_HERE = [kind for kind in KINDS.values() if speaks(kind) and not kind.retired]


def speaker(kind: Kind) -> Any:
    name = f"tests.misbehaviour_{kind.wire.value}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


class Vendor:
    """One kind at a server of this machine, in the mood that a test chooses."""

    def __init__(self, cloud: Cloud, kind: Kind, connector: Connector) -> None:
        if kind.place is Place.INSIDE:
            kind = replace(kind, place=Place.LOCAL)  # over a real socket, like the others
        self.kind = kind
        self.cloud = cloud
        self.connector = connector
        self.lacks: frozenset[str] = getattr(speaker(kind), "LACKS", frozenset())
        self.to = Target(
            1,
            "house",
            kind,
            f"{cloud.url}{urlsplit(kind.base_url).path if '{' not in kind.base_url else ''}",
            "model-a",
            secret=SECRET if kind.auth != "none" else "",
            options=OPTIONS,
        )
        self.adapter = adapter_for(kind)

    def mood(self, scenario: str) -> None:
        self.cloud.mood = (scenario, self.kind)  # type: ignore[attr-defined]

    def has(self, what: str) -> bool:
        return what not in self.lacks

    async def send(self, request: Any) -> HttpAnswer:
        return await self.connector.send(request, limits())

    async def plain(self, **fields: Any) -> ChatAnswer:
        return await plain(self.connector, self.to, **fields)

    async def streamed(self, **fields: Any) -> Said:
        return await streamed(self.connector, self.to, **fields)

    @property
    def last(self) -> Seen:
        return self.cloud.requests[-1]


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    def answer(seen: Seen) -> Any:
        scenario, kind = cloud.mood  # type: ignore[attr-defined]
        return speaker(kind).contract(scenario, seen, kind)

    with Cloud(answer) as cloud:
        yield cloud


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connector() -> AsyncIterator[Connector]:
    """One for all: making one takes longer than any of these tests."""
    connector = local_connector()
    await connector.start()
    yield connector
    await until_closed(connector)
    await connector.close()


@pytest.fixture(params=KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
def vendor(request: Any, cloud: Cloud, connector: Connector) -> Vendor:
    cloud.requests.clear()
    if speaker(request.param) is None:
        pytest.fail(f"nobody speaks {request.param.wire.value} here")
    vendor = Vendor(cloud, request.param, connector)
    vendor.mood("ok")
    return vendor


@pytest.mark.parametrize("kind", KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
async def test_somebody_speaks_every_wire(kind: Kind) -> None:
    assert speaker(kind) is not None, f"tests/misbehaviour_{kind.wire.value}.py is missing"


async def test_an_answer(vendor: Vendor) -> None:
    answer = await vendor.plain()
    assert answer.text == TEXT
    assert answer.finish is FinishReason.STOP
    if vendor.has("usage"):
        assert answer.usage is not None
        assert (answer.usage.prompt, answer.usage.completion) == (9, 4)
    if vendor.kind.key_required:
        assert SECRET in " ".join(vendor.last.headers.values())


async def test_a_stream_says_what_an_answer_says(vendor: Vendor) -> None:
    said = await vendor.streamed()
    whole = await vendor.plain()
    assert said.text == whole.text == TEXT
    assert said.usage == whole.usage
    assert said.finish is not None
    assert said.finish.reason is whole.finish


async def test_a_tool_is_called_and_answered(vendor: Vendor) -> None:
    if not vendor.has("tools"):
        return
    vendor.mood("tools")
    said = await vendor.streamed(messages=[QUESTION], tools=[TOOL])
    deltas = [event for event in said.events if isinstance(event, ToolCallDelta)]
    assert json.loads("".join(delta.arguments for delta in deltas)) == {"city": "Riga"}
    assert "".join(delta.name for delta in deltas) == "lookup"
    assert said.finish is not None
    assert said.finish.reason is FinishReason.TOOL_CALLS
    [call] = (await vendor.plain(messages=[QUESTION], tools=[TOOL])).tool_calls
    assert (call.name, json.loads(call.arguments)) == ("lookup", {"city": "Riga"})
    assert b"lookup" in vendor.last.body
    name = call.id or "call_1"
    called = {"id": name, "type": "function", "function": {"name": "lookup", "arguments": call.arguments}}
    turns = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": name, "content": "14 degrees"},
    ]
    assert (await vendor.plain(messages=turns, tools=[TOOL])).text == TEXT
    assert b"14 degrees" in vendor.last.body


async def test_a_picture(vendor: Vendor) -> None:
    if not vendor.has("vision"):
        return
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}", "detail": "low"}},
    ]
    assert (await vendor.plain(messages=[{"role": "user", "content": parts}])).text == TEXT
    assert IMAGE.encode() in vendor.last.body
    if vendor.has("media-type"):
        assert b"image/png" in vendor.last.body or b'"png"' in vendor.last.body


async def test_what_a_vendor_does_not_take_is_left_out_and_said(vendor: Vendor) -> None:
    given = {"logit_bias": {"1": 1}, "store": True, "seed": 7, "n": 1, "user": "u", "prediction": {"type": "content"}}
    to = await opened(vendor.connector, vendor.to)
    http, warnings = vendor.adapter.chat_request(asks(**given), to)
    assert (await vendor.send(http)).status == 200
    missing = [name for name in given if f'"{name}"'.encode() not in http.body and name != "n"]
    taken = {"seed": b"7", "user": b'"u"'}  # under another name
    for name in missing:
        assert any(f"'{name}'" in said for said in warnings) or taken.get(name, b"\0") in http.body, name


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("scenario", "error"),
    [
        ("401", BadCredentials),
        ("404", ModelNotFound),
        ("429", RateLimited),
        ("500", Overloaded),
        ("too-long", ContextTooLong),
        ("no-money", QuotaExhausted),
        ("error-200", ProviderError),
    ],
)
async def test_refusals(vendor: Vendor, scenario: str, error: type[ProviderError], streamed: bool) -> None:
    if not vendor.has(scenario):
        return
    vendor.mood(scenario)
    with pytest.raises(ProviderError) as caught:
        await (vendor.streamed() if streamed else vendor.plain())
    assert isinstance(caught.value, error), (caught.value.reason, caught.value.message)
    assert SECRET not in caught.value.message
    if scenario == "429":
        assert caught.value.retry_after == 7


async def test_a_stream_that_is_cut(vendor: Vendor) -> None:
    vendor.mood("cut")
    with pytest.raises(ProviderError) as caught:
        await vendor.streamed()
    assert isinstance(caught.value, Interrupted), caught.value.reason


async def test_the_list_of_models(vendor: Vendor) -> None:
    request = vendor.adapter.models_request(vendor.to)
    if request is None:
        assert vendor.kind.models or vendor.kind.needs or vendor.kind.models_path == ""
        return
    listed = vendor.adapter.models_answer(await vendor.send(request), vendor.to)
    assert {"model-a", "model-b"} <= {model.id for model in listed}


async def test_health(vendor: Vendor) -> None:
    request = vendor.adapter.health_request(vendor.to)
    if request is None:
        return
    assert (await vendor.send(request)).status == 200
    vendor.mood("401")
    answer = await vendor.send(request)
    assert isinstance(vendor.adapter.error(answer, vendor.to), BadCredentials)


async def test_embeddings(vendor: Vendor) -> None:
    texts = ["one", "two two", "three"]
    if not vendor.kind.embeddings_path:
        with pytest.raises(ProviderError, match="embeddings"):
            vendor.adapter.embedding_request(EmbeddingRequest(texts), vendor.to)
        return
    to = msgspec.structs.replace(vendor.to, model=getattr(speaker(vendor.kind), "EMBEDS", vendor.to.model))
    texts = texts[: vendor.kind.texts_at_once(to.model)]
    http, _ = vendor.adapter.embedding_request(EmbeddingRequest(texts), to)
    answer = vendor.adapter.embedding_answer(await vendor.send(http), to)
    assert [vector[0] for vector in answer.vectors] == [float(len(text)) for text in texts]
