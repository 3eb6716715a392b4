"""What is sent to Anthropic's Messages for what was asked."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from providers.adapters import adapter_for
from providers.chat import EmbeddingRequest
from providers.errors import BadCredentials, BadRequest
from providers.registry import KINDS
from providers.wiring import HttpRequest, Target
from tests.cloud import recorded
from tests.providers.talk import asks

ADAPTER = adapter_for(KINDS["anthropic"])
PIXEL = "data:image/png;base64,iVBORw0KGgo="
LOOKUP: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now"}}
BLOCKS = (
    '[{"type":"thinking","thinking":"Five is odd.","signature":"c2lnbmVk"},'
    '{"type":"redacted_thinking","data":"c2VhbGVk"}]'
)
STATE = {"vendor": "anthropic", "data": BLOCKS}
EVERYTHING: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/map.jpg"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        ]},
        {"role": "user", "content": "And that?"},
        {"role": "assistant", "content": "One moment.", "relayhouse_state": STATE, "tool_calls": [
            {"id": "call 1", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Zürich"}'}},
            {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "call 1", "content": "42"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [{"type": "text", "text": "a"}, {"type": "text",
                                                                                               "text": "b"}]},
        {"role": "user", "content": "So?"},
    ],
    "max_completion_tokens": 1024, "stop": ["END", " "], "seed": 7, "user": "u-7", "tools": [LOOKUP, NOW],
    "tool_choice": "auto", "parallel_tool_calls": False, "reasoning_effort": "medium", "temperature": 0.5, "n": 1,
    "logprobs": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
}  # fmt: skip


def to(model: str = "claude-sonnet-5-5", secret: str = "test-key-anthropic-0123456789", **more: Any) -> Target:
    row = KINDS["anthropic"]
    return Target(1, "house", row, more.pop("base_url", row.base_url), model, secret=secret, **more)


def asked(model: str = "claude-sonnet-5-5", stream: bool = False, **fields: Any) -> tuple[HttpRequest, list[str]]:
    more = {name: fields.pop(name) for name in ("options", "parameters", "longest") if name in fields}
    return ADAPTER.chat_request(asks(stream=stream, **fields), to(model, **more))


def body(model: str = "claude-sonnet-5-5", **fields: Any) -> dict[str, Any]:
    return json.loads(asked(model, **fields)[0].body)


def warnings(model: str = "claude-sonnet-5-5", **fields: Any) -> list[str]:
    return asked(model, **fields)[1]


def messages(*turns: dict[str, Any]) -> list[dict[str, Any]]:
    return list(body(messages=list(turns))["messages"])


# -- the whole request ----------------------------------------------------------------------


def test_everything_at_once_byte_for_byte() -> None:
    http, said = asked(stream=True, **EVERYTHING)
    assert http.body == recorded("anthropic/anthropic-request.json").rstrip()
    assert said == [
        "'logprobs' was dropped: Anthropic does not take it.",
        "'messages.name' was dropped: Anthropic does not take it.",
        "'image_url.detail' was dropped: Anthropic does not take it.",
        "'temperature' was dropped: Anthropic does not take it.",
        "'seed' was dropped: Anthropic does not take it.",
        "A blank 'stop' was dropped.",
    ]


def test_where_it_goes_and_who_asks() -> None:
    http, _ = asked()
    assert (http.method, http.url) == ("POST", "https://api.anthropic.com/v1/messages")
    assert http.headers["x-api-key"] == "test-key-anthropic-0123456789"
    assert http.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in http.headers
    assert http.headers["accept"] == "application/json"
    assert asked(stream=True)[0].headers["accept"] == "text/event-stream"
    for typed in ("https://api.anthropic.com/", "https://api.anthropic.com/v1"):
        assert ADAPTER.chat_request(asks(), to(base_url=typed))[0].url == "https://api.anthropic.com/v1/messages"
    http, _ = asked(options={"beta": "new-2026-01-01", "workspace_id": "w1"})
    assert (http.headers["anthropic-beta"], http.headers["anthropic-workspace-id"]) == ("new-2026-01-01", "w1")


def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(BadCredentials):
        ADAPTER.chat_request(asks(), to(secret=""))


def test_it_has_no_embeddings() -> None:
    with pytest.raises(BadRequest, match="Anthropic has no embeddings"):
        ADAPTER.embedding_request(EmbeddingRequest(["a"]), to())


@pytest.mark.parametrize(
    ("fields", "longest"),
    [
        ({}, 4096),
        ({"longest": 64_000}, 64_000),
        ({"longest": 64_000, "options": {"max_tokens": 512}}, 512),
        ({"options": {"max_tokens": 512}, "max_tokens": 9}, 9),
        ({"max_tokens": 9, "max_completion_tokens": 8}, 8),
    ],
)
def test_the_length_of_an_answer_is_always_said(fields: dict[str, Any], longest: int) -> None:
    assert body(**fields)["max_tokens"] == longest


# -- turns ----------------------------------------------------------------------------------


def test_neighbours_are_merged_and_results_of_tools_come_first() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    assert messages(
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call, call | {"id": "t2"}]},
        {"role": "tool", "tool_call_id": "t1", "content": "1"},
        {"role": "user", "content": "b"},
        {"role": "tool", "tool_call_id": "t2", "content": ""},
    )[1:] == [
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "now", "input": {}},
            {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "1"},
            {"type": "tool_result", "tool_use_id": "t2"},
            {"type": "text", "text": "b"},
        ]},
    ]  # fmt: skip


def test_blank_texts_are_left_out_and_an_open_answer_ends_without_blanks() -> None:
    assert messages(
        {"role": "user", "content": " "}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b: \n"}
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b:"}]},
    ]
    with pytest.raises(BadRequest, match="nothing but instructions"):
        body(messages=[{"role": "system", "content": "a"}])


def test_thoughts_go_back_to_their_own_vendor_only() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    turns[1] |= {"relayhouse_state": STATE, "reasoning_content": "Five is odd."}  # type: ignore[dict-item]
    assert messages(*turns)[1]["content"] == [*json.loads(BLOCKS), {"type": "text", "text": "b"}]
    turns[1] |= {"relayhouse_state": STATE | {"vendor": "bedrock"}}  # type: ignore[dict-item]
    assert messages(*turns)[1]["content"] == [{"type": "text", "text": "b"}]


@pytest.mark.parametrize("data", ["{", "[]", "7", '[{"type":"text","text":"x"}]', '[{"type":"thinking","thinking":7}]'])
def test_thoughts_that_somebody_changed_are_not_sent(data: str) -> None:
    turn = {"role": "assistant", "content": "b", "relayhouse_state": {"vendor": "anthropic", "data": data}}
    fields = {"messages": [{"role": "user", "content": "a"}, turn]}
    assert body(**fields)["messages"][1]["content"] == [{"type": "text", "text": "b"}]
    assert len(warnings(**fields)) == (data != "[]")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}, "No image of type 'image/tiff'"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}, "No file of type"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "must be UTF-8"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, "Sound"),
    ],
)
def test_what_it_cannot_see_or_hear(part: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        messages({"role": "user", "content": [part]})


def test_files_of_text() -> None:
    data = base64.b64encode("Zürich".encode()).decode()
    part = {"type": "file", "file": {"file_data": f"data:text/markdown;base64,{data}", "filename": "a.md"}}
    [turn] = messages({"role": "user", "content": [part]})
    source = {"type": "text", "media_type": "text/plain", "data": "Zürich"}
    assert turn["content"] == [{"type": "document", "source": source, "title": "a.md"}]


def test_the_assistant_has_no_pictures() -> None:
    with pytest.raises(BadRequest, match="only have text"):
        messages({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": PIXEL}}]})


def test_only_the_last_four_marks_for_the_cache_are_sent() -> None:
    parts = [{"type": "text", "text": str(n), "cache_control": {"type": "ephemeral", "ttl": "1h"}} for n in range(4)]
    fields = {"messages": [{"role": "system", "content": parts[:2]}, {"role": "user", "content": parts}]}
    sent = body(**fields)
    assert [block.get("cache_control") for block in sent["system"]] == [None, None]
    assert [block["cache_control"] for block in sent["messages"][0]["content"]] == [{"type": "ephemeral"}] * 4
    assert warnings(**fields) == ["Of 6 'cache_control', the last 4 were sent."]


# -- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "now"}}}, {"type": "tool", "name": "now"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)
def test_choices_of_tools(fields: dict[str, Any], choice: dict[str, Any] | None) -> None:
    assert body(tools=[NOW], **fields).get("tool_choice") == choice


def test_a_history_with_calls_declares_their_tools() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    sent = body(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]},
                          {"role": "tool", "tool_call_id": "t1", "content": "1"}])  # fmt: skip
    assert sent["tools"] == [{"name": "now", "input_schema": {"type": "object", "properties": {}}}]
    assert sent["tool_choice"] == {"type": "none"}


# -- thinking, sampling, formats -----------------------------------------------------------------

HAIKU = "claude-haiku-4-5-20251001"


@pytest.mark.parametrize(
    ("model", "fields", "thinking", "config"),
    [
        ("claude-sonnet-5-5", {"reasoning_effort": "high"}, {"type": "adaptive"}, {"effort": "high"}),
        ("claude-sonnet-4-6", {"reasoning_effort": "minimal"}, {"type": "adaptive"}, {"effort": "low"}),
        ("claude-sonnet-5", {"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ("claude-sonnet-5", {}, None, None),
        (HAIKU, {"reasoning_effort": "low"}, {"type": "enabled", "budget_tokens": 2048}, None),
        (HAIKU, {"reasoning_effort": "high", "max_tokens": 64000}, {"type": "enabled", "budget_tokens": 32000}, None),
        (HAIKU, {"reasoning_effort": "low", "max_tokens": 1500}, {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-opus-4-20250514", {"reasoning_effort": "none"}, {"type": "disabled"}, None),
    ],
)
def test_effort(model: str, fields: dict[str, Any], thinking: Any, config: Any) -> None:
    sent = body(model, **fields)
    assert (sent.get("thinking"), sent.get("output_config")) == (thinking, config)
    assert warnings(model, **fields) == []


def test_what_keeps_a_model_from_thinking_is_said() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "tool_calls": [call]},
             {"role": "tool", "tool_call_id": "t1", "content": "1"}]  # fmt: skip
    for model, fields in (
        (HAIKU, {"max_tokens": 1024}),
        (HAIKU, {"messages": turns}),
        ("claude-sonnet-5", {"tools": [NOW], "tool_choice": "required"}),
    ):
        fields |= {"reasoning_effort": "high"}
        assert "thinking" not in body(model, **fields)
        [said] = warnings(model, **fields)
        assert said.startswith("Thinking was left off: Anthropic does not take it ")
    turns[1]["relayhouse_state"] = STATE
    assert body(HAIKU, messages=turns, reasoning_effort="high")["thinking"]["type"] == "enabled"


def test_a_model_that_always_thinks_is_not_told_to_stop() -> None:
    always = {"reasoning_effort": "none", "parameters": {"thinking_always_on": True}}
    assert "thinking" not in body(**always)
    assert warnings(**always) == ["'reasoning_effort' was dropped: Anthropic does not take it."]


@pytest.mark.parametrize(
    ("fields", "sent", "gone"),
    [
        ({"temperature": 0.3}, {"temperature": 0.3}, []),
        ({"top_p": 0.9}, {"top_p": 0.9}, []),
        ({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3}, ["'top_p'"]),
        ({"temperature": 1.7}, {"temperature": 1.0}, ["'temperature' was sent as 1"]),
        ({"temperature": 0.3, "top_p": 0.9, "reasoning_effort": "low"}, {}, ["'temperature'", "'top_p'"]),
        ({"temperature": 0.3, "parameters": {"sampling_params": False}}, {}, ["'temperature'"]),
        ({"options": {"temperature": 0.3}, "parameters": {"sampling_params": False}}, {}, ["'temperature'"]),
        ({"temperature": 1, "parameters": {"sampling_params": False}}, {}, []),
    ],
)
def test_sampling(fields: dict[str, Any], sent: dict[str, Any], gone: list[str]) -> None:
    made = body("claude-sonnet-4-6", **fields)
    assert {name: made[name] for name in ("temperature", "top_p") if name in made} == sent
    said = warnings("claude-sonnet-4-6", **fields)
    assert [one.startswith(start) for one, start in zip(said, gone, strict=True)] == [True] * len(gone)


def test_json_of_a_known_shape_and_of_none() -> None:
    shape = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}}
    sent = body(response_format=shape, reasoning_effort="low")
    assert sent["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert "output_config" not in body(response_format={"type": "json_object"})
    assert warnings(response_format={"type": "json_object"}) == [
        "'response_format' was dropped: Anthropic does not take it."
    ]
