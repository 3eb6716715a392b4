"""What the bodies of each vendor mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters import adapter_for
from providers.chat import (
    ChatAnswer,
    Ended,
    Failed,
    FinishReason,
    KeepAlive,
    Start,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import Interrupted, InvalidAnswer, Overloaded, ProviderError, QuotaExhausted, RateLimited
from providers.registry import KINDS
from providers.wiring import HttpAnswer
from tests.providers.talk import Said, asks, cut, heard, target

RECORDINGS = Path(__file__).parent.parent / "recordings" / "openai"


def recorded(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def kind_of(name: str) -> str:
    return max((slug for slug in KINDS if name.startswith(slug)), key=len)


def played(data: bytes | Iterable[bytes], kind: str = "openai") -> Said:
    to = target(kind=kind)
    return heard(adapter_for(to.kind).decoder(asks(stream=True), to), data)


def answered(body: bytes, kind: str = "openai", content_type: str = "application/json") -> ChatAnswer:
    to = target(kind=kind)
    return adapter_for(to.kind).chat_answer(HttpAnswer(200, {"content-type": content_type}, body), to)


# -- streams ---------------------------------------------------------------------------

STREAMS: list[tuple[str, str, str, FinishReason, Usage]] = [
    ("openai-tools.sse", "", "", FinishReason.TOOL_CALLS, Usage(56, 64, 0, 7, 8)),
    ("azure-openai-filtered.sse", "Hel", "", FinishReason.CONTENT_FILTER, Usage(9, output=2)),
    ("mistral-tool.sse", "", "", FinishReason.TOOL_CALLS, Usage(12, output=9)),
    ("groq-reasoning.sse", "Hi.", "greet", FinishReason.STOP, Usage(70, output=13, reasoning=12)),
    ("deepseek-thinking.sse", "Hi.", "gr", FinishReason.STOP, Usage(36, 64, output=30)),
    ("xai-tool.sse", "One moment.", "", FinishReason.TOOL_CALLS, Usage(100, output=10, reasoning=40)),
    ("qwen-thinking.sse", "Hi.", "greet", FinishReason.STOP, Usage(20, output=40)),
]


@pytest.mark.parametrize(("name", "text", "reasoning", "finish", "usage"), STREAMS, ids=[row[0] for row in STREAMS])
def test_streams(name: str, text: str, reasoning: str, finish: FinishReason, usage: Usage) -> None:
    said = played(recorded(name), kind_of(name))
    assert (said.text, said.reasoning, said.usage) == (text, reasoning, usage)
    assert said.finish is not None
    assert said.finish.reason is finish
    assert isinstance(said.events[-1], Ended)


@pytest.mark.parametrize("name", [row[0] for row in STREAMS])
def test_every_chunk_passes_once_and_unchanged(name: str) -> None:
    data = recorded(name)
    without_comments = data.replace(b": keep-alive\n\n", b"")
    assert played(data, kind_of(name)).frames == without_comments


@given(st.sampled_from([row[0] for row in STREAMS]), st.lists(st.integers(0, 3000), max_size=8))
def test_streams_in_any_pieces_say_the_same(name: str, places: list[int]) -> None:
    data = recorded(name)
    assert played(cut(data, places), kind_of(name)).events == played(data, kind_of(name)).events


def test_the_first_event_names_answer_and_model() -> None:
    assert played(recorded("openai-tools.sse")).events[0] == Start(
        "chatcmpl-1", "gpt-6-sol", frames("openai-tools.sse")[0]
    )


def frames(name: str) -> list[bytes]:
    return [frame + b"\n\n" for frame in recorded(name).split(b"\n\n")[:-1]]


def test_tool_calls_come_in_pieces_by_index() -> None:
    calls = played(recorded("openai-tools.sse")).of(ToolCallDelta)
    assert [(call.index, call.id, call.name, call.arguments) for call in calls] == [
        (0, "call_a", "lookup", ""),
        (0, "", "", '{"city":'),
        (0, "", "", ' "Riga"}'),
    ]


def test_arguments_that_are_an_object_become_its_text() -> None:
    [call] = played(recorded("mistral-tool.sse")).of(ToolCallDelta)
    assert json.loads(call.arguments) == {"city": "Riga"}


def test_the_frame_of_a_chunk_that_is_only_usage_goes_with_the_usage() -> None:
    [report] = played(recorded("openai-tools.sse")).of(UsageReport)
    assert report.frame == frames("openai-tools.sse")[-2]


def test_usage_beside_an_answer_does_not_take_the_frame_with_it() -> None:
    for event in played(recorded("mistral-tool.sse"), "mistral").events:
        assert not (isinstance(event, UsageReport) and event.frame)


@pytest.mark.parametrize(
    ("name", "text", "error", "words"),
    [
        ("vllm-fails.sse", "Hi", Overloaded, "EngineCore encountered an issue."),
        ("ovh-fails.sse", "", Overloaded, "upstream failed"),
        ("openrouter-fails.sse", "Hi.", Overloaded, "upstream closed"),
        ("zhipu-no-money.sse", "", QuotaExhausted, "Insufficient balance"),
    ],
)
def test_errors_inside_a_stream(name: str, text: str, error: type[ProviderError], words: str) -> None:
    said = played(recorded(name), kind_of(name))
    failed = said.failure
    assert type(failed) is error
    assert words in failed.message
    assert said.text == text


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c", "choices": [{"index": 0, **fields}]}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("data", [b"", chunk(delta={"content": "a"}), chunk(delta={}, finish_reason="stop")])
def test_a_stream_without_its_end_was_interrupted(data: bytes) -> None:
    with pytest.raises(Interrupted if data else InvalidAnswer):
        played(data)


def test_servers_nobody_knows_may_leave_out_the_mark_after_a_finish_reason() -> None:
    whole = chunk(delta={"content": "a"}) + chunk(delta={}, finish_reason="stop")
    said = played(whole, "custom")
    assert said.events[-1] == Ended(DONE)
    with pytest.raises(Interrupted):
        played(chunk(delta={"content": "a"}), "custom")


def test_nothing_counts_after_the_end() -> None:
    assert played(chunk(delta={"content": "a"}) + DONE + chunk(delta={"content": "b"})).text == "a"


def test_an_undecodable_event_is_reported_after_what_came_before() -> None:
    said = played([chunk(delta={"content": "a"}) + b"data: {oops\n\n"][:1], "openai")
    failed = said.failure
    assert said.text == "a"
    assert failed.reason == "upstream_protocol_error"


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a", "tool_calls": [{"index": "x", "id": 7, "function": None}]},
        {"content": "a", "tool_calls": "none"},
        {"content": "a", "reasoning": {"odd": True}},
        {"content": "a", "refusal": []},
    ],
)
def test_odd_types_in_odd_places_break_nothing(delta: dict[str, Any]) -> None:
    frame = chunk(delta=delta)
    said = played(frame + DONE)
    assert said.text == "a"
    assert said.frames == frame + DONE


def test_text_and_call_in_one_chunk_are_both_heard_and_pass_once() -> None:
    frame = chunk(delta={"content": "a", "tool_calls": [{"index": 3, "id": "x", "function": {"name": "f"}}]})
    said = played(frame + DONE)
    assert [type(event) for event in said.events] == [Start, TextDelta, ToolCallDelta, Ended]
    assert said.frames == frame + DONE


def test_bytes_that_are_no_utf8_do_not_pass() -> None:
    said = played(b'data: {"choices":[],"x":"\xff"}\n\n')
    assert isinstance(said.events[-1], Failed)


def test_chunks_of_a_type_nobody_knows_are_left_out() -> None:
    said = played(b'data: {"type": "metrics"}\n\n' + chunk(delta={"content": "a"}) + DONE)
    assert said.events[0] == KeepAlive()
    assert said.text == "a"


def test_json_instead_of_a_stream_is_a_stream_of_one_chunk() -> None:
    body = recorded("openai-plain.json")
    said = played([body[:100], body[100:]])
    assert (said.text, said.usage) == ("A map.", Usage(56, 64, 0, 7, 8))
    sent = [json.loads(frame[6:]) for frame in said.frames.split(b"\n\n")[:-2]]
    assert [one["choices"][0]["delta"]["content"] for one in sent] == ["A map."]
    assert said.frames.endswith(DONE)


def test_an_error_object_instead_of_a_stream_is_that_error() -> None:
    with pytest.raises(RateLimited, match="Slow down"):
        played(b'{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}')


def test_blank_lines_before_json_are_patience() -> None:
    assert played([b"\n\n", b"\n", recorded("openai-plain.json")]).text == "A map."


def test_a_stream_cut_before_a_brace_is_still_a_stream() -> None:
    whole = chunk(delta={"content": "a"}) + DONE
    assert played([whole[:6], whole[6:]]).text == "a"


# -- whole answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "reasoning", "finish", "usage"),
    [
        ("openai-plain.json", "A map.", "", FinishReason.STOP, Usage(56, 64, 0, 7, 8)),
        ("mistral-thinking.json", "Hi.", "The user greets.", FinishReason.STOP, Usage(12, output=3)),
        (
            "xai-plain.json",
            "Hi.",
            "greeting",
            FinishReason.STOP,
            Usage(36, 64, output=10, reasoning=40, reported_nano=404_000),
        ),
        ("deepseek-plain.json", "Hi.", "greeting", FinishReason.ERROR, Usage(36, 64, output=10, reasoning=20)),
        ("moonshot-plain.json", "Hi.", "greeting", FinishReason.STOP, Usage(18, 32, output=60)),
        ("vllm-plain.json", "Hi.", "", FinishReason.STOP, Usage(9, output=3)),
    ],
)
def test_whole_answers(name: str, text: str, reasoning: str, finish: FinishReason, usage: Usage) -> None:
    answer = answered(recorded(name), kind_of(name))
    assert (answer.text, answer.reasoning, answer.finish, answer.usage) == (text, reasoning, finish, usage)
    assert answer.body == recorded(name)


def test_a_stream_instead_of_json_is_collected() -> None:
    answer = answered(recorded("openai-tools.sse"), content_type="text/event-stream")
    [call] = answer.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_a", "lookup", '{"city": "Riga"}')
    assert (answer.model, answer.finish, answer.body) == ("gpt-6-sol", FinishReason.TOOL_CALLS, b"")


@pytest.mark.parametrize(
    "body",
    [b"", b"  ", b"{", b"[]", b"null", b'"hi"', b"{}", b'{"choices": []}', b"<html>", b'{"choices":[{}],"x":"\xff"}'],
)
def test_bodies_that_are_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        answered(body)
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "usage",
    ["null", "{}", '"many"', '{"prompt_tokens": -1, "completion_tokens": 2}', '{"prompt_tokens": []}', "[1]"],
)
def test_usage_that_is_none_is_none(usage: str) -> None:
    body = recorded("vllm-plain.json")
    start, end = body.index(b'"usage":') + 8, body.index(b',"prompt_logprobs"')
    assert answered(body[:start] + usage.encode() + body[end:]).usage is None


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_buckets_are_disjoint_and_sum_to_the_total(
    prompt: int, completion: int, cached: int, written: int, reasoning: int
) -> None:
    said = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    body = json.dumps({"choices": [{"message": {"content": "a"}}], "usage": said}).encode()
    usage = answered(body).usage
    assert usage is not None
    assert usage.total == prompt + completion
    assert min(usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning) >= 0
