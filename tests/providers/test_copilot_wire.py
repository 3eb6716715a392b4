"""Microsoft 365 Copilot against its documented bodies: a conversation is opened and asked, its snapshots told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.copilot import CopilotAdapter
from providers.chat import Citation, EmbeddingRequest, Ended, Failed, Finish, FinishReason, Start, TextDelta
from providers.errors import BadCredentials, BadRequest, Interrupted, InvalidAnswer, ProviderError, RateLimited
from providers.registry import KINDS
from providers.wiring import HttpAnswer, Opening, Target
from tests.cloud import recorded
from tests.providers.talk import Said, asks, check_rubbish, cut, heard
from tests.providers.test_registry import EVERYTHING

ADAPTER = CopilotAdapter()
QUESTION = "Summarise my day"
CITED = Citation("https://example.org/calendar", "Calendar")


def to(secret: str = "Bearer test-token", **options: Any) -> Target:
    row = KINDS["copilot"]
    return Target(1, "copilot", row, row.base_url, "microsoft-365-copilot", secret=secret, options=options)


def sent(*, options: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return json.loads(ADAPTER.chat_request(asks(**fields), to(**(options or {})))[0].body)


def played(data: bytes | Iterable[bytes]) -> Said:
    return heard(ADAPTER.decoder(asks(QUESTION, stream=True), to()), data)


def snapshot(*texts: str, **more: Any) -> bytes:
    body = {"id": "c-1", "messages": [{"text": text} for text in texts]} | more
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def test_a_conversation_is_opened_first() -> None:
    assert isinstance(ADAPTER, Opening)
    request = ADAPTER.opening_request(to())
    assert (request.method, request.url) == ("POST", "https://graph.microsoft.com/beta/copilot/conversations")
    assert request.body == b"{}"
    assert request.headers["authorization"] == "Bearer test-token"
    opened = ADAPTER.opened(HttpAnswer(201, {}, recorded("copilot/opened.json")), to())
    for stream, end in ((False, "/conversations/c-1/chat"), (True, "/conversations/c-1/chatOverStream")):
        assert ADAPTER.chat_request(asks(stream=stream), opened)[0].url.endswith(end)
    with pytest.raises(InvalidAnswer):
        ADAPTER.opened(HttpAnswer(201, {}, b"{}"), to())


def test_a_whole_request() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": QUESTION},
    ]
    assert sent(messages=messages, options={"time_zone": "Europe/Riga", "web": False}) == {
        "message": {"text": QUESTION},
        "locationHint": {"timeZone": "Europe/Riga"},
        "additionalContext": [
            {"text": "Be brief.", "description": "system"},
            {"text": "Hello", "description": "earlier user"},
            {"text": "Hi.", "description": "earlier assistant"},
        ],
        "contextualResources": {"webContext": {"isWebEnabled": False}},
    }
    assert sent() == {"message": {"text": "Hello?"}, "locationHint": {"timeZone": "UTC"}}


def test_nothing_is_dropped_in_silence() -> None:
    _, warnings = ADAPTER.chat_request(asks(**EVERYTHING), to())
    once = {"max_completion_tokens": "max_tokens", "safety_identifier": "user"}
    for name in EVERYTHING.keys() - {"messages", "stream_options"}:
        assert any(f"'{once.get(name, name)}'" in warning for warning in warnings), name


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
        [{"role": "user", "content": "  "}],
        [{"role": "system", "content": "Be brief."}],
    ],
    ids=["picture", "answered", "blank", "nothing"],
)
def test_what_it_cannot_be_asked(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(messages=messages)
    assert not caught.value.sent


def test_no_sign_in_no_request() -> None:
    for secret in ("", "a\nb"):
        with pytest.raises(BadCredentials):
            ADAPTER.chat_request(asks(), to(secret))


def test_a_whole_answer() -> None:
    answer = ADAPTER.chat_answer(HttpAnswer(200, {}, recorded("copilot/plain.json")), to())
    assert (answer.id, answer.model, answer.text) == ("c-1", "microsoft-365-copilot", "You have two meetings.")
    assert (answer.finish, answer.usage) == (FinishReason.STOP, None)
    assert answer.citations == [CITED]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id":"c","messages":[{"text":"q"}]}', b'{"error":{"code":"x","message":"y"}}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(ProviderError):
        ADAPTER.chat_answer(HttpAnswer(200, {}, body), to())


def test_a_stream_gives_what_is_new_in_each_snapshot() -> None:
    assert played(recorded("copilot/stream.sse")).events == [
        Start("c-1", "microsoft-365-copilot"),
        TextDelta("You have"),
        TextDelta(" two"),
        TextDelta(" meetings."),
        CITED,
        Finish(FinishReason.STOP, "active"),
        Ended(),
    ]


def test_a_text_that_is_written_anew_is_given_whole() -> None:
    said = played(snapshot("You have") + snapshot("You have") + snapshot("You") + snapshot("Today: two."))
    assert said.text == "You have\n\nToday: two."


def test_a_reply_may_repeat_the_question() -> None:
    assert played(snapshot(QUESTION) + snapshot(QUESTION, QUESTION)).text == QUESTION


def test_a_reply_that_was_stopped() -> None:
    said = played(snapshot("I can", state="disengagedForRai"))
    assert said.finish is not None
    assert said.finish.reason is FinishReason.CONTENT_FILTER


@pytest.mark.parametrize("data", [b"", snapshot(QUESTION), b": hello\n\n"], ids=["nothing", "question", "comment"])
def test_a_stream_without_a_reply(data: bytes) -> None:
    with pytest.raises(Interrupted):
        played(data)


@pytest.mark.parametrize(
    "data", [b"data: nonsense\n\n", b'data: {"error":{"code":"x","message":"Busy."}}\n\n'], ids=["nonsense", "error"]
)
def test_a_stream_that_fails(data: bytes) -> None:
    said = played(snapshot("You") + data + snapshot("You have"))
    assert said.text == "You"
    assert isinstance(said.events[-1], Failed)


@given(places=st.lists(st.integers(0, 10_000), max_size=20))
@settings(max_examples=100)
def test_any_cut_gives_the_same_events(places: list[int]) -> None:
    data = recorded("copilot/stream.sse")
    assert played(cut(data, places)).events == played(data).events


@given(
    garbage=st.lists(
        st.binary(max_size=40) | st.sampled_from([b"data: ", b"{}", b"\n\n", b'{"messages":7}']), max_size=10
    )
)
@settings(max_examples=200)
def test_garbage_raises_nothing_but_ours(garbage: list[bytes]) -> None:
    check_rubbish(played, garbage)


@pytest.mark.parametrize(
    ("status", "headers", "code", "kind"),
    [
        (401, {}, "InvalidAuthenticationToken", BadCredentials),
        (403, {}, "Forbidden", BadCredentials),
        (429, {"retry-after": "7"}, "TooManyRequests", RateLimited),
    ],
)
def test_refusals(status: int, headers: dict[str, str], code: str, kind: type[ProviderError]) -> None:
    body = {"error": {"code": code, "message": "No.", "innerError": {"request-id": "r", "date": "2026-11-21"}}}
    error = ADAPTER.error(HttpAnswer(status, headers, json.dumps(body).encode()), to())
    assert type(error) is kind
    assert error.message == "copilot: No."
    assert error.retry_after == (7 if kind is RateLimited else None)


def test_what_it_has_not() -> None:
    assert ADAPTER.models_request(to()) is None
    assert ADAPTER.health_request(to()) is None
    with pytest.raises(BadRequest):
        ADAPTER.embedding_request(EmbeddingRequest(["hi"]), to())
