"""What the answers, streams and refusals of Ollama's own API mean."""

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
    Ended,
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
from providers.errors import Interrupted, InvalidAnswer, Overloaded, ProviderError, TooLarge
from providers.registry import KINDS
from providers.sse import EVENT_BYTES
from providers.wiring import HttpAnswer, ListedModel, Target
from tests.cloud import recorded
from tests.providers.talk import Said, asks, check_rubbish, cut, heard, values_of

ADAPTER = adapter_for(KINDS["ollama"])


def to(base_url: str = "", secret: str = "", **options: Any) -> Target:
    row = KINDS["ollama"]
    return Target(1, "house", row, base_url or row.base_url, "gpt-oss:20b", secret=secret, options=options)


def played(data: bytes | Iterable[bytes]) -> Said:
    return heard(ADAPTER.decoder(asks(stream=True), to()), data)


def answered(body: bytes) -> ChatAnswer:
    return ADAPTER.chat_answer(HttpAnswer(200, {}, body), to())


def recording(name: str) -> bytes:
    return recorded(f"ollama/{name}")


# -- whole answers ------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    answer = answered(recording("plain.json"))
    assert (answer.model, answer.text, answer.reasoning) == ("gpt-oss:20b", "A map, Zürich.", "The user wants a map.")
    assert answer.finish is FinishReason.STOP
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.completion) == (42, 17)
    assert 0 < answer.usage.output < answer.usage.reasoning + answer.usage.output


def test_tools_are_called_though_it_says_stop() -> None:
    answer = answered(recording("tools.json"))
    first, second = answer.tool_calls
    assert first == ToolCallDelta(0, "call_1", "lookup", '{"city":"Riga"}')
    assert (second.name, second.arguments) == ("now", "{}")
    assert second.id.startswith("call_")
    assert answer.finish is FinishReason.TOOL_CALLS
    assert answer.usage == Usage(42, output=17)


def line(**more: Any) -> bytes:
    return json.dumps({"model": "m", "message": {"role": "assistant", "content": "Hi."}} | more).encode() + b"\n"


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, None),
        ({"eval_count": 3}, None),
        ({"prompt_eval_count": 5}, Usage(5)),
        ({"prompt_eval_count": 5, "eval_count": 3}, Usage(5, output=3)),
        ({"prompt_eval_count": -5, "eval_count": 3}, None),
    ],
)
def test_counts_that_are_left_out(counts: Any, usage: Usage | None) -> None:
    assert answered(line(done=True, **counts)).usage == usage


@pytest.mark.parametrize(
    ("native", "reason"), [("stop", "stop"), ("length", "length"), ("load", "error"), ("unload", "error"), ("", "stop")]
)
def test_finish_reasons(native: str, reason: str) -> None:
    assert answered(line(done=True, done_reason=native)).finish == reason


@pytest.mark.parametrize(
    "body",
    [b"", b" \n", b"{", b"{}", b"[]", b"null", b"<html>", b"data: {}\n\n", b'{"message":7,"done":true}',
     b'{"model":"\xff"}', b'{"message":{"content":"A"},"done":false}'],
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidAnswer):
        answered(body)


def test_an_error_with_a_status_of_200() -> None:
    with pytest.raises(Overloaded, match="terminated"):
        answered(b'{"error":"llama runner process has terminated"}')


# -- streams ----------------------------------------------------------------------------


def test_a_stream_with_thoughts() -> None:
    whole = answered(recording("plain.json"))
    assert whole.usage is not None
    assert played(recording("thinking.ndjson")).events == [
        Start("", "gpt-oss:20b"),
        ReasoningDelta("The user "),
        ReasoningDelta("wants a map."),
        TextDelta("A map, "),
        TextDelta("Zürich."),
        Finish(FinishReason.STOP, "stop"),
        UsageReport(whole.usage),
        Ended(),
    ]


def test_a_stream_with_tools() -> None:
    said = played(recording("tools.ndjson"))
    calls = said.of(ToolCallDelta)
    assert [(one.index, one.name, one.arguments) for one in calls] == [
        (0, "lookup", '{"city":"Riga"}'),
        (1, "now", "{}"),
    ]
    assert len({one.id for one in calls}) == 2
    assert said.finish == Finish(FinishReason.TOOL_CALLS, "stop")


def test_a_stream_that_counts_nothing() -> None:
    said = played(recording("uncounted.ndjson"))
    assert (said.text, said.usage) == ("Hi.", None)
    assert said.finish == Finish(FinishReason.LENGTH, "length")


def test_an_error_in_a_stream() -> None:
    said = played(recording("fails.ndjson"))
    assert said.text == "A map"
    assert said.failure.message == "house: llama runner process has terminated"


@pytest.mark.parametrize("lines", range(1, 5))
def test_a_stream_that_stops_too_soon(lines: int) -> None:
    with pytest.raises(Interrupted):
        played(b"\n".join(recording("thinking.ndjson").split(b"\n")[:lines]) + b"\n")


