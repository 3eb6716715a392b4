"""The OpenAI format on our clients' side: bytes to a request, events to bytes, refusals to error objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.chat import (
    ChatAnswer,
    Ended,
    Event,
    Finish,
    FinishReason,
    KeepAlive,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from routing.wires.openai import Malformed, StreamState, encode_answer, encode_events, error_object, parse_chat

MESSAGES = [{"role": "user", "content": "Hello"}]


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "demo:relay-1", "messages": MESSAGES} | fields).encode()


def refused(data: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_chat(data)
    return caught.value


# -- requests -------------------------------------------------------------------


def test_a_request_is_read_at_its_top_level_only() -> None:
    parsed = parse_chat(body(stream=True, temperature=0.5, tools=[{"type": "function"}]))
    assert parsed.model == "demo:relay-1"
    assert parsed.request.stream
    assert not parsed.request.wants_usage
    assert parsed.extras == ()
    assert bytes(parsed.request.fields["tools"]) == b'[{"type": "function"}]'


def test_no_model_is_auto() -> None:
    assert parse_chat(json.dumps({"messages": MESSAGES}).encode()).model == ""


def test_usage_is_wanted_when_asked_for() -> None:
    assert parse_chat(body(stream=True, stream_options={"include_usage": True})).request.wants_usage
    assert not parse_chat(body(stream=True, stream_options={"include_usage": False})).request.wants_usage
    assert not parse_chat(body(stream=True, stream_options=None)).request.wants_usage


def test_fields_nobody_documents_are_named() -> None:
    assert parse_chat(body(top_k=5, typo=1)).extras == ("top_k", "typo")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "byte 0"),
        (b'{"model": "x", "mess', "byte 20"),
        (b'{"model": x}', "byte 10"),
        (b"xyz", "byte 0"),
        (b'["a list"]', "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b'{"model": "\xff"}', "not UTF-8: byte 11"),
        (b'{"a":' * 5000, "nested too deeply"),
        (b'{"model": "x"} more', "byte 16"),
    ],
)
def test_bad_json_names_the_place(data: bytes, words: str) -> None:
    error = refused(data)
    assert error.code == "invalid_json"
    assert words in error.message


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": 5}, "model", "invalid_type"),
        ({"model": None}, "model", "invalid_type"),
        ({"messages": "hello"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"content": "x"}]}, "messages[0]", "invalid_type"),
        ({"messages": [{"role": 1}]}, "messages[0].role", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"max_tokens": "many"}, "max_tokens", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "invalid_type"),
        ({"max_completion_tokens": -5}, "max_completion_tokens", "invalid_type"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"max_tokens": 10**30}, "max_tokens", "invalid_type"),
        ({"n": 0}, "n", "invalid_type"),
        ({"temperature": "hot"}, "temperature", "invalid_type"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str, code: str) -> None:
    error = refused(body(**fields))
    assert (error.param, error.code) == (param, code)
    assert param in error.message


def test_messages_are_required() -> None:
    error = refused(b'{"model": "x"}')
    assert (error.param, error.code) == ("messages", "missing_required_parameter")


def test_numbers_may_be_null() -> None:
    parse_chat(body(max_tokens=None, temperature=None, n=None, top_p=None, stream=None))


def read_or_refused(data: bytes) -> None:
    try:
        parse_chat(data)
        return
    except Malformed as error:
        refusal = error
    told = json.loads(error_object(400, refusal.code or "", refusal.message, request_id="req_0", param=refusal.param))
    assert told["error"]["message"]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_can_do_worse_than_be_refused(data: bytes) -> None:
    read_or_refused(data)


@given(
    st.dictionaries(
        st.text(max_size=10) | st.sampled_from(["model", "messages", "stream", "n", "max_tokens", "stream_options"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=6,
    )
)
def test_no_object_can_do_worse_than_be_refused(fields: dict[str, Any]) -> None:
    read_or_refused(json.dumps(fields).encode())


# -- streams ----------------------------------------------------------------------


def state(*, wants_usage: bool = False, passes_frames: bool = False) -> StreamState:
    return StreamState("req_0", "relay-1", 1, wants_usage=wants_usage, passes_frames=passes_frames)


def chunks(data: bytes) -> list[Any]:
    lines = [line for line in data.decode().split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def test_frames_of_the_same_wire_pass_unchanged() -> None:
    events: list[Event] = [
        Start("a", "m", b"data: 1\n\n"),
        TextDelta("same chunk"),
        TextDelta("next", b"data: 2\n\n"),
        Ended(b"data: [DONE]\n\n"),
    ]
    assert encode_events(events, state(passes_frames=True)) == b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"


def test_a_usage_chunk_nobody_asked_for_is_left_out() -> None:
    events: list[Event] = [UsageReport(Usage(input=1), b"data: usage\n\n"), Ended(b"data: [DONE]\n\n")]
    assert encode_events(events, state(passes_frames=True)) == b"data: [DONE]\n\n"
    asked = state(passes_frames=True, wants_usage=True)
    assert encode_events(events, asked) == b"data: usage\n\ndata: [DONE]\n\n"


def test_whoever_asked_for_usage_gets_our_count_when_the_provider_says_nothing() -> None:
    asked = state(passes_frames=True, wants_usage=True)
    asked.counted = Usage(input=3, output=4)
    told = chunks(encode_events([Ended(b"data: [DONE]\n\n")], asked))
    assert told[0]["usage"]["total_tokens"] == 7
    assert told[0]["choices"] == []
    assert told[1] == "data: [DONE]"


def test_events_of_another_wire_are_written_as_chunks() -> None:
    events: list[Event] = [
        Start("a", "m"),
        ReasoningDelta("hm"),
        TextDelta("Hi"),
        ToolCallDelta(0, "call_1", "look", '{"a"'),
        ToolCallDelta(0, arguments=":1}"),
        Finish(FinishReason.TOOL_CALLS),
        UsageReport(Usage(input=2, cached=1, output=3, reasoning=4)),
        Ended(),
    ]
    told = chunks(encode_events(events, state(wants_usage=True)))
    deltas = [chunk["choices"][0]["delta"] for chunk in told[:6]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"reasoning_content": "hm"}
    assert deltas[2] == {"content": "Hi"}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
    assert deltas[3] == {"tool_calls": [call]}
    assert deltas[4] == {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}
    assert told[5]["choices"][0]["finish_reason"] == "tool_calls"
    assert told[6]["usage"]["prompt_tokens"] == 3
    assert told[6]["usage"]["completion_tokens"] == 7
    assert told[7] == "data: [DONE]"


def test_a_sign_of_life_is_a_comment() -> None:
    assert encode_events([KeepAlive()], state()) == b": keep-alive\n\n"
    assert encode_events([KeepAlive()], state(passes_frames=True)) == b""


# -- answers and errors --------------------------------------------------------------


def test_an_answer_of_the_same_wire_passes_unchanged() -> None:
    assert encode_answer(ChatAnswer(body=b'{"theirs": 1}'), "req_0", 1) == b'{"theirs": 1}'


def test_an_answer_of_another_wire_is_written_as_a_completion() -> None:
    answer = ChatAnswer(
        model="claude",
        text="Hi",
        reasoning="hm",
        tool_calls=[ToolCallDelta(0, "call_1", "look", "{}")],
        finish=FinishReason.STOP,
        usage=Usage(input=1, output=2),
    )
    told = json.loads(encode_answer(answer, "req_0", 1))
    assert told["object"] == "chat.completion"
    assert told["model"] == "claude"
    message = told["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi", "hm")
    assert message["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert told["usage"]["total_tokens"] == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
    ],
)
def test_errors_have_the_type_the_clients_know(status: int, kind: str) -> None:
    told = json.loads(error_object(status, "code", "words", request_id="req_0", param="model", retryable=True))
    assert told == {
        "error": {
            "message": "words",
            "type": kind,
            "param": "model",
            "code": "code",
            "retryable": True,
            "request_id": "req_0",
        }
    }
