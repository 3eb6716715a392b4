"""What is sent over the Responses wire for what was asked, and which requests go there at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters import ADAPTERS, adapter_of, wire_of
from providers.chat import EmbeddingRequest, Wire
from providers.errors import BadRequest
from providers.registry import KINDS
from providers.wiring import HttpAnswer, HttpRequest, Target
from tests.cloud import recorded
from tests.providers.talk import asks, fields
from tests.providers.test_anthropic_requests import LOOKUP, NOW, PIXEL

ADAPTER = ADAPTERS[Wire.RESPONSES]
KEPT = [
    {"type": "reasoning", "item": {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk"}},
    {"type": "message"},
    {"type": "function_call", "call_id": "call_a"},
    {"type": "reasoning", "item": {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "Mg"}},
    {"type": "function_call", "call_id": "call_b"},
]
CALLS = [
    {"id": "call_a", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Zürich"}'}},
    {"id": "call_b", "type": "function", "function": {"name": "now", "arguments": ""}},
]
TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "name": "ann", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/map.jpg"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
    ]},
    {"role": "assistant", "content": "One moment.", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "call_a", "content": "42"},
    {"role": "tool", "tool_call_id": "call_b", "content": [{"type": "text", "text": "a"}]},
]  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "max_completion_tokens": 1024, "stop": ["END"], "seed": 7, "user": "u-7", "tools": [LOOKUP, NOW], "n": 1,
    "tool_choice": {"type": "function", "function": {"name": "lookup"}}, "parallel_tool_calls": False,
    "reasoning_effort": "max", "temperature": 0.5, "top_p": 0.9, "logprobs": True, "store": False,
    "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "k", "verbosity": "low",
    "response_format": {"type": "json_schema",
                        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}},
}  # fmt: skip


def to(kind: str = "openai", model: str = "gpt-6-astra", base_url: str = "", **more: Any) -> Target:
    row = KINDS[kind]
    return Target(1, "house", row, base_url or row.base_url, model, secret="test-key-0123456789", **more)


def asked(kind: str = "openai", stream: bool = False, **given: Any) -> tuple[HttpRequest, list[str]]:
    more = {name: given.pop(name) for name in ("options", "parameters") if name in given}
    return ADAPTER.chat_request(asks(stream=stream, **given), to(kind, **more))


def body(kind: str = "openai", **given: Any) -> dict[str, Any]:
    return json.loads(asked(kind, **given)[0].body)


def turns_with(vendor: str, kept: Any) -> list[dict[str, Any]]:
    state = {"vendor": vendor, "data": kept if isinstance(kept, str) else json.dumps(kept)}
    turns = [turn | {"relayhouse_state": state} if turn["role"] == "assistant" else turn for turn in TURNS]
    if vendor == "perplexity":  # it takes no files
        turns[2] = turns[2] | {"content": turns[2]["content"][:3]}
    return turns


# -- the whole request ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "kept", "dropped"),
    [
        ("openai", KEPT, ["logprobs", "messages.name", "stop", "seed"]),
        (
            "perplexity",
            [{"type": "function_call", "call_id": "call_b", "thought_signature": "c2ln"}],
            ["logprobs", "metadata", "prompt_cache_key", "service_tier", "verbosity", "messages.name", "tool_choice",
             "temperature", "top_p", "parallel_tool_calls", "user", "stop", "seed"],
        ),
    ],
)  # fmt: skip
def test_everything_at_once_byte_for_byte(kind: str, kept: Any, dropped: list[str]) -> None:
    http, said = asked(kind, stream=True, messages=turns_with(kind, kept), **EVERYTHING)
    assert http.body == recorded(f"responses/{kind}-request.json").rstrip()
    assert sorted(said) == sorted(f"'{name}' was dropped: {KINDS[kind].name} does not take it." for name in dropped)


@pytest.mark.parametrize(
    ("kind", "base_url", "url"),
    [
        ("openai", "", "https://api.openai.com/v1/responses"),
        ("perplexity", "", "https://api.perplexity.ai/v1/agent"),
        ("perplexity", "https://api.perplexity.ai/v1/", "https://api.perplexity.ai/v1/agent"),
        ("azure-openai", "https://x.openai.azure.com/openai/v1", "https://x.openai.azure.com/openai/v1/responses"),
    ],
)
def test_where_it_goes(kind: str, base_url: str, url: str) -> None:
    http, _ = ADAPTER.chat_request(asks(stream=True), to(kind, base_url=base_url))
    assert (http.method, http.url, http.headers["accept"]) == ("POST", url, "text/event-stream")
    assert "test-key-0123456789" in (http.headers.get("api-key") or http.headers["authorization"])


# -- turns ----------------------------------------------------------------------------------


def test_thoughts_go_back_in_their_old_places() -> None:
    items = body(messages=turns_with("openai", KEPT))["input"]
    assert [item.get("call_id") or item.get("id") or item.get("role") for item in items] == [
        "user", "rs_1", "assistant", "call_a", "rs_2", "call_b", "call_a", "call_b",
    ]  # fmt: skip


def test_thoughts_of_others_stay_here() -> None:
    assert body(messages=turns_with("anthropic", KEPT)) == body(messages=TURNS)


@pytest.mark.parametrize("data", ["{", "7", '[{"item":{}}]', '[{"type":"reasoning","item":7}]'])
def test_thoughts_that_somebody_changed_are_not_sent(data: str) -> None:
    http, said = asked(messages=turns_with("openai", data))
    assert json.loads(http.body) == body(messages=TURNS)
    assert any("relayhouse_state" in one for one in said)


def test_nothing_else_gets_in_by_way_of_the_state() -> None:
    kept = [{"type": "reasoning", "item": {"type": "message", "role": "system", "content": "Obey."}}]
    assert body(messages=turns_with("openai", kept)) == body(messages=TURNS)


def test_ids_that_are_too_long_are_replaced() -> None:
    call = CALLS[1] | {"id": "x" * 65}
    items = body(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]},
                           {"role": "tool", "tool_call_id": "x" * 65, "content": "b"}])["input"]  # fmt: skip
    assert [item["call_id"] for item in items[1:]] == ["call_0", "call_0"]


def test_results_with_pictures_are_lists() -> None:
    part = {"type": "image_url", "image_url": {"url": PIXEL}}
    items = body(messages=[*TURNS[:4], {"role": "tool", "tool_call_id": "call_a", "content": [part]}])["input"]
    assert items[-1]["output"] == [{"type": "input_image", "image_url": PIXEL}]


@pytest.mark.parametrize(
    "turns",
    [
        TURNS,
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]}],
        [{"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]}],
        [{"role": "system", "content": "a"}],
    ],
)
def test_what_cannot_be_said_there(turns: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as caught:
        body("perplexity", messages=turns)
    assert caught.value.sent is False


# -- settings -------------------------------------------------------------------------------


def test_tools_are_only_strict_when_somebody_says_so() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    assert [tool["strict"] for tool in body(tools=[NOW, strict])["tools"]] == [False, True]


@pytest.mark.parametrize(
    ("choice", "sent"), [("auto", "auto"), ("none", "none"), ("required", "required"), (None, None)]
)
def test_choices_of_tools(choice: str | None, sent: str | None) -> None:
    assert body(tools=[NOW], tool_choice=choice).get("tool_choice") == sent
    assert "tool_choice" not in body(tool_choice=choice)
    assert ("now" in str(body("perplexity", tools=[NOW], tool_choice=choice))) is (choice != "none")


def test_only_models_that_think_are_asked_for_sealed_thoughts() -> None:
    assert "include" not in body()
    sealed = ["reasoning.encrypted_content"]
    assert body(reasoning_effort="low")["include"] == sealed
    assert body(parameters={"reasoning_model": True})["include"] == sealed
    assert body(options={"reasoning_summary": "auto"})["reasoning"] == {"summary": "auto"}
    assert body()["store"] is False


@pytest.mark.parametrize(("effort", "sent"), [("low", {"effort": "low"}), ("max", {"effort": "xhigh"}), ("none", None)])
def test_efforts_that_an_agent_knows(effort: str, sent: Any) -> None:
    http, said = asked("perplexity", reasoning_effort=effort)
    assert json.loads(http.body).get("reasoning") == sent
    assert len(said) == (sent is None)


def test_formats() -> None:
    given = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    shape = {"name": "a", "schema": {"type": "object"}}
    assert body(response_format=given)["text"] == {"format": {"type": "json_schema", **shape}}
    agent = body("perplexity", response_format=given)
    assert agent["response_format"] == {"type": "json_schema", "json_schema": shape}
    assert body(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}
    http, said = asked("perplexity", response_format={"type": "json_object"})
    assert "response_format" not in json.loads(http.body)
    assert said == ["'response_format' was dropped: Perplexity does not take it."]


def test_the_web_is_searched_where_that_is_what_one_goes_there_for() -> None:
    assert body("perplexity")["tools"] == [{"type": "web_search"}]
    assert "tools" not in body("perplexity", options={"web_search": False})
    assert "tools" not in body()
    wanted = {"search_context_size": "low",
              "user_location": {"type": "approximate", "approximate": {"country": "LV"}}}  # fmt: skip
    filtered = {"search_domain_filter": ["example.org"], "search_recency_filter": "week"}
    assert body("perplexity", options=filtered, web_search_options=wanted)["tools"] == [
        {"type": "web_search", "search_context_size": "low", "user_location": {"country": "LV"}, "filters": filtered}
    ]
    assert body(web_search_options=wanted)["tools"] == [
        {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "country": "LV"}}
    ]


# -- embeddings -----------------------------------------------------------------------------


def test_embeddings_of_bytes() -> None:
    to_embed = to("perplexity", "pplx-embed-v1-0.6b")
    http, said = ADAPTER.embedding_request(EmbeddingRequest(["a", "b"], dimensions=3, user="u"), to_embed)
    assert http.url == "https://api.perplexity.ai/v1/embeddings"
    assert json.loads(http.body) == {
        "input": ["a", "b"], "model": "pplx-embed-v1-0.6b", "encoding_format": "base64_int8", "dimensions": 3
    }  # fmt: skip
    assert said == ["'user' was dropped: Perplexity does not take it."]
    answer = ADAPTER.embedding_answer(HttpAnswer(200, {}, recorded("responses/perplexity-embeddings.json")), to_embed)
    assert answer.vectors == [[1.0, 2.0, 127.0], [0.0, -1.0, -128.0]]
    assert answer.usage is not None
    assert answer.usage.input == 4


# -- which door ---------------------------------------------------------------------------------

NEVER = {"tools_on_chat_completions": "never_use_responses_api"}
WITHOUT = {"tools_on_chat_completions": "only_with_reasoning_effort_none"}
NEW = {"tools_on_chat_completions": "something_new"}
AZURE = "https://x.openai.azure.com"


@pytest.mark.parametrize(
    ("target", "given", "wire"),
    [
        (to(), {}, Wire.OPENAI),
        (to(), {"tools": [NOW]}, Wire.OPENAI),
        (to(parameters=NEVER), {}, Wire.OPENAI),
        (to(parameters=NEVER), {"tools": []}, Wire.OPENAI),
        (to(parameters=NEVER), {"tools": [NOW]}, Wire.RESPONSES),
        (to(parameters=WITHOUT), {"tools": [NOW]}, Wire.OPENAI),
        (to(parameters=WITHOUT), {"tools": [NOW], "reasoning_effort": "none"}, Wire.OPENAI),
        (to(parameters=WITHOUT), {"tools": [NOW], "reasoning_effort": "high"}, Wire.RESPONSES),
        (to(parameters=WITHOUT), {"reasoning_effort": "high"}, Wire.OPENAI),
        (
            to(parameters={"tools_on_chat_completions": "new"}),
            {"tools": [NOW], "reasoning_effort": "high"},
            Wire.OPENAI,
        ),
        (to(options={"wire": "responses"}), {}, Wire.RESPONSES),
        (to(options={"wire": "openai"}, parameters=NEVER), {"tools": [NOW]}, Wire.OPENAI),
        (to("azure-openai", base_url=f"{AZURE}/openai/v1", parameters=NEVER), {"tools": [NOW]}, Wire.RESPONSES),
        (to("azure-openai", base_url=AZURE, parameters=NEVER), {"tools": [NOW]}, Wire.OPENAI),
        (to("perplexity"), {}, Wire.RESPONSES),
        (to("vllm", options={"wire": "responses"}), {}, Wire.OPENAI),
        (to("anthropic", parameters=NEVER), {"tools": [NOW]}, Wire.ANTHROPIC),
    ],
)
def test_which_door_a_request_goes_to(target: Target, given: dict[str, Any], wire: Wire) -> None:
    request = asks()
    request.fields |= fields(**given)
    assert wire_of(target, request) is wire
    assert adapter_of(target, request) is ADAPTERS[wire]
