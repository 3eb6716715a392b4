"""Vendors whose format nobody who calls speaks: the real `openai` client before the gateway, real sockets behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from django.test import override_settings

from providers.listing import refresh_models
from tests import factories
from tests.cloud import LOOPBACK, Answer, Cloud, pieces, recorded, whole
from tests.routing.gate import MESSAGES, Gate, connect
from tests.upstream import Seen

SECRET = "test-key-0123456789"
EVENTS = "text/event-stream"
SLOW_MACHINE = {"connect_seconds": 5, "first_event_seconds": 10, "idle_seconds": 10}
CLAUDES = ["text", "tools", "thinking", "fails", "cut", "busy", "spent", "overloaded", "hides", "wrong-key"]
AGENTS = ["perplexity/search", "tools", "failed", "cut", "busy"]
LOOKUP = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


# -- the other side -----------------------------------------------------------------------


def refused(status: int, kind: str, message: str = "No.", details: Any = None, **headers: str) -> Answer:
    error = {"type": kind, "message": message} | ({"details": details} if details else {})
    return whole({"type": "error", "error": error, "request_id": "req_up"}, status, **headers)


CLAUDE_SAYS: dict[str, Answer] = {
    "busy": refused(429, "rate_limit_error", retry_after="120"),
    "spent": refused(429, "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
    "overloaded": refused(529, "overloaded_error"),
    "wrong-key": refused(401, "authentication_error", f"invalid x-api-key {SECRET}"),
    "hides": refused(200, "api_error", "Broken inside."),
}


def streamed(data: bytes, *, cut: bool = False) -> Answer:
    """In pieces of an odd size; `cut`: without its last events, and the connection breaks."""
    data = data[: len(data) // 2] if cut else data
    return pieces(*(data[at : at + 41] for at in range(0, len(data), 41)), content_type=EVENTS, cut=cut)


def claude(seen: Seen) -> Answer:
    if seen.headers.get("x-api-key") != SECRET or seen.headers.get("anthropic-version") != "2023-06-01":
        return refused(401, "authentication_error", "invalid x-api-key")
    if seen.path.startswith("/v1/models"):
        last = {"data": [], "has_more": False, "first_id": None, "last_id": None}
        return whole(last if "after_id" in seen.path else recorded("anthropic/anthropic-models.json"))
    if seen.path != "/v1/messages":
        return refused(404, "not_found_error")
    if seen.model in CLAUDE_SAYS:
        return CLAUDE_SAYS[seen.model]
    name = "text" if seen.model == "cut" else seen.model
    if not seen.streamed:
        return whole(recorded(f"anthropic/anthropic-{'plain' if name == 'text' else name}.json"))
    return streamed(recorded(f"anthropic/anthropic-{name}.sse"), cut=seen.model == "cut")


def agent(seen: Seen) -> Answer:
    if seen.headers.get("authorization") != f"Bearer {SECRET}":
        return whole({"error": {"message": "Bad key.", "type": "invalid_api_key", "code": 401}}, 401)
    if seen.path == "/v1/models":
        return whole(recorded("responses/perplexity-models.json"))
    if seen.path == "/v1/embeddings":
        return whole(recorded("responses/perplexity-embeddings.json"))
    if seen.path == "/v1/responses":
        name = f"responses/openai-{seen.model}"
        return streamed(recorded(f"{name}.sse")) if seen.streamed else whole(recorded(f"{name}.json"))
    if seen.path != "/v1/agent":
        return whole({"error": {"message": "Nothing here.", "code": 404}}, 404)
    name = seen.model.rpartition("/")[2]
    if name == "busy":
        return whole({"error": {"message": "Slow down.", "code": 429}}, 429)
    if not seen.streamed:
        return whole(recorded(f"responses/perplexity-{'tools' if name == 'tools' else 'plain'}.json"))
    file = "search" if name == "cut" else name
    return streamed(recorded(f"responses/perplexity-{file}.sse"), cut=name == "cut")


@pytest.fixture(scope="module")
def messages() -> Iterator[Cloud]:
    with Cloud(claude) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def responses() -> Iterator[Cloud]:
    with Cloud(agent) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gate(committed: None, messages: Cloud, responses: Cloud, http: Any) -> Iterator[Gate]:
    times: dict[str, Any] = {"timeout_seconds": 30, "options": SLOW_MACHINE, "secret": SECRET}
    connect("claude", messages.url, CLAUDES, kind="anthropic", **times)
    connect("agent", responses.url, AGENTS, kind="perplexity", **times)
    door = connect("door", responses.url, ["thinking"], kind="openai", **times)
    door.models.update(parameters={"tools_on_chat_completions": "never_use_responses_api", "reasoning_model": True})
    with override_settings(PRIVATE_NETWORKS=LOOPBACK), Gate(http=http) as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=30.0, max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, model: str, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": model, "messages": MESSAGES} | more)  # type: ignore[call-overload]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def calls_of(chunks: list[Any]) -> list[str]:
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for call in (chunk.choices[0].delta.tool_calls or ()) if chunk.choices else ():
            calls.setdefault(call.index, []).append(call.function.arguments)
    return ["".join(parts) for _, parts in sorted(calls.items())]


# -- Messages ---------------------------------------------------------------------------------


def test_messages_answers_in_the_clients_format(client: openai.OpenAI, gate: Gate, messages: Cloud) -> None:
    answer = ask(client, "claude:text", max_tokens=64, logprobs=True)
    assert (answer.model, answer.choices[0].message.content) == ("claude-sonnet-5-5", "A map.")
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (1257, 1200)
    assert messages.requests[-1].json["max_tokens"] == 64


def test_messages_streams(client: openai.OpenAI, gate: Gate) -> None:
    chunks = list(ask(client, "claude:text", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == "A map, Zürich."
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].usage.completion_tokens, chunks[-1].usage.total_tokens) == (4, 1254)


def test_tools_go_there_and_back(client: openai.OpenAI, messages: Cloud) -> None:
    answer = ask(client, "claude:tools", tools=[LOOKUP], parallel_tool_calls=False)
    turn = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [call.function.arguments for call in turn.tool_calls] == ['{"city":"Zürich"}', "{}"]
    assert messages.requests[-1].json["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    results = [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in turn.tool_calls]
    turns = [*MESSAGES, turn.to_dict(), *results]
    chunks = list(ask(client, "claude:tools", messages=turns, tools=[LOOKUP], stream=True))
    assert calls_of(chunks) == ['{"city": "Riga"}', "{}"]
    said = messages.requests[-1].json["messages"]
    assert [block["type"] for block in said[1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block["tool_use_id"] for block in said[2]["content"]] == ["toolu_1", "toolu_2"]


@pytest.mark.parametrize("stream", [False, True])
def test_signed_thoughts_go_back(client: openai.OpenAI, messages: Cloud, stream: bool) -> None:
    answer = ask(client, "claude:thinking", stream=stream)
    if stream:
        extras = [chunk.choices[0].delta.model_extra or {} for chunk in answer if chunk.choices]
        assert "".join(extra.get("reasoning_content", "") for extra in extras) == "Five is odd."
        (state,) = [extra["relayhouse_state"] for extra in extras if "relayhouse_state" in extra]
    else:
        state = answer.choices[0].message.model_extra["relayhouse_state"]
    turn = {"role": "assistant", "content": "Odd.", "relayhouse_state": state}
    ask(client, "claude:text", messages=[*MESSAGES, turn, *MESSAGES])
    assert messages.requests[-1].json["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Five is odd.", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "text", "text": "Odd."},
    ]


def test_its_own_client_gets_signed_thoughts_too(gate: Gate) -> None:
    with anthropic.Anthropic(api_key=gate.secret, base_url=gate.url, max_retries=0, timeout=30.0) as client:
        answer = client.messages.create(model="claude:thinking", max_tokens=64, messages=MESSAGES)  # type: ignore[arg-type]
    assert [block.type for block in answer.content] == ["thinking", "redacted_thinking", "text"]
    assert answer.usage.output_tokens == 40


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("busy", openai.RateLimitError, "rate_limit_exceeded"),
        ("spent", openai.InternalServerError, "upstream_quota"),
        ("overloaded", openai.InternalServerError, "upstream_overloaded"),
        ("wrong-key", openai.InternalServerError, "upstream_auth"),
        ("hides", openai.InternalServerError, "upstream_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_messages_refuses(
    client: openai.OpenAI, gate: Gate, model: str, error: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        ask(client, f"claude:{model}", stream=stream)
    assert caught.value.code == code
    assert SECRET not in str(caught.value)
    gate.at_rest()


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("claude:fails", "upstream_overloaded"),
        ("claude:cut", "upstream_stream_interrupted"),
        ("agent:cut", "upstream_stream_interrupted"),
    ],
)
def test_a_stream_that_breaks_raises(client: openai.OpenAI, gate: Gate, model: str, code: str) -> None:
    came: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        came.extend(ask(client, model, stream=True))
    assert caught.value.code == code
    gate.at_rest()


@pytest.mark.django_db
def test_the_list_of_messages_comes_in_pages(messages: Cloud, gate: Gate) -> None:
    provider = factories.make_provider("listed", "anthropic", base_url=messages.url, secret=SECRET)
    refreshed = refresh_models(provider)
    assert refreshed.problem == ""
    assert set(refreshed.added) == {"claude-sonnet-5-5", "claude-haiku-4-5"}
    model = provider.models.get(model_id="claude-haiku-4-5")
    assert (model.name, model.context, model.max_output) == ("Claude Haiku 4.5", 200_000, 64_000)


# -- Responses ----------------------------------------------------------------------------------


def test_an_agent_answers_with_its_sources_and_its_bill(client: openai.OpenAI, gate: Gate, responses: Cloud) -> None:
    answer = ask(client, "agent:perplexity/search", temperature=0.5)
    message = answer.choices[0].message
    assert (answer.model, message.content) == ("perplexity/sonar", "This [1].")
    assert [one.url_citation.url for one in message.annotations] == ["https://example.org", "https://example.net/b"]
    sent = responses.requests[-1].json
    assert sent["tools"] == [{"type": "web_search"}]
    assert "temperature" not in sent
    records = gate.records(answer._request_id)
    (entry,) = records.entries
    assert records.billed == ["provider"]
    assert (entry.input_tokens, entry.cached_tokens, entry.amount_nano) == (800, 100, 2_875_000)


def test_an_agent_streams(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "agent:perplexity/search", stream=True, stream_options={"include_usage": True}))
    assert text_of(chunks) == "This [1]."
    assert chunks[-1].usage.total_tokens == 960
    sources = [
        one["url_citation"]["url"]
        for chunk in chunks
        if chunk.choices
        for one in (chunk.choices[0].delta.model_extra or {}).get("annotations", ())
    ]
    assert sources == ["https://example.org", "https://example.net/b"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_agents_signed_calls_go_back(client: openai.OpenAI, responses: Cloud, stream: bool) -> None:
    answer = ask(client, "agent:tools", tools=[LOOKUP], stream=stream)
    if stream:
        chunks = list(answer)
        assert calls_of(chunks) == ['{"city": "Riga"}']
        extras = [chunk.choices[0].delta.model_extra or {} for chunk in chunks if chunk.choices]
        (state,) = [extra["relayhouse_state"] for extra in extras if "relayhouse_state" in extra]
    else:
        state = answer.choices[0].message.model_extra["relayhouse_state"]
    call = {"id": "call_a", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Riga"}'}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call], "relayhouse_state": state}
    ask(client, "agent:tools",
        messages=[*MESSAGES, turn, {"role": "tool", "tool_call_id": "call_a", "content": "42"}])  # fmt: skip
    _, called, result = responses.requests[-1].json["input"]
    assert (called["type"], called["thought_signature"]) == ("function_call", "c2lnbmVk")
    assert (result["output"], result["thought_signature"]) == ("42", "c2lnbmVk")


def test_an_agent_refuses(client: openai.OpenAI, gate: Gate) -> None:
    with pytest.raises(openai.RateLimitError):
        ask(client, "agent:busy")
    with pytest.raises(openai.APIError) as caught:
        list(ask(client, "agent:failed", stream=True))
    assert caught.value.code == "upstream_model_not_found"
    gate.at_rest()


@pytest.mark.django_db
def test_an_agents_models(responses: Cloud, gate: Gate) -> None:
    provider = factories.make_provider("agents", "perplexity", base_url=responses.url, secret=SECRET)
    assert set(refresh_models(provider).added) == {"perplexity/sonar", "openai/gpt-6-sol"}


# -- a second door --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_second_door_is_gone_through_unseen(
    client: openai.OpenAI, gate: Gate, responses: Cloud, stream: bool
) -> None:
    """Of a vendor whose first door speaks the client's own format: nothing is passed on unread."""
    asked = {"tools": [LOOKUP], "reasoning_effort": "high", "stream": stream}
    answer = ask(client, "door:thinking", **asked)
    if stream:
        chunks = list(answer)
        assert text_of(chunks) == "One moment."
        assert calls_of(chunks) == ['{"city": "Riga"}', "{}"]
        extras = [chunk.choices[0].delta.model_extra or {} for chunk in chunks if chunk.choices]
        (state,) = [extra["relayhouse_state"] for extra in extras if "relayhouse_state" in extra]
    else:
        assert answer.choices[0].finish_reason == "tool_calls"
        assert answer.usage.total_tokens == 135
        state = answer.choices[0].message.model_extra["relayhouse_state"]
    turn = {"role": "assistant", "content": "One moment.", "relayhouse_state": state}
    ask(client, "door:thinking", messages=[*MESSAGES, turn, *MESSAGES], **asked | {"stream": False})
    assert responses.requests[-1].path == "/v1/responses"
    sent = responses.requests[-1].json
    assert (sent["reasoning"], sent["store"]) == ({"effort": "high"}, False)
    assert [item.get("encrypted_content") or item["role"] for item in sent["input"]] == [
        "user", "c2VhbGVk", "assistant", "c2VhbGVkMg", "user",
    ]  # fmt: skip
