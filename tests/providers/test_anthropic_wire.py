"""What the answers, streams and refusals of Anthropic's Messages mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.adapters import adapter_for
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
    Thought,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    Interrupted,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    TimedOut,
)
from providers.registry import KINDS
from providers.wiring import HttpAnswer, ListedModel
from tests.cloud import recorded
from tests.providers.talk import Said, asks, check_rubbish, cut, event, every_byte, heard, target

ADAPTER = adapter_for(KINDS["anthropic"])
TO = target("claude-sonnet-5-5", kind="anthropic")
THINKING = '{"type":"thinking","thinking":"Five is odd.","signature":"c2lnbmVk"}'
SEALED = '{"type":"redacted_thinking","data":"c2VhbGVk"}'
BLOCKS = f"[{THINKING},{SEALED}]"


def recording(name: str) -> bytes:
    return recorded(f"anthropic/anthropic-{name}")


def played(data: bytes | Iterable[bytes]) -> Said:
    return heard(ADAPTER.decoder(asks(stream=True), TO), data)


def answered(body: bytes, content_type: str = "application/json") -> ChatAnswer:
    return ADAPTER.chat_answer(HttpAnswer(200, {"content-type": content_type}, body), TO)


STOP = event("message_stop")

# -- whole answers ------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = answered(recording("plain.json"))
    assert (answer.id, answer.model, answer.text) == ("msg_1", "claude-sonnet-5-5", "A map.")
    assert answer.finish is FinishReason.STOP
    assert answer.usage == Usage(50, 1200, 7, 18, 12)
    assert answer.usage.total == 50 + 1200 + 7 + 30
    assert answer.state is None


def test_calls_of_tools() -> None:
    answer = answered(recording("tools.json"))
    assert answer.tool_calls == [
        ToolCallDelta(0, "toolu_1", "lookup", '{"city":"Zürich"}'),
        ToolCallDelta(1, "toolu_2", "now", "{}"),
    ]
    assert (answer.text, answer.finish) == ("One moment.", FinishReason.TOOL_CALLS)


def test_thoughts_are_kept_as_they_came() -> None:
    answer = answered(recording("thinking.json"))
    assert (answer.text, answer.reasoning) == ("Odd.", "Five is odd.")
    assert answer.state == State("anthropic", BLOCKS)
    usage = answer.usage
    assert usage is not None
    assert usage.completion == 40
    assert 0 < usage.output < 5 < usage.reasoning, "what is not visible was thought"


def test_citations_keep_their_place() -> None:
    answer = answered(recording("cited.json"))
    assert answer.text == "Found: Riga is a city. That is all."
    assert answer.citations == [Citation("https://example.org/riga", "Riga", 7, 22)]
    assert answer.text[7:22] == "Riga is a city."
    assert answer.finish is FinishReason.CONTENT_FILTER


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"<html>", b"{}", b'{"type":7}', b'{"content":[]}', b'{"type":"message","content":7}', b"\xff"],
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        answered(body)


def test_an_error_with_a_status_of_200() -> None:
    with pytest.raises(Overloaded, match="Overloaded"):
        answered(recording("fails.json"))


def test_a_stream_instead_of_a_whole_answer_is_collected() -> None:
    answer = answered(recording("tools.sse"), "text/event-stream")
    assert [call.arguments for call in answer.tool_calls] == ['{"city": "Riga"}', "{}"]
    assert (answer.text, answer.finish) == ("One moment.", FinishReason.TOOL_CALLS)
    assert answered(recording("thinking.sse"), "text/event-stream").state == State("anthropic", BLOCKS)
    assert answered(recording("cited.sse")).citations, "whatever its content type says"
    with pytest.raises(InvalidAnswer):
        answered(recording("tools.sse")[:300], "text/event-stream")


# -- streams ----------------------------------------------------------------------------


def test_a_stream_of_text() -> None:
    assert played(recording("text.sse")).events == [
        Start("msg_1", "claude-sonnet-5-5"),
        KeepAlive(),
        TextDelta("A "),
        TextDelta("map, Zürich."),
        Finish(FinishReason.STOP, "end_turn"),
        UsageReport(Usage(50, 1200, 0, 4)),
        Ended(),
    ]


def test_a_stream_with_tools_in_pieces() -> None:
    said = played(recording("tools.sse"))
    assert said.of(ToolCallDelta) == [
        ToolCallDelta(0, "toolu_1", "lookup"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments=' "Riga"}'),
        ToolCallDelta(1, "toolu_2", "now"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "tool_use")
    assert said.usage == Usage(50, 1200, 0, 30), "the totals at the end take the place of those at the beginning"


def test_a_stream_with_thoughts() -> None:
    said = played(recording("thinking.sse"))
    assert said.events == [
        Start("msg_1", "claude-sonnet-5-5"),
        ReasoningDelta("Five "),
        ReasoningDelta("is odd."),
        Thought("anthropic", THINKING),
        Thought("anthropic", SEALED),
        TextDelta("Odd."),
        State("anthropic", BLOCKS),
        Finish(FinishReason.STOP, "end_turn"),
        UsageReport(Usage(12, output=3, reasoning=37)),
        Ended(),
    ]


def test_citations_in_a_stream_come_when_their_text_is_whole() -> None:
    said = played(recording("cited.sse"))
    assert said.of(Citation) == [Citation("https://example.org/riga", "Riga", 7, 22)]
    assert said.text[7:22] == "Riga is a city."
    assert said.finish == Finish(FinishReason.PAUSE, "pause_turn")


def test_an_error_in_the_middle() -> None:
    said = played(recording("fails.sse"))
    assert isinstance(said.failure, Overloaded)
    assert said.text == "A "


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rate_limit_error", RateLimited),
        ("api_error", Overloaded),
        ("timeout_error", TimedOut),
        ("billing_error", QuotaExhausted),
        ("authentication_error", BadCredentials),
        ("not_found_error", ModelNotFound),
        ("invalid_request_error", BadRequest),
        ("request_too_large", BadRequest),
        ("new_error", Overloaded),
    ],
)
def test_each_error_of_a_stream(kind: str, error: type[ProviderError]) -> None:
    said = played(event("error", error={"type": kind, "message": "No."}))
    assert len(said.events) == 1
    assert type(said.failure) is error


@pytest.mark.parametrize("name", ["text", "tools", "thinking", "cited"])
def test_a_stream_without_its_end_was_interrupted(name: str) -> None:
    whole = recording(f"{name}.sse")
    for place in [n for n in range(len(whole)) if whole[n : n + 6] == b"event:"]:
        with pytest.raises(InvalidAnswer if place == 0 else Interrupted):
            played(whole[:place])


def test_nothing_counts_after_the_end() -> None:
    said = played(recording("text.sse") + event("error", error={"type": "api_error", "message": "Late."}))
    assert said.events[-1] == Ended()


def test_an_end_without_its_empty_line_is_an_end() -> None:
    assert played(recording("text.sse").rstrip()).events[-1] == Ended()


def test_what_is_newer_than_this_is_left_out() -> None:
    block = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    search = [
        event("content_block_start", index=0, content_block=block),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"q":1}'}),
        event("content_block_delta", index=0, delta={"type": "new_delta", "value": 1}),
        event("content_block_stop", index=0),
        event("content_block_delta", index=9, delta={"type": "thinking_delta", "thinking": "lost"}),
        event("content_block_stop", index=9),
        event("message_news", about="x"),
        STOP,
    ]
    assert played(search).events == [KeepAlive(), Finish(FinishReason.STOP), Ended()]


def test_whole_arguments_at_the_beginning_of_a_block_are_not_lost() -> None:
    block = {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"city": "Riga"}}
    said = played(
        event("content_block_start", index=0, content_block=block) + event("content_block_stop", index=0) + STOP
    )
    assert said.events[:2] == [ToolCallDelta(0, "t1", "lookup"), ToolCallDelta(0, arguments='{"city":"Riga"}')]
    assert said.finish is not None
    assert said.finish.reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.CONTENT_FILTER),
        ("pause_turn", FinishReason.PAUSE),
        ("something_new", FinishReason.STOP),
    ],
)
def test_finish_reasons(native: str, reason: FinishReason) -> None:
    said = played(event("message_delta", delta={"stop_reason": native}, usage={"output_tokens": 1}) + STOP)
    assert said.finish == Finish(reason, native)
    assert said.usage is None, "of half the numbers there is no bill"


def test_json_instead_of_a_stream_is_told_as_one() -> None:
    said = played([b"\n", recording("thinking.json")[:40], recording("thinking.json")[40:]])
    assert (said.text, said.reasoning) == ("Odd.", "Five is odd.")
    assert State("anthropic", BLOCKS) in said.events
    assert said.events[-1] == Ended()
    with pytest.raises(Overloaded):
        played(recording("fails.json"))
    with pytest.raises(InvalidAnswer, match="web page"):
        played(b"<html>")


@pytest.mark.parametrize(
    "data", [b"{oops", b"7", b'{"type":[]}', b'{"type":"message_start","message":7}', b'{"type":"ping","x":"\xff"}']
)
def test_an_event_that_cannot_be_read_is_reported_after_what_came_before(data: bytes) -> None:
    said = played(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}) + b"data: " + data
                  + b"\n\n")  # fmt: skip
    assert said.failure.reason == "upstream_protocol_error"
    assert said.text == "a"


@given(
    st.sampled_from(["text", "tools", "thinking", "cited", "fails"]), st.lists(st.integers(0, 3000), max_size=8),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)  # fmt: skip
def test_streams_in_any_pieces_say_the_same(name: str, places: list[int], line: bytes) -> None:
    whole = recording(f"{name}.sse")
    data = whole.replace(b"\n", line)
    assert played(cut(data, places)).words == played(whole).words


@pytest.mark.parametrize("name", ["text", "tools", "thinking", "cited", "fails"])
def test_streams_byte_by_byte_say_the_same(name: str) -> None:
    whole = recording(f"{name}.sse")
    assert played(every_byte(whole)).words == played(whole).words


WORDS = st.sampled_from(
    [b"event: ", b"data: ", b"\n", b"\n\n", b"{", b"}", b'{"type":"message_stop"}', b'"error":', b'"delta":{"text":7}',
     b'{"type":"content_block_start","content_block":{"type":"tool_use"}}', b"[DONE]", b'"index":0,', b"\xff", b"<"]
)  # fmt: skip


@given(st.lists(st.binary(max_size=40) | WORDS, max_size=12))
@example([b'data: {"type":"content_block_delta","index":0,"delta":null}\n\n'])
def test_garbage_raises_nothing_but_our_own(pieces: list[bytes]) -> None:
    check_rubbish(played, pieces, answered)


# -- refusals ---------------------------------------------------------------------------


def refused(status: int, kind: str, message: str = "No.", **more: Any) -> ProviderError:
    headers = more.pop("headers", {})
    body = {"type": "error", "error": {"type": kind, "message": message} | more, "request_id": "req_1"}
    return ADAPTER.error(HttpAnswer(status, headers, json.dumps(body).encode()), TO)


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", BadRequest),
        (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2", ContextTooLong),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", QuotaExhausted),
        (401, "authentication_error", "invalid x-api-key", BadCredentials),
        (402, "billing_error", "Pay.", QuotaExhausted),
        (403, "permission_error", "No.", BadCredentials),
        (404, "not_found_error", "model: claude-0", ModelNotFound),
        (409, "conflict_error", "Again.", Overloaded),
        (413, "request_too_large", "Request exceeds the maximum size", BadRequest),
        (429, "rate_limit_error", "Slow down.", RateLimited),
        (500, "api_error", "Internal server error", Overloaded),
        (504, "timeout_error", "Timed out.", TimedOut),
        (529, "overloaded_error", "Overloaded", Overloaded),
    ],
)
def test_each_refusal(status: int, kind: str, message: str, error: type[ProviderError]) -> None:
    assert type(refused(status, kind, message)) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("enforced_spend_limit_reached", QuotaExhausted),
        ("contract_spend_limit_reached", QuotaExhausted),
        ("ramp_limit_exceeded", RateLimited),
    ],
)
def test_an_empty_purse_in_disguise(code: str, error: type[ProviderError]) -> None:
    assert type(refused(429, "rate_limit_error", "Limit.", details={"error_code": code})) is error


def test_when_to_come_back_and_no_part_of_the_key() -> None:
    assert refused(429, "rate_limit_error", headers={"retry-after": "12"}).retry_after == 12
    assert TO.secret[4:20] not in refused(401, "authentication_error", f"invalid x-api-key {TO.secret}").message


# -- the list of models -------------------------------------------------------------------


def test_the_list_of_models_and_its_next_page() -> None:
    answer = HttpAnswer(200, {}, recording("models.json"))
    assert ADAPTER.models_answer(answer, TO) == [
        ListedModel("claude-sonnet-5-5", 1_000_000, 128_000, name="Claude Sonnet 5.5",
                    capabilities={"vision": True, "json": True, "reasoning": True}),
        ListedModel("claude-haiku-4-5", 200_000, 64_000, name="Claude Haiku 4.5",
                    capabilities={"vision": True, "json": False}),
    ]  # fmt: skip
    first = ADAPTER.models_request(TO)
    assert first is not None
    assert first.url == "https://api.anthropic.com/v1/models?limit=1000"
    following = ADAPTER.models_after(first, answer, TO)  # type: ignore[attr-defined]
    assert following.url == "https://api.anthropic.com/v1/models?limit=1000&after_id=claude-2.1"
    assert following.headers["anthropic-version"] == "2023-06-01"
    last = HttpAnswer(200, {}, b'{"data":[],"has_more":false,"last_id":null}')
    assert ADAPTER.models_after(following, last, TO) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":7}', b"<html>"])
def test_what_is_no_list_of_models(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        ADAPTER.models_answer(HttpAnswer(200, {}, body), TO)


def test_a_list_that_is_refused() -> None:
    with pytest.raises(BadCredentials):
        ADAPTER.models_answer(HttpAnswer(401, {}, b'{"error":{"type":"authentication_error"}}'), TO)
    with pytest.raises(Overloaded):
        ADAPTER.models_answer(HttpAnswer(200, {}, recording("fails.json")), TO)


def test_health_is_the_shortest_list() -> None:
    request = ADAPTER.health_request(TO)
    assert request is not None
    assert (request.method, request.url) == ("GET", "https://api.anthropic.com/v1/models?limit=1")
    assert request.headers["x-api-key"] == TO.secret
