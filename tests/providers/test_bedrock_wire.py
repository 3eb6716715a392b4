"""What the answers, streams and refusals of Bedrock's Converse mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters import adapter_for
from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Finish,
    FinishReason,
    ReasoningDelta,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import Interrupted, InvalidAnswer, Overloaded, RateLimited
from providers.registry import KINDS
from providers.wiring import HttpAnswer, Target
from tests.cloud import framed, recorded
from tests.providers.talk import Said, asks, check_rubbish, cut, heard

NOVA = "amazon.nova-pro-v1:0"
PAIR = '{"access_key_id":"TESTACCESSKEY","secret_access_key":"test-secret-0123456789"}'


def to(model: str = NOVA, secret: str = "test-key-bedrock-0123456789", **options: Any) -> Target:
    row = KINDS["bedrock"]
    return Target(1, "aws", row, row.base_url, model, secret=secret, options={"region": "eu-west-1"} | options)


def played(frames: Iterable[bytes], model: str = NOVA) -> Said:
    return heard(adapter_for(KINDS["bedrock"]).decoder(asks(stream=True), to(model)), frames)


def recording(name: str) -> list[bytes]:
    return framed(recorded(f"bedrock/{name}"))


def answered(name: str) -> ChatAnswer:
    answer = HttpAnswer(200, {"x-amzn-requestid": "11-22"}, recorded(f"bedrock/{name}"))
    return adapter_for(KINDS["bedrock"]).chat_answer(answer, to())


# -- whole answers ------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = answered("plain.json")
    assert (answer.id, answer.model, answer.text) == ("11-22", NOVA, "A map.")
    assert answer.tool_calls == [ToolCallDelta(0, "t1", "lookup", '{"city":"Riga"}')]
    assert answer.finish is FinishReason.TOOL_CALLS
    assert answer.usage == Usage(100, 64, 0, 20)
    assert answer.usage.total == 184


def test_citations_keep_their_place() -> None:
    answer = answered("cited.json")
    assert answer.text == "Found: Riga is a city. That is all."
    assert answer.citations == [Citation("https://example.org/riga", "Riga", 7, 22)]
    assert answer.text[7:22] == "Riga is a city."
    assert answer.finish is FinishReason.CONTENT_FILTER


def test_thoughts_are_told_from_the_text_in_the_one_number_for_both() -> None:
    usage = answered("thinking.json").usage
    assert usage is not None
    assert (usage.input, usage.completion) == (12, 40)
    assert 0 < usage.output < 10 < usage.reasoning


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"output":7}', b'{"message":"x"}', b"\xff"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        adapter_for(KINDS["bedrock"]).chat_answer(HttpAnswer(200, {}, body), to())


# -- streams ----------------------------------------------------------------------------


def test_a_stream_of_text() -> None:
    said = played(recording("text.events"))
    assert said.events == [
        Start("", NOVA),
        TextDelta("A "),
        TextDelta("map, Zürich."),
        Finish(FinishReason.STOP, "end_turn"),
        UsageReport(Usage(9, 70, 7, 4)),
        Ended(),
    ]


def test_a_stream_with_tools() -> None:
    said = played(recording("tools.events"))
    assert said.of(ToolCallDelta) == [
        ToolCallDelta(0, "t1", "lookup"),
        ToolCallDelta(0, arguments='{"ci'),
        ToolCallDelta(0, arguments='ty":"Riga"}'),
        ToolCallDelta(1, "t2", "now"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "tool_use")


def test_a_stream_with_reasoning() -> None:
    said = played(recording("thinking.events"))
    kinds = [type(event) for event in said.events]
    assert kinds == [Start, ReasoningDelta, ReasoningDelta, TextDelta, State, Finish, UsageReport, Ended]


@pytest.mark.parametrize("lines", range(1, 6))
def test_a_stream_that_stops_too_soon(lines: int) -> None:
    with pytest.raises(Interrupted):
        played(recording("text.events")[:lines])


def test_a_stream_that_stops_within_a_message() -> None:
    frames = recording("text.events")
    with pytest.raises(Interrupted):
        played([*frames, frames[0][:20]])


def test_an_exception_in_a_stream() -> None:
    said = played(recording("fails.events"))
    assert said.text == "A "
    failed = said.failure
    assert isinstance(failed, Overloaded)
    assert failed.message == "aws: The model broke off."


@pytest.mark.parametrize(
    ("name", "words", "kind"),
    [
        ("throttlingException", "Too many tokens, please wait.", "RateLimited"),
        ("validationException", "Input is too long for requested model.", "ContextTooLong"),
        ("validationException", "Malformed input.", "BadRequest"),
        ("internalServerException", "", "Overloaded"),
        ("serviceUnavailableException", "Busy.", "Overloaded"),
        ("anyNewException", "Who knows.", "Overloaded"),
    ],
)
def test_exceptions_have_the_class_they_have_outside(name: str, words: str, kind: str) -> None:
    line = json.dumps(["exception", name, {"message": words}]).encode()
    assert type(played(framed(line)).failure).__name__ == kind


@pytest.mark.parametrize("payload", ["7", '{"delta":7}', "[]"])
def test_an_event_that_cannot_be_read(payload: str) -> None:
    line = f'["event","contentBlockDelta",{payload}]'.encode()
    frames = recording("text.events")
    assert played([*frames[:2], *framed(line), *frames[2:]]).failure.reason == "upstream_protocol_error"


def test_unknown_events_and_blocks_are_passed_over() -> None:
    frames = recording("text.events")
    strange = framed(
        b'["event","somethingNew",{"x":1}]\n["event","contentBlockStart",{"contentBlockIndex":0,"start":{}}]'
    )
    assert played([*frames[:2], *strange, *frames[2:]]).events == played(frames).events


@given(
    name=st.sampled_from(["text.events", "tools.events", "thinking.events", "fails.events"]),
    places=st.lists(st.integers(0, 10_000), max_size=20),
)
@settings(max_examples=150)
def test_any_cut_gives_the_same_events(name: str, places: list[int]) -> None:
    data = b"".join(recording(name))
    assert played(cut(data, places)).words == played([data]).words


@given(
    garbage=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([frame for name in ("tools.events", "fails.events") for frame in recording(name)]),
            st.builds(
                lambda name, payload: framed(json.dumps(["event", name, payload]).encode())[0],
                st.sampled_from(["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop",
                                 "messageStop", "metadata"]),
                st.recursive(
                    st.none() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=2)
                    | st.dictionaries(
                        st.sampled_from(["delta", "start", "text", "toolUse", "input", "usage", "inputTokens",
                                         "outputTokens", "contentBlockIndex", "reasoningContent", "stopReason"]),
                        inner, max_size=4,
                    ),
                    max_leaves=8,
                ),
            ),
        ),
        max_size=12,
    )
)  # fmt: skip
@settings(max_examples=300)
def test_garbage_raises_nothing_but_ours(garbage: list[bytes]) -> None:
    check_rubbish(played, garbage)


# -- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name", "words", "kind"),
    [
        (400, "ValidationException", "Input is too long for requested model.", "ContextTooLong"),
        (400, "ValidationException", "too many tokens: 300000", "ContextTooLong"),
        (400, "ValidationException", "The provided request is not valid", "BadRequest"),
        (400, "ValidationException",
         "Invocation of model ID example.v1:0 with on-demand throughput isn\u2019t supported. Use a profile.",
         "ModelNotFound"),
        (400, "ServiceQuotaExceededException", "Limit.", "QuotaExhausted"),
        (403, "AccessDeniedException", "User is not authorized to perform this.", "BadCredentials"),
        (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.",
         "ModelNotFound"),
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.",
         "BadCredentials"),
        (403, "ExpiredTokenException:http://internal.amazon.com/coral/com.amazon.coral.service/", "Expired.",
         "BadCredentials"),
        (404, "ResourceNotFoundException", "No such model.", "ModelNotFound"),
        (408, "ModelTimeoutException", "Slow.", "TimedOut"),
        (424, "ModelErrorException", "Broke.", "Overloaded"),
        (429, "com.amazon.coral.service#ThrottlingException", "Too many tokens, please wait.", "RateLimited"),
        (429, "ModelNotReadyException", "Warming up.", "Overloaded"),
        (500, "InternalServerException", "", "Overloaded"),
        (503, "ServiceUnavailableException", "Busy.", "Overloaded"),
    ],
)  # fmt: skip
def test_refusals(status: int, name: str, words: str, kind: str) -> None:
    answer = HttpAnswer(status, {"x-amzn-errortype": name}, json.dumps({"message": words}).encode())
    error = adapter_for(KINDS["bedrock"]).error(answer, to())
    assert type(error).__name__ == kind
    assert error.upstream_status == status
    assert not isinstance(error, RateLimited) or error.retry_after is None


def test_no_part_of_a_key_is_repeated() -> None:
    secret = PAIR[:-1] + ',"session_token":"test-token-abcdef"}'
    words = "Key TESTACCESSKEY with test-secret-0123456789 in session_token test-token-abcdef is wrong."
    answer = HttpAnswer(403, {}, json.dumps({"message": words}).encode())
    message = adapter_for(KINDS["bedrock"]).error(answer, to(secret=secret)).message
    assert message == "aws: Key *** with *** in session_token *** is wrong."
    assert "TESTACCESSKEY" not in repr(to(secret=secret))
