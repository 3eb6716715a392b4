"""Gemini and Ollama at their own doors, through the whole gateway: a real client before it, real sockets behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from django.test import override_settings

from providers.listing import refresh_models
from providers.models import LanguageModel
from routing.retries import Policy
from tests import factories, misbehaviour_gemini, misbehaviour_ollama
from tests.cloud import LOOPBACK, Cloud
from tests.routing.gate import MESSAGES, Gate, connect

KEY = "test-key-gemini-0123456789"
SLOW_MACHINE = {"connect_seconds": 5, "first_event_seconds": 10, "idle_seconds": 10}
MODELS = ["ok", "tools", "thinks", "cut", "stops", "error-200", "blocked", "401", "404", "429", "500", "too-long",
          "no-money"]  # fmt: skip
TEXT = "Hello from upstream."
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
BOTH = pytest.mark.parametrize("house", ["google", "ollama"])


@pytest.fixture(scope="module")
def google() -> Iterator[Cloud]:
    with Cloud(misbehaviour_gemini.answers) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def ollama() -> Iterator[Cloud]:
    with Cloud(misbehaviour_ollama.answers) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gate(committed: None, google: Cloud, ollama: Cloud, http: Any) -> Iterator[Gate]:
    more = {"timeout_seconds": 30, "options": SLOW_MACHINE}
    connect("google", f"{google.url}/v1beta", [*MODELS, "embeds"], kind="gemini", secret=KEY, **more)
    connect(
        "ollama", f"{ollama.url}/v1", [*MODELS, "embeds"], kind="ollama", **more
    )  # as it was written for its other door
    LanguageModel.objects.filter(model_id="embeds").update(use=LanguageModel.Use.EMBEDDING)
    with override_settings(PRIVATE_NETWORKS=LOOPBACK), Gate(http=http, retries=Policy(attempts=1)) as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=30.0, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, model: str, messages: Any = MESSAGES, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=messages, **more)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@BOTH
def test_an_answer_in_the_clients_format(client: openai.OpenAI, gate: Gate, house: str) -> None:
    answer = ask(client, f"{house}:ok")
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 13
    records = gate.records(answer._request_id)
    (entry,) = records.entries
    assert (records.billed, entry.input_tokens, entry.output_tokens) == (["provider"], 9, 4)


@BOTH
def test_a_stream(client: openai.OpenAI, house: str) -> None:
    chunks = list(ask(client, f"{house}:ok", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 13


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_stand_apart(client: openai.OpenAI, house: str, stream: bool) -> None:
    answer = ask(client, f"{house}:thinks", stream=stream)
    if stream:
        chunks = list(answer)
        thoughts = [(chunk.choices[0].delta.model_extra or {}).get("reasoning_content", "") for chunk in chunks]
        assert (text_of(chunks), "".join(thoughts)) == ("A map, Zürich.", "The user wants a map.")
    else:
        message = answer.choices[0].message
        assert (message.content, message.reasoning_content) == ("A map, Zürich.", "The user wants a map.")
        assert answer.usage.completion_tokens_details.reasoning_tokens > 0


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_answered(client: openai.OpenAI, house: str, stream: bool) -> None:
    answer = ask(client, f"{house}:tools", tools=[TOOL], stream=stream)
    if stream:
        chunks = list(answer)
        [call] = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        [call] = answer.choices[0].message.tool_calls
        assert answer.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("lookup", {"city": "Riga"})
    made = {"id": call.id, "type": "function", "function": {"name": "lookup", "arguments": call.function.arguments}}
    result = {"role": "tool", "tool_call_id": call.id, "content": "14"}
    turns = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [made]}, result]
    assert ask(client, f"{house}:tools", turns, tools=[TOOL]).choices[0].message.content == TEXT


def test_signed_thoughts_come_back_to_gemini(client: openai.OpenAI, google: Cloud) -> None:
    message = ask(client, "google:tools", tools=[TOOL]).choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "14"}
    ask(client, "google:tools", [*MESSAGES, message, result], tools=[TOOL])
    [part] = google.requests[-1].json["contents"][1]["parts"]
    assert part["thoughtSignature"] == "c2lnbmVk"
    assert part["functionCall"]["args"] == {"city": "Riga"}


def test_they_are_for_nobody_else(client: openai.OpenAI, ollama: Cloud) -> None:
    message = ask(client, "google:tools", tools=[TOOL]).choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "14"}
    ask(client, "ollama:tools", [*MESSAGES, message, result], tools=[TOOL])
    assert b"c2lnbmVk" not in ollama.requests[-1].body


def test_the_key_is_in_no_address(client: openai.OpenAI, google: Cloud) -> None:
    ask(client, "google:ok")
    assert google.requests[-1].headers["x-goog-api-key"] == KEY
    assert not any(KEY in seen.path for seen in google.requests)


@BOTH
@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("cut", "upstream_stream_interrupted"),
        ("stops", "upstream_stream_interrupted"),
        ("error-200", ("upstream_overloaded", "upstream_error")),
    ],
)
def test_a_stream_that_fails_in_the_middle(client: openai.OpenAI, house: str, model: str, code: Any) -> None:
    came: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        came.extend(ask(client, f"{house}:{model}", stream=True))
    assert caught.value.code in code


@BOTH
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("401", openai.InternalServerError, "upstream_auth"),
        ("404", openai.InternalServerError, "upstream_model_not_found"),
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("500", openai.InternalServerError, "upstream_error"),
        ("too-long", openai.BadRequestError, "context_length_exceeded"),
        ("no-money", openai.InternalServerError, "upstream_quota"),
        ("blocked", openai.BadRequestError, "content_filter"),
    ],
)
def test_refusals(
    client: openai.OpenAI, gate: Gate, house: str, model: str, error: type[openai.APIError], code: str, stream: bool
) -> None:
    if house == "ollama" and model in ("no-money", "blocked"):
        return  # it has neither
    with pytest.raises(error) as caught:
        list(ask(client, f"{house}:{model}", stream=stream))
    assert caught.value.code == code
    gate.at_rest()


@BOTH
def test_embeddings(client: openai.OpenAI, gate: Gate, house: str) -> None:
    texts = ["one", "two two", "three"]
    answer = client.embeddings.create(model=f"{house}:embeds", input=texts)
    assert [row.embedding[0] for row in answer.data] == [3.0, 7.0, 5.0]
    assert answer.usage.prompt_tokens > 0


@BOTH
def test_a_picture_at_an_address_is_refused_without_asking(
    client: openai.OpenAI, google: Cloud, ollama: Cloud, house: str
) -> None:
    cloud = google if house == "google" else ollama
    before = len(cloud.requests)
    parts = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    with pytest.raises(openai.BadRequestError, match="image_url") as caught:
        ask(client, f"{house}:ok", [{"role": "user", "content": parts}])
    assert caught.value.param == "messages"
    assert len(cloud.requests) == before


def test_what_a_vendor_does_not_take_is_said(gate: Gate) -> None:
    got = gate.chat("google:ok", logit_bias={"1": 1})
    assert "'logit_bias' was dropped" in got.headers["x-relayhouse-warnings"]
    got = gate.chat("ollama:ok", top_k=3, mirostat=1)
    assert "'mirostat' was dropped" in got.headers["x-relayhouse-warnings"]
    assert gate.chat("google:ok", top_k=3).error["code"] == "unknown_parameter"


@pytest.mark.django_db
def test_their_models_are_listed(gate: Gate, google: Cloud, ollama: Cloud) -> None:
    cloud = factories.make_provider("Listed", "gemini", base_url=google.url, secret=KEY)
    own = factories.make_provider("Own", "ollama", base_url=f"{ollama.url}/v1")
    for provider in (cloud, own):
        refreshed = refresh_models(provider)
        assert (refreshed.problem, set(refreshed.added)) == ("", {"model-a", "model-b"})
    assert cloud.models.get(model_id="model-a").context == 1048576
