"""The Responses format: what its requests say in our words, and that its own client reads every event of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from routing.wires.openai import Malformed
from routing.wires.response_stream import ResponseStream
from routing.wires.responses import encode_answer, parse_chat

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def asked(**more: Any) -> dict[str, Any]:
    parsed = parse_chat(json.dumps({"model": "m", "input": "Hello"} | more).encode())
    return {name: json.loads(bytes(raw)) for name, raw in parsed.request.fields.items()}


def told(*events: Event, counted: Usage | None = None) -> list[dict[str, Any]]:
    stream = ResponseStream("req_1", "m", 1_795_000_000, counted)
    found = []
    for block in stream.encode(events).decode().split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        kind, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {value['type']}"
        EVENTS.validate_python(value)
        found.append(value)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


# -- requests ---------------------------------------------------------------------------


def test_a_plain_question() -> None:
    assert asked(instructions="Be brief.", max_output_tokens=100, reasoning={"effort": "low"}, store=False) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "max_completion_tokens": 100,
        "reasoning_effort": "low",
    }


def test_items_of_one_turn_are_one_message() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Where?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "anthropic:[1]"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": '{"city":"Riga"}'},
        {"type": "function_call", "call_id": "call_2", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    ]
    question, turn, result = asked(input=items)["messages"]
    assert question == {"role": "user", "content": [{"type": "text", "text": "Where?"}]}
    assert turn["content"] == "Let me see."
    assert [call["id"] for call in turn["tool_calls"]] == ["call_1", "call_2"]
    assert turn["relayhouse_state"] == {"vendor": "anthropic", "data": "[1]"}
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def test_parts() -> None:
    parts = [
        {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "low"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
    ]
    (message,) = asked(input=[{"role": "user", "content": parts}])["messages"]
    assert message["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
    ]


def test_tools_and_formats() -> None:
    tool = {"type": "function", "name": "lookup", "parameters": {"type": "object"}, "strict": True}
    schema = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    fields = asked(tools=[tool], tool_choice={"type": "function", "name": "lookup"}, text={"format": schema})
    assert fields["tools"] == [
        {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}, "strict": True}}
    ]
    assert fields["tool_choice"] == {"type": "function", "function": {"name": "lookup"}}
    assert fields["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "city", "strict": True, "schema": {"type": "object"}},
    }


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [{"type": "computer_call"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "video"}]}]}, "input[0].content[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"stream": 1}, "stream"),
        ({"max_output_tokens": {}}, "max_output_tokens"),
        ({"top_p": "all"}, "top_p"),
    ],
)
def test_what_cannot_be_offered_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Malformed) as raised:
        asked(**more)
    assert raised.value.param == param


# -- answers ----------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = ChatAnswer(
        model="m",
        text="A map.",
        reasoning="Hm.",
        tool_calls=[ToolCallDelta(0, "call_1", "lookup", "{}")],
        finish=FinishReason.TOOL_CALLS,
        usage=Usage(input=50, cached=1200, output=18, reasoning=12),
        state=State("anthropic", "[1]"),
        citations=[Citation("https://example.org", "Example", 0, 5)],
    )
    response = Response.model_validate(json.loads(encode_answer(answer, "req_1", 1_795_000_000)))
    assert response.output_text == "A map."
    assert response.status == "completed"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (1250, 30, 1280)


def test_an_answer_that_was_cut_short_says_why() -> None:
    body = json.loads(encode_answer(ChatAnswer(text="A", finish=FinishReason.LENGTH), "req_1", 0))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_a_stream_is_written_item_by_item() -> None:
    events = told(
        Start("up-1", "m"),
        KeepAlive(),
        ReasoningDelta("Hm."),
        TextDelta("A "),
        TextDelta("map."),
        Citation("https://example.org", "Example"),
        ToolCallDelta(0, "call_1", "lookup", '{"city":'),
        ToolCallDelta(1, "call_2", "other"),
        ToolCallDelta(0, arguments='"Riga"}'),
        ToolCallDelta(1, arguments="{}"),
        State("anthropic", "[1]"),
        UsageReport(Usage(input=9, output=4)),
        Finish(FinishReason.TOOL_CALLS),
        Ended(),
    )
    assert events[0]["response"]["status"] == "in_progress"
    last = Response.model_validate(events[-1]["response"])
    assert events[-1]["type"] == "response.completed"
    assert [item.type for item in last.output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "reasoning",
    ]
    assert last.output_text == "A map."
    calls = [item for item in last.output if item.type == "function_call"]
    assert [(call.call_id, call.arguments) for call in calls] == [("call_1", '{"city":"Riga"}'), ("call_2", "{}")]
    assert last.output[1].content[0].annotations[0].url == "https://example.org"  # type: ignore[union-attr]
    added = {event["output_index"] for event in events if event["type"] == "response.output_item.added"}
    done = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert added == set(done) == set(range(5))


def test_our_own_count_stands_in_for_a_missing_one() -> None:
    events = told(TextDelta("Hi"), Finish(FinishReason.STOP), Ended(), counted=Usage(input=3, output=1))
    assert events[-1]["response"]["usage"]["input_tokens"] == 3


def test_a_stream_that_was_cut_short_says_why() -> None:
    events = told(TextDelta("Hi"), Finish(FinishReason.LENGTH), Ended())
    assert events[-1]["type"] == "response.incomplete"
