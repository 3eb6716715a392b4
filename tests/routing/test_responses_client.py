"""The real `openai` client on `/v1/responses`: whoever answers, items come, and nothing is stored in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.routing.gate import Gate
from tests.upstream import Upstream

TEXT = "Hello from upstream."
TOOLS: Any = [{"type": "function", "name": "lookup", "parameters": {"type": "object"}, "strict": False}]


@pytest.fixture
def client(gate: Gate) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=gate.secret, base_url=f"{gate.url}/v1", timeout=10.0, max_retries=0) as made:
        yield made


def test_a_plain_answer(client: openai.OpenAI, first: Upstream) -> None:
    answer = client.responses.create(model="a:ok", input="Say hello.", instructions="Be brief.", max_output_tokens=50)
    assert answer.output_text == TEXT
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 13
    assert first.requests[-1].json["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_streamed_answer(client: openai.OpenAI) -> None:
    with client.responses.stream(model="a:ok", input="Say hello.") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        last = stream.get_final_response()
    assert text == last.output_text == TEXT
    assert last.usage is not None
    assert last.usage.total_tokens == 13


@pytest.mark.parametrize("streamed", [True, False])
def test_a_tool_and_its_result(client: openai.OpenAI, first: Upstream, streamed: bool) -> None:
    asked: dict[str, Any] = {"model": "a:tools", "tools": TOOLS}
    question = {"role": "user", "content": "Where?"}
    if streamed:
        with client.responses.stream(input=[question], **asked) as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(input=[question], **asked)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert call.arguments == '{"city": "Riga"}'
    items: list[Any] = [question, *(item.to_dict() for item in answer.output)]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "42"})
    assert client.responses.create(model="a:ok", input=items).output_text == TEXT
    roles = [message["role"] for message in first.requests[-1].json["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_what_needs_a_store_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.responses.create(model="a:ok", input="And?", previous_response_id="resp_1")


def test_a_stream_that_is_cut_raises(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError), client.responses.stream(model="a:cuts", input="Say hello.") as stream:
        stream.until_done()
