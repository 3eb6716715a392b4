"""What the answers, streams and refusals of Gemini's generateContent mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters import adapter_for
from providers.adapters.gemini_answers import PieceDecoder
from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
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
from providers.errors import Interrupted, InvalidAnswer, Overloaded, RateLimited, Refused, TooLarge
from providers.registry import KINDS
from providers.sse import EVENT_BYTES
from providers.wiring import HttpAnswer, Target
from tests.cloud import recorded
from tests.misbehaviour_gemini import error, quota, reason, retry
from tests.providers.talk import SECRET, Said, asks, check_rubbish, cut, heard, values_of

STREAMS = ["thinking.sse", "tools.sse", "grounded.sse", "fails.sse", "fails-bare.sse", "array.json", "plain.json"]
USAGE = Usage(61, 64, 0, 15, 40, audio_input=10)


def to(model: str = "gemini-3.8-flash", base_url: str = "", secret: str = SECRET, **options: Any) -> Target:
    row = KINDS["gemini"]
    return Target(1, "google", row, base_url or row.base_url, model, secret=secret, options=options)


def played(data: bytes | Iterable[bytes]) -> Said:
    return heard(adapter_for(KINDS["gemini"]).decoder(asks(stream=True), to()), data)


def body(value: Any, content_type: str = "application/json") -> ChatAnswer:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return adapter_for(KINDS["gemini"]).chat_answer(HttpAnswer(200, {"content-type": content_type}, data), to())


def answered(name: str) -> ChatAnswer:
    return body(recorded(f"gemini/{name}"))


# -- whole answers ------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = answered("plain.json")
    assert (answer.id, answer.model) == ("r1", "gemini-3.8-flash")
    assert (answer.text, answer.reasoning) == ("A map, Zürich.", "The user wants a map.")
    assert answer.finish is FinishReason.STOP
    assert answer.usage == USAGE
    assert answer.usage.total == 180
    assert answer.state == State("gemini", '[{"signature":"c2lnLXRleHQ="}]')


def test_tools_are_called_though_it_says_stop() -> None:
    answer = answered("tools.json")
    first, second = answer.tool_calls
    assert first == ToolCallDelta(0, "c1", "lookup", '{"city":"Riga"}')
    assert (second.index, second.name, second.arguments) == (1, "now", "{}")
    assert second.id.startswith("call_")
    assert answer.finish is FinishReason.TOOL_CALLS
    assert answer.text == "One moment."


def test_sources_keep_their_place_in_characters() -> None:
    answer = answered("grounded.json")
    assert answer.text == "Zürich is a city. It has a lake."
    assert answer.citations == [
        Citation("https://example.org/zurich", "Zürich", 0, 17),
        Citation("https://example.org/zurich", "Zürich", 17, 32),
        Citation("https://example.org/lake", "The lake", 17, 32),
        Citation("https://example.org/book", "", 1, 2),
    ]
    assert answer.usage == Usage(39, output=12)
    streamed = played(recorded("gemini/grounded.sse")).of(Citation)
    assert streamed == answer.citations[:3]


@pytest.mark.parametrize("segment", [None, {}, {"endIndex": 99}, {"startIndex": 5, "endIndex": 2}, {"text": "nowhere"}])
def test_a_source_without_a_place_is_still_one(segment: Any) -> None:
    support = {"groundingChunkIndices": [0, 7, -1], "segment": segment}
    found = {"groundingChunks": [{"web": {"uri": "https://a.example"}}, {}], "groundingSupports": [support]}
    candidate = {"content": {"parts": [{"text": "Hi."}]}, "finishReason": "STOP", "groundingMetadata": found}
    assert body({"candidates": [candidate]}).citations == [Citation("https://a.example")]


def test_words_decide_where_bytes_are_counted_within_another_part() -> None:
    support = {"groundingChunkIndices": [0], "segment": {"partIndex": 1, "endIndex": 4, "text": "lake"}}
    found = {"groundingChunks": [{"web": {"uri": "https://a.example"}}], "groundingSupports": [support]}
    candidate = {"content": {"parts": [{"text": "A "}, {"text": "lake"}]}, "finishReason": "STOP"}
    assert body({"candidates": [candidate | {"groundingMetadata": found}]}).citations[0].start == 2


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"),
        ("SPII", "content_filter"), ("MODEL_ARMOR", "content_filter"), ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"), ("MISSING_THOUGHT_SIGNATURE", "error"), ("OTHER", "error"),
        ("SOMETHING_NEW", "stop"),
    ],
)  # fmt: skip
def test_finish_reasons(native: str, reason: str) -> None:
    """A candidate may lack its content, or the content its parts."""
    assert body({"candidates": [{"finishReason": native}]}).finish == reason
    assert body({"candidates": [{"finishReason": native, "content": {"role": "model"}}]}).finish == reason


def test_a_blocked_prompt_was_refused() -> None:
    for read in (lambda: answered("blocked.json"), lambda: played(recorded("gemini/blocked.json"))):
        with pytest.raises(Refused, match="PROHIBITED_CONTENT"):
            read()
    assert isinstance(played(b'data: {"promptFeedback": {"blockReason": "SAFETY"}}\n\n').failure, Refused)


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"{}", b"[]", b"null", b"<html>", b'{"candidates":7}', b'{"candidates":[{}]}', b'{"responseId":"\xff"}',
     b'{"candidates":[{"content":{"parts":[{"functionCall":7}]}}]}'],
)  # fmt: skip
def test_what_is_no_answer(value: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        body(value)


def test_an_error_with_a_status_of_200() -> None:
    busy = error(503, "UNAVAILABLE", "The model is overloaded.")
    for value in (busy, [busy]):
        with pytest.raises(Overloaded, match="overloaded"):
            body(value)


def test_a_stream_instead_of_an_answer_is_collected() -> None:
    answer = body(recorded("gemini/thinking.sse"), "text/event-stream")
    assert (answer.text, answer.reasoning, answer.usage) == ("A map, Zürich.", "The user wants a map.", USAGE)
    with pytest.raises(InvalidAnswer):
        body(recorded("gemini/thinking.sse")[:300], "text/event-stream")


@given(
    st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_buckets_are_disjoint_and_sum_to_the_total(
    prompt: int, cached: int, out: int, thoughts: int, tools: int
) -> None:
    said = {"promptTokenCount": prompt, "cachedContentTokenCount": min(cached, prompt), "candidatesTokenCount": out,
            "thoughtsTokenCount": thoughts, "toolUsePromptTokenCount": tools}  # fmt: skip
    usage = body({"candidates": [{"finishReason": "STOP"}], "usageMetadata": said}).usage
    assert usage is not None
    assert usage.total == prompt + tools + out + thoughts
    assert min(usage.input, usage.cached, usage.output, usage.reasoning) >= 0


# -- streams ----------------------------------------------------------------------------


def test_a_stream_with_thoughts() -> None:
    assert played(recorded("gemini/thinking.sse")).events == [
        Start("r1", "gemini-3.8-flash"),
        ReasoningDelta("The user "),
        ReasoningDelta("wants a map."),
        TextDelta("A map, "),
        TextDelta("Zürich."),
        State("gemini", '[{"signature":"c2lnLXRleHQ="}]'),
        Finish(FinishReason.STOP, "STOP"),
        UsageReport(USAGE),
        Ended(),
    ]


def test_a_stream_with_tools() -> None:
    said = played(recorded("gemini/tools.sse"))
    calls = said.of(ToolCallDelta)
    assert [(one.index, one.name, one.arguments) for one in calls] == [
        (0, "lookup", '{"city":"Riga"}'),
        (1, "now", "{}"),
    ]
    assert len({one.id for one in calls}) == 2
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "STOP")
    assert said.usage == Usage(120, output=15, reasoning=40)


def test_a_list_instead_of_events() -> None:
    assert played(recorded("gemini/array.json")).text == "A map."


@pytest.mark.parametrize("frames", range(1, 5))
def test_a_stream_that_stops_too_soon(frames: int) -> None:
    with pytest.raises(Interrupted):
        played(b"\r\n\r\n".join(recorded("gemini/thinking.sse").split(b"\r\n\r\n")[:frames]) + b"\r\n\r\n")


def test_a_last_event_may_lack_its_empty_line() -> None:
    data = recorded("gemini/thinking.sse")
    assert played(data.removesuffix(b"\r\n\r\n")).events == played(data).events


@pytest.mark.parametrize("name", ["fails.sse", "fails-bare.sse"])
def test_an_error_in_a_stream(name: str) -> None:
    said = played(recorded(f"gemini/{name}"))
    assert said.text == "A map"
    failed = said.failure
    assert isinstance(failed, Overloaded)
    assert "overloaded" in failed.message


@pytest.mark.parametrize("data", [b"", b"\r\n", b"<html>", b"{}", b"[]"])
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        played(data)


@pytest.mark.parametrize("said", [b"{oops", b"7", b'{"candidates":[{"content":7}]}', b'{"responseId":"\xff"}'])
def test_an_event_that_cannot_be_read_is_reported_after_what_came_before(said: bytes) -> None:
    first = recorded("gemini/thinking.sse").split(b"\r\n\r\n")[2]
    seen = played(first + b"\r\n\r\ndata: " + said + b"\r\n\r\n")
    assert seen.text == "A map, "
    assert seen.failure.reason == "upstream_protocol_error"


def test_events_without_candidates_prove_that_it_is_there() -> None:
    assert played(b'data: {"usageMetadata":{}}\n\n' + recorded("gemini/thinking.sse")).events[1] == KeepAlive()


@given(name=st.sampled_from(STREAMS), places=st.lists(st.integers(0, 10_000), max_size=20))
@settings(max_examples=150)
def test_any_cut_gives_the_same_events(name: str, places: list[int]) -> None:
    data = recorded(f"gemini/{name}")
    assert played(cut(data, places)).words == played([data]).words


NAMES = ["candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args",
         "finishReason", "usageMetadata", "promptTokenCount", "error", "promptFeedback", "blockReason", "id",
         "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "endIndex"]  # fmt: skip
VALUES = values_of(NAMES, "STOP")


@given(
    st.lists(
        st.binary(max_size=40)
        | VALUES.map(lambda value: b"data: " + json.dumps(value).encode() + b"\r\n\r\n")
        | VALUES.map(lambda value: json.dumps(value).encode() + b"\n")
        | st.sampled_from([frame + b"\r\n\r\n" for frame in recorded("gemini/tools.sse").split(b"\r\n\r\n")]),
        max_size=10,
    )
)
@settings(max_examples=300)
def test_garbage_raises_nothing_but_ours(garbage: list[bytes]) -> None:
    check_rubbish(played, garbage)


@pytest.mark.parametrize("start", [b"data: {", b"{", b"data: {}\r\n\r\n{\n"])
def test_what_never_ends_is_not_kept(start: bytes) -> None:
    decoder = PieceDecoder(to())
    decoder.feed(start)
    more = b"x" * 499_999 + start[-1:]
    for _ in range(EVENT_BYTES // 500_000):
        decoder.feed(more)
    with pytest.raises(TooLarge):
        decoder.feed(more)


# -- refusals ---------------------------------------------------------------------------

DAY, MINUTE = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), quota("GenerateContentInputTokensPerMinute")
OVER = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason("API_KEY_INVALID")),
         "BadCredentials"),
        (error(400, "INVALID_ARGUMENT", "Odd words.", reason("API_KEY_INVALID")), "BadCredentials"),
        (error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
         "ContextTooLong"),
        (error(400, "INVALID_ARGUMENT", "Invalid value at 'contents'."), "BadRequest"),
        (error(400, "FAILED_PRECONDITION", "Not free in your country. Please enable billing on your project."),
         "QuotaExhausted"),
        (error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "BadCredentials"),
        (error(402, "FAILED_PRECONDITION", "Your prepaid credit is used up."), "QuotaExhausted"),
        (error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."), "BadCredentials"),
        (error(404, "NOT_FOUND", "models/x is not found for API version v1beta."), "ModelNotFound"),
        (error(429, "RESOURCE_EXHAUSTED", OVER, MINUTE, retry("12s")), "RateLimited"),
        (error(429, "RESOURCE_EXHAUSTED", OVER, DAY, retry("12s")), "QuotaExhausted"),
        (error(429, "RESOURCE_EXHAUSTED", OVER, MINUTE, DAY), "QuotaExhausted"),
        (error(429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."), "QuotaExhausted"),
        (error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."), "RateLimited"),
        (error(499, "CANCELLED", "The operation was cancelled."), "TimedOut"),
        (error(500, "INTERNAL", "An internal error has occurred."), "Overloaded"),
        (error(500, "INTERNAL", "The input token count (9) exceeds the maximum of tokens (8)."), "ContextTooLong"),
        (error(503, "UNAVAILABLE", "The model is overloaded."), "Overloaded"),
        (error(504, "DEADLINE_EXCEEDED", "Deadline expired."), "TimedOut"),
    ],
)  # fmt: skip
def test_refusals(said: dict[str, Any], kind: str) -> None:
    """Also in a list of one, and within a stream."""
    status = said["error"]["code"]
    for value in (said, [said]):
        answer = HttpAnswer(status, {}, json.dumps(value).encode())
        made = adapter_for(KINDS["gemini"]).error(answer, to())
        assert type(made).__name__ == kind
        assert made.upstream_status == status
    assert type(played(b"data: " + json.dumps(said).encode() + b"\r\n\r\n").failure).__name__ == kind


@pytest.mark.parametrize(("delay", "seconds"), [("12s", 12), ("1.5s", 1.5), ("0.2s", 1), ("soon", 34), ("7200s", 3600)])
def test_when_to_come_back(delay: str, seconds: float) -> None:
    said = error(429, "RESOURCE_EXHAUSTED", "Busy. Please retry in 34s.", MINUTE, retry(delay))
    made = adapter_for(KINDS["gemini"]).error(HttpAnswer(429, {}, json.dumps(said).encode()), to())
    assert isinstance(made, RateLimited)
    assert made.retry_after == seconds


@pytest.mark.parametrize(
    "details", [7, [7], [{"violations": 7}], [{"violations": [7]}], [{"reason": 7}], [{"retryDelay": 7}]]
)
def test_details_of_any_shape_break_nothing(details: Any) -> None:
    said = {"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED", "details": details}}
    made = adapter_for(KINDS["gemini"]).error(HttpAnswer(429, {}, json.dumps(said).encode()), to())
    assert type(made) is RateLimited


def test_neither_keys_nor_projects_are_shown() -> None:
    words = f"Key {SECRET} and AIzaTestTestTest of project 777700001111 (projects/777700001111) may not."
    said = error(403, "PERMISSION_DENIED", words)
    message = adapter_for(KINDS["gemini"]).error(HttpAnswer(403, {}, json.dumps(said).encode()), to()).message
    assert message == "google: Key *** and *** of *** (***) may not."
