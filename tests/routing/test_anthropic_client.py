"""The real `anthropic` client against us: whoever answers, it reads blocks, and raises what it raises elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.routing.gate import Gate
from tests.upstream import Upstream

TEXT = "Hello from upstream."
ASKED: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(gate: Gate) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=gate.secret, base_url=gate.url, timeout=10.0, max_retries=0) as made:
        yield made


def test_a_plain_answer(client: anthropic.Anthropic, first: Upstream) -> None:
    answer = client.messages.create(model="a:ok", max_tokens=50, messages=ASKED, system="Be brief.")
    assert [block.text for block in answer.content if block.type == "text"] == [TEXT]
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 4)
    assert answer._request_id is not None
    sent = first.requests[-1].json
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["max_tokens"] == 50


def test_a_streamed_answer(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="a:ok", max_tokens=50, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == TEXT
        last = stream.get_final_message()
    assert last.stop_reason == "end_turn"
    assert (last.usage.input_tokens, last.usage.output_tokens) == (9, 4)


@pytest.mark.parametrize("streamed", [True, False])
def test_tools(client: anthropic.Anthropic, streamed: bool) -> None:
    tools: Any = [{"name": "lookup", "input_schema": {"type": "object"}}]
    asked: dict[str, Any] = {"model": "a:tools", "max_tokens": 50, "messages": ASKED, "tools": tools}
    if streamed:
        with client.messages.stream(**asked) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Riga"}]
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("a:nothing", anthropic.NotFoundError, 404),
        ("nobody:ok", anthropic.BadRequestError, 400),
        ("a:429", anthropic.RateLimitError, 429),
        ("a:401", anthropic.InternalServerError, 502),
    ],
)
def test_errors(client: anthropic.Anthropic, model: str, error: type[anthropic.APIStatusError], status: int) -> None:
    with pytest.raises(error) as raised:
        client.messages.create(model=model, max_tokens=5, messages=ASKED)
    assert raised.value.status_code == status
    body: Any = raised.value.body
    assert body["type"] == "error"
    assert body["request_id"].startswith("req_")


def test_a_wrong_key_is_refused_in_its_own_words(gate: Gate) -> None:
    stranger = anthropic.Anthropic(api_key="test-key-nobody", base_url=gate.url, max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError) as raised:
        stranger.messages.create(model="a:ok", max_tokens=5, messages=ASKED)
    body: Any = raised.value.body
    assert body["error"]["type"] == "authentication_error"


def test_a_stream_that_is_cut_raises(client: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(model="a:cuts", max_tokens=5, messages=ASKED) as stream,
    ):
        stream.until_done()


def test_a_request_that_is_wrong_names_the_field(client: anthropic.Anthropic) -> None:
    wrong: Any = [{"role": "user", "content": [{"type": "video"}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.content\[0\]"):
        client.messages.create(model="a:ok", max_tokens=5, messages=wrong)
