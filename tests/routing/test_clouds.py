"""Kinds that sign, or sign in, through the whole gateway: a real client before it, real sockets behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import openai
import pytest
from django.test import override_settings

from providers import signin
from providers.listing import refresh_models
from providers.models import Provider
from tests import factories
from tests.cloud import LOOPBACK, Answer, Cloud, framed, pieces, recorded, signature_is_good, whole
from tests.misbehaviour_embeddings import vector
from tests.routing.gate import MESSAGES, Gate, connect
from tests.upstream import Seen

REGION = "eu-west-1"
AWS_SECRET, SESSION = "test-secret/0123456789+abcdef", "test-session/0123456789="
PAIR = {"access_key_id": "TESTACCESSKEY", "secret_access_key": AWS_SECRET, "session_token": SESSION}
CLIENT = {"tenant_id": "tenant-1", "client_id": "client-0123456789", "client_secret": "test-client-secret-0123456789"}
EVENTS = "application/vnd.amazon.eventstream"
SLOW_MACHINE = {"connect_seconds": 5, "first_event_seconds": 10, "idle_seconds": 10}
ARN = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc"
MODELS = ["text-v1:0", ARN, "tools-v1:0", "thinking-v1:0", "fails-v1:0", "cut-v1:0", "busy-v1:0", "denied-v1:0"]

TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"


# -- the other side -----------------------------------------------------------------------


def amazon(seen: Seen) -> Answer:
    if not signature_is_good(seen, AWS_SECRET, REGION, SESSION):
        return whole({"message": "The signature does not match."}, 403, x_amzn_ErrorType="InvalidSignatureException")
    if seen.path == "/foundation-models":
        return whole(recorded("bedrock/models.json"))
    if seen.path.startswith("/inference-profiles"):
        return whole(recorded("bedrock/profiles.json"))
    _, _, model, operation = seen.path.split("/")
    if operation == "invoke":
        texts = seen.json.get("texts")
        if texts is None:
            return whole({"embedding": vector(seen.json["inputText"]), "inputTextTokenCount": 4})
        return whole({"id": "e-1", "texts": texts, "embeddings": [vector(text) for text in texts]})
    name = unquote(model).partition("-")[0]
    if name == "busy":
        return whole({"message": "Too many requests."}, 429, x_amzn_ErrorType="ThrottlingException:http://x/")
    if name == "denied":
        words = f"{SESSION} of TESTACCESSKEY may not."
        return whole({"message": words}, 403, x_amzn_ErrorType="UnrecognizedClientException")
    if operation == "converse":
        file = {"tools": "plain", "thinking": "thinking"}.get(name, "plain")
        return whole(recorded(f"bedrock/{file}.json"), x_amzn_RequestId="aws-1")
    frames = framed(recorded(f"bedrock/{name if name in ('tools', 'thinking', 'fails') else 'text'}.events"))
    if name == "cut":
        return pieces(*frames[:3], content_type=EVENTS, cut=True)
    data = b"".join(frames)
    return pieces(*(data[at : at + 37] for at in range(0, len(data), 37)), content_type=EVENTS)


class Microsoft(Cloud):
    """Login, Azure and Graph at one address. Only the newest token is good."""

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.token = 0

    def _reply(self, seen: Seen) -> Answer:
        if seen.path.endswith("/token"):
            self.token += 1
            return whole({"access_token": f"test-token-{self.token}", "expires_in": 3599})
        if seen.headers.get("authorization") != f"Bearer test-token-{self.token}":
            return whole({"error": {"code": "401", "message": "Access denied."}}, 401)
        if seen.path.endswith("/conversations"):
            return whole(recorded("copilot/opened.json"), 201)
        if seen.path.endswith("/chat"):
            return whole(recorded("copilot/plain.json"))
        if seen.path.endswith("/chatOverStream"):
            return pieces(recorded("copilot/stream.sse"), content_type="text/event-stream")
        message = {"role": "assistant", "content": "Hello from Azure."}
        body = {"id": "c", "model": "gpt-x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}  # fmt: skip
        return whole(body)


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with Cloud(amazon) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def microsoft() -> Iterator[Microsoft]:
    with Microsoft() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gate(committed: None, aws: Cloud, microsoft: Microsoft, http: Any) -> Iterator[Gate]:
    def provider(name: str, url: str, models: list[str], kind: str, secret: Any, **options: Any) -> Provider:
        text = secret if isinstance(secret, str) else json.dumps(secret)
        times = {"timeout_seconds": 30, "options": SLOW_MACHINE | options}
        return connect(name, url, models, kind=kind, secret=text, **times)

    login = CLIENT | {"authority": microsoft.url}
    person = {**login, "refresh_token": "test-refresh-0123456789"}
    amazon = provider("aws", aws.url, MODELS, "bedrock", PAIR, region=REGION)
    for model in (TITAN, COHERE):
        factories.make_price(factories.make_model(amazon, model, use="embedding", listed=True), "1", "0")
    provider("azure", microsoft.url, ["gpt"], "azure-openai", login)
    provider("copilot", f"{microsoft.url}/beta/copilot", ["microsoft-365-copilot"], "copilot", person)
    provider("github", "", ["gpt"], "github-models", "test-key-0123456789")
    with override_settings(PRIVATE_NETWORKS=LOOPBACK), Gate(http=http) as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=30.0, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, **more)  # type: ignore[call-overload]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# -- Bedrock --------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "calls"), [(TITAN, [1] * 3), (COHERE, [3])])
def test_bedrock_embeds_as_many_texts_at_once_as_the_maker_takes(
    client: openai.OpenAI, aws: Cloud, model: str, calls: list[int]
) -> None:
    aws.requests.clear()
    given = [f"text {number}" for number in range(3)]
    answer = client.embeddings.create(model=f"aws:{model}", input=given, encoding_format="float")
    assert [row.embedding for row in answer.data] == [vector(text) for text in given]
    assert [len(seen.json.get("texts", [""])) for seen in aws.requests] == calls


def test_bedrock_embeds_more_texts_than_that_in_several_calls(client: openai.OpenAI, aws: Cloud) -> None:
    aws.requests.clear()
    given = [f"text {number}" for number in range(200)]
    answer = client.embeddings.create(model=f"aws:{COHERE}", input=given, encoding_format="float")
    assert [row.embedding for row in answer.data] == [vector(text) for text in given]
    assert [len(seen.json["texts"]) for seen in aws.requests] == [96, 96, 8]


def test_bedrock_answers_in_the_clients_format(client: openai.OpenAI, gate: Gate, aws: Cloud) -> None:
    answer = ask(client, "aws:tools-v1:0")
    assert (answer.model, answer.choices[0].message.content) == ("tools-v1:0", "A map.")
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city":"Riga"}'
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.prompt_tokens == 164
    assert answer.usage.prompt_tokens_details.cached_tokens == 64
    assert aws.requests[-1].path == "/model/tools-v1%3A0/converse", "as it was signed"
    records = gate.records(answer._request_id)
    (entry,) = records.entries
    assert (records.billed, entry.input_tokens, entry.cached_tokens) == (["provider"], 100, 64)


@pytest.mark.parametrize("model", ["text-v1:0", ARN], ids=["model", "arn"])
def test_bedrock_streams(client: openai.OpenAI, model: str) -> None:
    chunks = list(ask(client, f"aws:{model}", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == "A map, Zürich."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 90


def test_bedrock_streams_tools(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "aws:tools-v1:0", stream=True))
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or ():
            calls.setdefault(call.index, []).append(call.function.arguments)
    assert {index: "".join(parts) for index, parts in calls.items()} == {0: '{"city":"Riga"}', 1: "{}"}


def test_bedrocks_signed_thoughts_come_back_to_it(client: openai.OpenAI, aws: Cloud) -> None:
    chunks = list(ask(client, "aws:thinking-v1:0", stream=True))
    (state,) = [
        chunk.choices[0].delta.model_extra["relayhouse_state"]
        for chunk in chunks
        if "relayhouse_state" in (chunk.choices[0].delta.model_extra or {})
    ]
    messages = [*MESSAGES, {"role": "assistant", "content": "Odd.", "relayhouse_state": state}, *MESSAGES]
    client.chat.completions.create(model="aws:text-v1:0", messages=messages)  # type: ignore[arg-type]
    blocks = aws.requests[-1].json["messages"][1]["content"]
    assert blocks[0] == {"reasoningContent": {"reasoningText": {"text": "Five is odd.", "signature": "c2lnbmVk"}}}
    assert blocks[1] == {"reasoningContent": {"redactedContent": "c2VhbGVk"}}


@pytest.mark.parametrize(("model", "code"), [("fails", "upstream_error"), ("cut", "upstream_stream_interrupted")])
def test_bedrock_fails_in_the_middle(client: openai.OpenAI, model: str, code: str) -> None:
    came: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        came.extend(ask(client, f"aws:{model}-v1:0", stream=True))
    assert caught.value.code == code


@pytest.mark.parametrize("stream", [False, True])
def test_bedrock_refuses(client: openai.OpenAI, gate: Gate, stream: bool) -> None:
    with pytest.raises(openai.RateLimitError):
        ask(client, "aws:busy-v1:0", stream=stream)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "aws:denied-v1:0", stream=stream)
    assert caught.value.code == "upstream_auth"
    assert "TESTACCESSKEY" not in str(caught.value)
    assert SESSION not in str(caught.value)
    gate.at_rest()


@pytest.mark.django_db
def test_bedrocks_models_and_their_profiles(aws: Cloud, gate: Gate) -> None:
    provider = factories.make_provider(
        "listed", "bedrock", base_url=aws.url, secret=json.dumps(PAIR), options={"region": REGION}
    )
    assert provider.credentials.get().last_four == "SKEY"
    refreshed = refresh_models(provider)
    assert refreshed.problem == ""
    assert set(refreshed.added) == {
        "amazon.nova-pro-v1:0",
        "amazon.titan-embed-text-v2:0",
        "meta.llama3-8b-instruct-v1:0",
        "eu.example.claude-v1:0",
        "global.cohere.embed-v4:0",
    }
    assert provider.models.get(model_id="global.cohere.embed-v4:0").use == "embedding"


@pytest.mark.django_db
def test_a_wrong_secret_is_noted(aws: Cloud, gate: Gate) -> None:
    wrong = json.dumps(PAIR | {"secret_access_key": "test-secret-that-is-wrong"})
    provider = factories.make_provider("wrong", "bedrock", base_url=aws.url, secret=wrong, options={"region": REGION})
    assert refresh_models(provider).problem == "wrong: The signature does not match."
    provider.refresh_from_db()
    assert provider.inactive_reason


# -- Azure and Copilot ------------------------------------------------------------------------


def test_azure_is_signed_in_to_once(client: openai.OpenAI, microsoft: Microsoft) -> None:
    signin.forget_all()
    microsoft.requests.clear()
    for _ in range(3):
        assert ask(client, "azure:gpt").choices[0].message.content == "Hello from Azure."
    assert len(microsoft.seen("/token")) == 1
    assert {seen.path for seen in microsoft.seen("/openai/")} == {
        "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    }
    assert not any("api-key" in seen.headers for seen in microsoft.requests)


def test_a_token_that_is_refused_is_replaced(client: openai.OpenAI, microsoft: Microsoft) -> None:
    ask(client, "azure:gpt")
    microsoft.token += 1  # somebody took the old ones back
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, "azure:gpt")
    assert caught.value.code == "upstream_auth"
    assert ask(client, "azure:gpt").choices[0].message.content == "Hello from Azure."


def test_copilot_answers_and_is_counted(client: openai.OpenAI, gate: Gate, microsoft: Microsoft) -> None:
    signin.forget_all()
    microsoft.requests.clear()
    answer = ask(client, "copilot:microsoft-365-copilot")
    assert answer.choices[0].message.content == "You have two meetings."
    assert answer.choices[0].message.annotations[0].url_citation.url == "https://example.org/calendar"
    assert [seen.path.rpartition("/")[2] for seen in microsoft.requests] == ["token", "conversations", "chat"]
    records = gate.records(answer._request_id)
    (entry,) = records.entries
    assert records.billed == ["counted"]
    assert entry.output_tokens > 0


def test_copilot_streams(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "copilot:microsoft-365-copilot", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == "Summarise my day\n\nYou have two meetings."
    assert chunks[-1].usage.completion_tokens > 0


# -- what has ended ---------------------------------------------------------------------------


def test_a_retired_vendor_is_never_asked(gate: Gate) -> None:
    got = gate.chat("github:gpt")
    assert got.status in (404, 503)
    assert "ended on 2026-07-30" in got.error["message"]
    assert gate.worker.snapshots.current.providers["github"].inactive_reason.startswith("GitHub Models ended")