def test_a_last_line_may_lack_its_end_and_nothing_counts_after_it() -> None:
    data = recording("thinking.ndjson")
    assert played(data.rstrip()).events == played(data + line() + b"{oops").events == played(data).events


@pytest.mark.parametrize("said", [b"{oops", b"7", b'{"message":{"tool_calls":[{}]}}', b'{"model":"\xff"}'])
def test_a_line_that_cannot_be_read_is_reported_after_what_came_before(said: bytes) -> None:
    seen = played(line() + said + b"\n" + line(done=True))
    failed = seen.failure
    assert seen.text == "Hi."
    assert failed.reason == "upstream_protocol_error"


def test_lines_of_a_sort_nobody_knows_prove_that_it_is_there() -> None:
    assert played(b'{"status":"loading"}\n' + line(done=True)).events[0] == KeepAlive()


@given(
    name=st.sampled_from(["thinking.ndjson", "tools.ndjson", "fails.ndjson", "plain.json"]),
    places=st.lists(st.integers(0, 10_000), max_size=20),
)
@settings(max_examples=150)
def test_any_cut_gives_the_same_events(name: str, places: list[int]) -> None:
    data = recording(name)
    assert played(cut(data, places)).words == played([data]).words


NAMES = ["model", "created_at", "message", "content", "thinking", "tool_calls", "function", "name", "arguments", "done",
         "done_reason", "prompt_eval_count", "eval_count", "error", "id"]  # fmt: skip
VALUES = values_of(NAMES)


@given(
    st.lists(
        st.binary(max_size=40)
        | VALUES.map(lambda value: json.dumps(value).encode() + b"\n")
        | st.sampled_from([each + b"\n" for each in recording("tools.ndjson").split(b"\n")]),
        max_size=10,
    )
)
@settings(max_examples=300)
def test_garbage_raises_nothing_but_ours(garbage: list[bytes]) -> None:
    check_rubbish(played, garbage)


def test_what_never_ends_is_not_kept() -> None:
    decoder = ADAPTER.decoder(asks(stream=True), to())
    for _ in range(EVENT_BYTES // 500_000):
        decoder.feed(b"x" * 500_000)
    with pytest.raises(TooLarge):
        decoder.feed(b"x" * 500_000)


# -- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, '"gemma:2b" does not support tools', "BadRequest"),
        (400, '"gemma:2b" does not support thinking', "BadRequest"),
        (400, "prompt is longer than the context length currently available", "ContextTooLong"),
        (400, "the input length exceeds the context length", "ContextTooLong"),
        (400, "prompt too long; exceeded max context length by 9 tokens", "ContextTooLong"),
        (401, "unauthorized", "BadCredentials"),
        (404, 'model "x" not found, try pulling it first', "ModelNotFound"),
        (429, "you've reached your hourly usage limit", "RateLimited"),
        (499, "request canceled", "Overloaded"),
        (500, "model requires more system memory (9 GiB) than is available (4 GiB)", "Overloaded"),
        (502, "upstream error", "Overloaded"),
        (503, "server busy, please try again.  maximum pending requests exceeded", "Overloaded"),
    ],
)
def test_refusals(status: int, words: str, kind: str) -> None:
    made = ADAPTER.error(HttpAnswer(status, {}, json.dumps({"error": words}).encode()), to())
    assert type(made).__name__ == kind
    assert made.upstream_status == status
    assert made.message == f"house: {' '.join(words.split())}"


# -- models and embeddings ----------------------------------------------------------------


def models(body: bytes, **options: Any) -> list[ListedModel]:
    return ADAPTER.models_answer(HttpAnswer(200, {}, body), to(**options))


def test_the_list_of_models() -> None:
    nothing = {"tools": False, "vision": False, "reasoning": False}
    assert models(recording("tags.json")) == [
        ListedModel("gpt-oss:20b", 131072, capabilities=nothing | {"tools": True, "reasoning": True}),
        ListedModel("nomic-embed-text:latest", 2048, embedding=True),
        ListedModel("llava:7b", capabilities=nothing | {"vision": True}),
        ListedModel("mxbai-embed-large:latest", embedding=True),
        ListedModel("old:latest"),
    ]


def test_no_window_is_larger_than_models_are_loaded_with() -> None:
    assert [model.context for model in models(recording("tags.json"), num_ctx=8192)] == [8192, 2048, 8192, 8192, 8192]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"<html>", b'{"models":7}', b"\xff", b'{"error":"x"}'])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(ProviderError):
        models(body)


def test_embeddings() -> None:
    answer = ADAPTER.embedding_answer(HttpAnswer(200, {}, recording("embed.json")), to())
    assert (answer.model, answer.vectors) == ("nomic-embed-text", [[0.1, -0.2], [0.3, 0.4]])
    assert answer.usage == Usage(input=4)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"embeddings":[7]}', b'{"error":"x"}', b"\xff"])
def test_what_are_no_embeddings(body: bytes) -> None:
    with pytest.raises(ProviderError):
        ADAPTER.embedding_answer(HttpAnswer(200, {}, body), to())
