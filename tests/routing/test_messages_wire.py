"""The Messages format: what its requests say in our words, and how answers are written in its blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.chat import (
    ChatAnswer,
    Ended,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    Thought,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from routing.wires.messages import MessageStream, encode_answer, error_object, parse_chat
from routing.wires.openai import Malformed

PIXEL = "iVBORw0KGgo="


def asked(**more: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]} | more
    parsed = parse_chat(json.dumps(body).encode())
    return {name: json.loads(bytes(raw)) for name, raw in parsed.request.fields.items()}


def messages(*given: Any, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(messages=list(given), **more)["messages"]
    return found


def told(*events: Event, counted: Usage | None = None) -> list[dict[str, Any]]:
    stream = MessageStream("req_1", "m", counted)
    blocks = stream.encode(events).decode().split("\n\n")[:-1]
    found = []
    for block in blocks:
        kind, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {value['type']}"
        found.append(value)
    return found


# -- requests ---------------------------------------------------------------------------


def test_a_plain_question() -> None:
    assert asked(system="Be brief.", temperature=0.5, stop_sequences=["END"], metadata={"user_id": "u-7"}) == {
        "model": "m",
        "max_tokens": 100,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "stop": ["END"],
        "user": "u-7",
    }


def test_pictures_and_documents() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
    (message,) = messages({"role": "user", "content": [{"type": "text", "text": "What?"}, image, linked, document]})
    assert message["content"] == [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "document.pdf"}},
    ]


def test_a_mark_for_the_cache_is_kept() -> None:
    marked = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    assert messages({"role": "user", "content": "Hello"}, system=[marked])[0]["content"] == [marked]


def test_tools_and_their_results() -> None:
    tool = {"name": "lookup", "description": "Find", "input_schema": {"type": "object"}, "strict": True}
    use = {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"city": "Riga"}}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "42"}, picture]}
    fields = asked(
        tools=[tool],
        tool_choice={"type": "tool", "name": "lookup", "disable_parallel_tool_use": True},
        messages=[
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, use]},
            {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
        ],
    )
    function = {"name": "lookup", "description": "Find", "parameters": {"type": "object"}, "strict": True}
    assert fields["tools"] == [{"type": "function", "function": function}]
    assert fields["tool_choice"] == {"type": "function", "function": {"name": "lookup"}}
    assert fields["parallel_tool_calls"] is False
    assert fields["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "toolu_1", "type": "function", "function": {"name": "lookup", "arguments": '{"city":"Riga"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "42"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {"type": "text", "text": "Well?"},
            ],
        },
    ]


def test_signed_thoughts_go_back_to_their_own_vendor_only() -> None:
    signed = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    unsigned = {"type": "thinking", "thinking": "Oh.", "signature": ""}
    message = messages({"role": "assistant", "content": [signed, unsigned, {"type": "text", "text": "Yes."}]})[0]
    assert message["relayhouse_state"]["vendor"] == "anthropic"
    assert json.loads(message["relayhouse_state"]["data"]) == [signed]


@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 50_000}}, "high"),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max"),
        ({"thinking": {"type": "adaptive"}}, None),
    ],
)
def test_how_long_to_think(given: dict[str, Any], effort: str | None) -> None:
    assert asked(**given).get("reasoning_effort") == effort


def test_an_answer_of_a_given_shape() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    given = asked(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert given["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hello"]}, "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "Hello"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0]"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
        ({"system": 7}, "system"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": 2**40}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_cannot_be_understood_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Malformed) as raised:
        asked(**more)
    assert raised.value.param == param


def test_what_no_vendor_of_ours_knows_is_an_extra() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "top_k": 5, "container": "c"}
    assert parse_chat(json.dumps(body).encode()).extras == ("container", "top_k")


# -- answers ----------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = ChatAnswer(
        model="m",
        text="A map.",
        reasoning="Hm.",
        tool_calls=[ToolCallDelta(0, "toolu_1", "lookup", '{"city":"Riga"}')],
        finish=FinishReason.TOOL_CALLS,
        usage=Usage(input=50, cached=1200, cache_write=7, output=18, reasoning=12),
    )
    body = json.loads(encode_answer(answer, "req_1", 0))
    assert body["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "A map."},
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"city": "Riga"}},
    ]
    assert body["stop_reason"] == "tool_use"
    assert body["usage"] == {
        "input_tokens": 50,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 1200,
        "output_tokens": 30,
    }


def test_signed_thoughts_come_as_they_were_given() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]
    answer = ChatAnswer(text="Yes.", reasoning="Hm.", state=State("anthropic", json.dumps(blocks)))
    assert json.loads(encode_answer(answer, "req_1", 0))["content"][0] == blocks[0]
    answer = ChatAnswer(text="Yes.", state=State("gemini", "[1]"))
    assert json.loads(encode_answer(answer, "req_1", 0))["content"] == [{"type": "text", "text": "Yes."}]


def test_a_stream_is_written_in_blocks() -> None:
    events = told(
        Start("up-1", "m"),
        KeepAlive(),
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("A "),
        TextDelta("map."),
        ToolCallDelta(0, "toolu_1", "lookup"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(1, "toolu_2", "other", "{"),
        ToolCallDelta(0, arguments='"Riga"}'),
        ToolCallDelta(1, arguments="}"),
        UsageReport(Usage(input=9, output=4)),
        Finish(FinishReason.TOOL_CALLS),
        Ended(),
    )
    assert [event["type"] for event in events] == [
        "message_start",
        "ping",
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "input_json_delta":
            arguments[event["index"]] = arguments.get(event["index"], "") + event["delta"]["partial_json"]
    assert arguments == {2: '{"city":"Riga"}', 3: "{}"}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert (events[-2]["usage"]["input_tokens"], events[-2]["usage"]["output_tokens"]) == (9, 4)


def test_blocks_of_thinking_end_with_what_their_vendor_wants_back() -> None:
    events = told(
        ReasoningDelta("Hm."),
        Thought("anthropic", '{"type":"thinking","thinking":"Hm.","signature":"c2ln"}'),
        Thought("anthropic", '{"type":"redacted_thinking","data":"c2VhbGVk"}'),
        Thought("anthropic", '{"type":"thinking","thinking":"","signature":"YWxs"}'),
        Thought("anthropic", '{"type":"thinking","thinking":"","signature":""}'),
        ReasoningDelta("Er."),
        Thought("anthropic", '{"type":"thinking","thinking":"Er.","signature":""}'),
        ReasoningDelta("So."),
        Thought("gemini", '{"type":"thinking","thinking":"So.","signature":"b3RoZXI="}'),
        TextDelta("Yes."),
        State("anthropic", "[]"),
        Finish(FinishReason.STOP),
        Ended(),
    )
    unsigned = {"type": "thinking", "thinking": "", "signature": ""}
    assert [event.get("content_block") or event.get("delta") or event["index"] for event in events[1:-2]] == [
        *(unsigned, {"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}, 0),
        *({"type": "redacted_thinking", "data": "c2VhbGVk"}, 1),
        *(unsigned, {"type": "signature_delta", "signature": "YWxs"}, 2),
        *(unsigned, {"type": "thinking_delta", "thinking": "Er."}, 3),
        *(unsigned, {"type": "thinking_delta", "thinking": "So."}, 4),
        *({"type": "text", "text": ""}, {"type": "text_delta", "text": "Yes."}, 5),
    ]


def test_our_own_count_stands_in_for_a_missing_one() -> None:
    events = told(TextDelta("Hi"), Finish(FinishReason.STOP), Ended(), counted=Usage(input=3, output=1))
    assert events[-2]["usage"]["input_tokens"] == 3


def test_an_answer_without_a_word_is_whole_too() -> None:
    assert [event["type"] for event in told(Finish(FinishReason.STOP), Ended())] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_an_error() -> None:
    error = json.loads(error_object(503, "upstream_overloaded", "Busy.", request_id="req_1", retryable=True))
    assert error["type"] == "error"
    assert error["error"]["type"] == "overloaded_error"
    assert error["request_id"] == "req_1"


@pytest.mark.parametrize("content", [5, True, {"type": "text"}])
def test_a_result_that_is_neither_text_nor_blocks_is_named(content: Any) -> None:
    with pytest.raises(Malformed, match="must be text or a list of blocks"):
        messages({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": content}]})
