"""What the answers, streams and refusals of the Responses wire mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.adapters import ADAPTERS
from providers.chat import (
    ChatAnswer,
    Citation,
    Ended,
    Finish,
    FinishReason,
    KeepAlive,
    Start,
    State,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    Wire,
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
    Refused,
)
from providers.wiring import HttpAnswer, ListedModel, Target
from tests.cloud import recorded
from tests.providers.talk import Said, asks, check_rubbish, cut, event, every_byte, heard
from tests.providers.test_responses_requests import ADAPTER, to

TARGETS = {"openai": to(), "perplexity": to("perplexity", "perplexity/sonar")}
RIGA = Citation("https://example.org/riga", "Riga", 0, 4)
FOUND = [Citation("https://example.org", "A"), Citation("https://example.net/b", "B")]
USAGE = Usage(50, 64, 6, 7, 8)
SEARCHED = Usage(800, 100, 0, 60, reported_nano=2_875_000)
TEXTS = ["openai-text", "openai-thinking", "openai-incomplete", "openai-refused", "perplexity-search",
         "perplexity-tools"]  # fmt: skip
STREAMS = [*TEXTS, "openai-failed", "openai-error", "perplexity-failed"]


def target_of(name: str) -> Target:
    return TARGETS[name.partition("-")[0]]


def recording(name: str) -> bytes:
    return recorded(f"responses/{name}")


def played(data: bytes | Iterable[bytes], to: Target = TARGETS["openai"]) -> Said:
    return heard(ADAPTER.decoder(asks(stream=True), to), data)


def told(name: str) -> Said:
    return played(recording(f"{name}.sse"), target_of(name))


def answered(body: bytes, to: Target = TARGETS["openai"], content_type: str = "application/json") -> ChatAnswer:
    return ADAPTER.chat_answer(HttpAnswer(200, {"content-type": content_type}, body), to)


def read(name: str) -> ChatAnswer:
    return answered(recording(f"{name}.json"), target_of(name))


def kept(state: State | None) -> list[list[str]]:
    assert state is not None
    listed = json.loads(state.data)
    return [[one["type"], one.get("call_id") or one.get("item", {}).get("encrypted_content", "")] for one in listed]


ORDER = [["reasoning", "c2VhbGVk"], ["message", ""], ["function_call", "call_a"], ["reasoning", "c2VhbGVkMg"],
         ["function_call", "call_b"]]  # fmt: skip

# -- whole answers ------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = read("openai-plain")
    assert (answer.id, answer.model, answer.text) == ("resp_1", "gpt-6-astra", "A map.")
    assert (answer.finish, answer.usage, answer.state) == (FinishReason.STOP, USAGE, None)
    assert USAGE.total == 135


def test_thoughts_and_calls_in_their_order() -> None:
    answer = read("openai-thinking")
    assert (answer.text, answer.reasoning, answer.finish) == ("One moment.", "Five is odd.", FinishReason.TOOL_CALLS)
    assert answer.tool_calls == [
        ToolCallDelta(0, "call_a", "lookup", '{"city": "Riga"}'),
        ToolCallDelta(1, "call_b", "now", "{}"),
    ]
    assert answer.state is not None
    assert answer.state.vendor == "openai"
    assert kept(answer.state) == ORDER


def test_an_answer_that_was_cut_short() -> None:
    answer = read("openai-incomplete")
    assert (answer.text, answer.finish) == ("A m", FinishReason.LENGTH)


def test_what_was_searched_and_what_it_cost() -> None:
    answer = read("perplexity-plain")
    assert (answer.text, answer.citations, answer.finish) == ("This [1].", FOUND, FinishReason.STOP)
    assert answer.usage == SEARCHED
    assert answered(recording("perplexity-plain.json")).usage == Usage(800, 100, 0, 60), "others are not believed"


def test_a_call_that_was_signed() -> None:
    answer = read("perplexity-tools")
    assert [call.id for call in answer.tool_calls] == ["call_a"]
    assert answer.finish is FinishReason.TOOL_CALLS
    assert answer.state == State(
        "perplexity", '[{"type":"function_call","call_id":"call_a","thought_signature":"c2lnbmVk"}]'
    )


def test_an_answer_that_failed() -> None:
    with pytest.raises(Overloaded, match="had an error"):
        read("openai-failed")
    with pytest.raises(Overloaded, match="cancelled"):
        answered(b'{"object":"response","status":"cancelled"}')


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"<html>", b"{}", b'{"object":"response","output":7}', b'{"object":"list"}', b"\xff",
     b'{"object":"response","status":"in_progress"}'],
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        answered(body)


def test_a_stream_instead_of_a_whole_answer_is_collected() -> None:
    answer = answered(recording("openai-thinking.sse"), content_type="text/event-stream")
    assert [call.arguments for call in answer.tool_calls] == ['{"city": "Riga"}', "{}"]
    assert kept(answer.state) == ORDER
    with pytest.raises(RateLimited):
        answered(recording("openai-failed.sse"))
    with pytest.raises(InvalidAnswer):
        answered(recording("openai-text.sse")[:900])


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, output=5)),
        ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
          "input_tokens_details": {"cached_tokens": 12}, "output_tokens_details": {"reasoning_tokens": 9}},
         Usage(0, 10, 0, 0, 5)),
        ({"input_tokens": 10, "output_tokens": 5, "total_tokens": 20,
          "input_tokens_details": {"cache_read_input_tokens": 4, "cache_creation_input_tokens": 1}},
         Usage(10, 4, 1, 5)),
        ({"input_tokens": -1, "output_tokens": 5}, None),
        ({"input_tokens": 1}, None),
        (None, None),
    ],
)  # fmt: skip
def test_buckets_are_disjoint(usage: Any, counted: Usage | None) -> None:
    body = {"object": "response", "status": "completed", "output": [], "usage": usage}
    assert answered(json.dumps(body).encode()).usage == counted


@pytest.mark.parametrize("cost", [None, {"currency": "EUR", "total_cost": 1}, {"total_cost": -1}, {"total_cost": 1e9}])
def test_costs_that_are_none(cost: Any) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "cost": cost}
    body = {"object": "response", "status": "completed", "output": [], "usage": usage}
    assert answered(json.dumps(body).encode(), TARGETS["perplexity"]).usage == Usage(1, output=1)


# -- streams ----------------------------------------------------------------------------


def test_a_stream_of_text() -> None:
    said = told("openai-text")
    assert [one for one in said.events if not isinstance(one, KeepAlive)] == [
        Start("resp_1", "gpt-6-astra"),
        TextDelta("Riga, "),
        TextDelta("Zürich."),
        RIGA,
        Finish(FinishReason.STOP, "completed"),
        UsageReport(USAGE),
        Ended(),
    ]


def test_a_stream_with_thoughts_and_tools_in_pieces() -> None:
    said = told("openai-thinking")
    assert said.reasoning == "Five is odd.\n\nSo ask."
    assert said.of(ToolCallDelta) == [
        ToolCallDelta(0, "call_a", "lookup"),
        ToolCallDelta(0, arguments='{"city":'),
        ToolCallDelta(0, arguments=' "Riga"}'),
        ToolCallDelta(1, "call_b", "now"),
        ToolCallDelta(1, arguments="{}"),
    ]
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "completed")
    [state] = said.of(State)
    assert kept(state) == ORDER


def test_a_stream_of_an_agent() -> None:
    said = told("perplexity-search")
    assert (said.text, said.reasoning) == ("This [1].", "Let me look.\n\nFound.")
    assert said.of(Citation) == FOUND, "each once, also when the list at the end has another order"
    assert said.usage == SEARCHED


def test_calls_that_come_whole() -> None:
    said = told("perplexity-tools")
    assert said.of(ToolCallDelta) == [
        ToolCallDelta(0, "call_a", "lookup"),
        ToolCallDelta(0, arguments='{"city": "Riga"}'),
    ]
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "requires_action")
    assert len(said.of(State)) == 1


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("openai-incomplete", "A m", FinishReason.CONTENT_FILTER),
        ("openai-refused", "I cannot.", FinishReason.STOP),
    ],
)
def test_other_ends(name: str, text: str, reason: FinishReason) -> None:
    said = told(name)
    assert said.finish is not None
    assert (said.text, said.finish.reason) == (text, reason)
    assert said.events[-1] == Ended()


@pytest.mark.parametrize("name", ["openai-plain", "openai-thinking", "perplexity-plain", "perplexity-tools"])
def test_what_was_not_streamed_is_taken_from_the_end(name: str) -> None:
    """The end says everything once more: alone it must mean the same."""
    whole = json.loads(recording(f"{name}.json"))
    said = played(event("response.completed", response=whole), target_of(name))
    answer = read(name)
    assert said.events[0] == Start(answer.id, answer.model)
    assert (said.text, said.usage) == (answer.text, answer.usage)
    assert said.of(Citation) == answer.citations
    assert said.of(State) == ([answer.state] if answer.state else [])
    assert [call.arguments for call in said.of(ToolCallDelta) if call.arguments] == [
        call.arguments for call in answer.tool_calls
    ]


def test_sources_that_are_only_named_at_the_end() -> None:
    created, *_ = recording("openai-text.sse").split(b"\n\n")
    annotation = {"type": "url_citation", "url": RIGA.url, "title": "Riga", "start_index": 0, "end_index": 4}
    part = {"type": "output_text", "text": "Riga.", "annotations": [annotation]}
    response = {"status": "completed", "output": [{"type": "message", "content": [part]}]}
    said = played(
        created + b"\n\n" + event("response.output_text.delta", delta="Riga.") + event(
            "response.completed", response=response)
    )  # fmt: skip
    assert (said.text, said.of(Citation)) == ("Riga.", [RIGA])


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("openai-failed", "A ", RateLimited),
        ("openai-error", "", Overloaded),
        ("perplexity-failed", "", ModelNotFound),
    ],
)
def test_errors_in_the_middle(name: str, text: str, error: type[ProviderError]) -> None:
    said = told(name)
    assert type(said.failure) is error
    assert said.text == text


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("server_error", Overloaded),
        ("rate_limit_exceeded", RateLimited),
        ("insufficient_quota", QuotaExhausted),
        ("invalid_prompt", Refused),
        ("bio_policy", Refused),
        ("invalid_image_url", BadRequest),
        ("context_length_exceeded", ContextTooLong),
        ("something_new", Overloaded),
        (None, Overloaded),
    ],
)
def test_each_error_of_a_stream(code: str | None, error: type[ProviderError]) -> None:
    for data in (
        event("error", code=code, message="No.", param=None),
        event("error", error={"code": code, "message": "No."}),
        event("response.failed", response={"status": "failed", "error": {"code": code, "message": "No."}}),
        event("response.completed", response={"status": "failed", "error": {"code": code, "message": "No."}}),
        b'data: {"error":{"code":%s,"message":"No."}}\n\n' % json.dumps(code).encode(),
    ):
        failed = played(data).failure
        assert type(failed) is error
        assert "No." in failed.message


@pytest.mark.parametrize("name", TEXTS)
def test_a_stream_without_its_end_was_interrupted(name: str) -> None:
    whole = recording(f"{name}.sse")
    for place in [n for n in range(len(whole)) if whole[n : n + 6] == b"event:"]:
        with pytest.raises(InvalidAnswer if place == 0 else Interrupted):
            played(whole[:place], target_of(name))


def test_a_mark_of_the_other_door_is_tolerated_and_is_no_end() -> None:
    said = played(recording("openai-text.sse") + b"data: [DONE]\n\n")
    assert said.events == told("openai-text").events
    with pytest.raises(Interrupted):
        played(event("response.output_text.delta", delta="a") + b"data: [DONE]\n\n")


def test_json_instead_of_a_stream_is_told_as_one() -> None:
    body = recording("perplexity-plain.json")
    said = played([b"\n", body[:40], body[40:]], TARGETS["perplexity"])
    assert (said.text, said.of(Citation), said.usage) == ("This [1].", FOUND, SEARCHED)
    assert said.events[-1] == Ended()
    with pytest.raises(QuotaExhausted):
        played(b'{"error":{"message":"Pay.","type":"insufficient_quota"}}')


def test_what_is_newer_than_this_is_left_out() -> None:
    said = played(
        event("response.web_search_call.searching", output_index=0, item_id="ws_1")
        + event("response.function_call_arguments.delta", output_index=7, delta="lost")
        + event("response.completed", response={"output": [{"type": "web_search_call", "id": "ws_1"}]})
    )
    assert said.events == [KeepAlive(), Start("", "gpt-6-astra"), Finish(FinishReason.STOP, "completed"), Ended()]


@given(
    st.sampled_from(STREAMS), st.lists(st.integers(0, 5000), max_size=8), st.sampled_from([b"\n", b"\r\n", b"\r"])
)  # fmt: skip
def test_streams_in_any_pieces_say_the_same(name: str, places: list[int], line: bytes) -> None:
    data = recording(f"{name}.sse").replace(b"\n", line)
    assert played(cut(data, places), target_of(name)).words == told(name).words


@pytest.mark.parametrize("name", STREAMS)
def test_streams_byte_by_byte_say_the_same(name: str) -> None:
    whole = recording(f"{name}.sse")
    assert played(every_byte(whole), target_of(name)).words == told(name).words


WORDS = st.sampled_from(
    [b"event: ", b"data: ", b"\n", b"\n\n", b"{", b"}", b'{"type":"response.completed"}', b'"error":', b'"delta":7',
     b'{"type":"response.output_item.done","item":{"type":"function_call"}}', b"[DONE]", b"\xff", b"<", b"null"]
)  # fmt: skip


@given(st.lists(st.binary(max_size=40) | WORDS, max_size=12))
@example([b'data: {"type":"response.completed","response":{"output":[null]}}\n\n'])
def test_garbage_raises_nothing_but_our_own(pieces: list[bytes]) -> None:
    check_rubbish(played, pieces, answered)


# -- refusals and lists -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": {"message": "Bad model", "type": "invalid_model", "code": 400}}, ModelNotFound),
        (401, {"error": {"message": "No.", "type": "invalid_api_key", "code": 401}}, BadCredentials),
        (401, {"error": {"message": "Pay.", "type": "insufficient_quota", "code": 401}}, QuotaExhausted),
        (422, {"detail": [{"loc": ["body", "input"], "msg": "Field required"}]}, BadRequest),
        (429, {"error": {"message": "Slow down.", "code": 429}}, RateLimited),
        (500, {"error": {"message": "Broken.", "code": 500}}, Overloaded),
        (401, "<html>Unauthorized</html>", BadCredentials),
    ],
)
def test_each_refusal(status: int, body: Any, error: type[ProviderError]) -> None:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert type(ADAPTER.error(HttpAnswer(status, {}, data), TARGETS["perplexity"])) is error


def test_the_list_of_models() -> None:
    request = ADAPTER.models_request(TARGETS["perplexity"])
    assert request is not None
    assert request.url == "https://api.perplexity.ai/v1/models"
    answer = HttpAnswer(200, {}, recording("perplexity-models.json"))
    assert ADAPTER.models_answer(answer, TARGETS["perplexity"]) == [
        ListedModel("perplexity/sonar"),
        ListedModel("openai/gpt-6-sol"),
    ]
    assert ADAPTER.health_request(TARGETS["perplexity"]) == request
    assert ADAPTERS[Wire.RESPONSES] is ADAPTER
