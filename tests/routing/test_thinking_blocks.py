"""Signed thinking in a stream of Messages: the real client gets whole blocks, and what it sends back is what came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import anthropic
import pytest
from django.test import override_settings

from tests.cloud import LOOPBACK, Answer, Cloud, pieces, recorded, whole
from tests.providers.talk import cut
from tests.routing.gate import Gate, connect
from tests.upstream import Seen

SECRET = "test-key-0123456789"
TIMES: dict[str, Any] = {
    "timeout_seconds": 30,
    "options": {"connect_seconds": 5, "first_event_seconds": 10, "idle_seconds": 10},
}
QUESTION = {"role": "user", "content": "What is the hour in Zürich?"}
LOOKUP: Any = {"name": "lookup", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
THOUGHTS = [
    {"type": "thinking", "thinking": 'They ask about "Zürich".\nSo: look\u2028it up \\ first 🗺',
     "signature": "RXFRQkNnSVlBaElN+/MWdiY0RhOUdKd1o="},
    {"type": "thinking", "thinking": "And the hour.", "signature": "c2Vjb25k"},
    {"type": "redacted_thinking", "data": "c2VhbGVkIHRob3VnaHQ+/w=="},
    {"type": "thinking", "thinking": "", "signature": "b25seSBhIHNpZ25hdHVyZQ=="},
]  # fmt: skip


def claude(seen: Seen) -> Answer:
    """It thinks and calls; with the result in hand it says its word."""
    results = seen.json["messages"][-1]["content"]
    done = any(block["type"] == "tool_result" for block in results if isinstance(block, dict))
    data = recorded(f"anthropic/anthropic-{'text' if done else 'thinking-tools'}.sse")
    return pieces(*cut(data, range(41, len(data), 41)), content_type="text/event-stream")


def answers(seen: Seen) -> Answer:
    if seen.path == "/v1/messages":
        return claude(seen)
    if seen.path == "/v1/chat/completions":
        return pieces(recorded("openai/deepseek-thinking.sse"), content_type="text/event-stream")
    return whole({"error": {"message": "Nothing here."}}, 404)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Cloud]:
    with Cloud(answers) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def gate(committed: None, vendor: Cloud, http: Any) -> Iterator[Gate]:
    connect("claude", vendor.url, ["sonnet"], kind="anthropic", secret=SECRET, **TIMES)
    connect("house", f"{vendor.url}/v1", ["thinker"], kind="vllm", **TIMES)
    with override_settings(PRIVATE_NETWORKS=LOOPBACK), Gate(http=http) as gate:
        yield gate


@pytest.fixture
def client(gate: Gate) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=gate.secret, base_url=gate.url, timeout=30.0, max_retries=0) as made:
        yield made


def ask(client: anthropic.Anthropic, model: str, *turns: Any) -> tuple[Any, list[Any]]:
    """The whole message as the client puts it together, and the events it made that of."""
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    given: dict[str, Any] = {"model": model, "max_tokens": 4096, "messages": [QUESTION, *turns], "tools": [LOOKUP]}
    events = list(client.messages.create(**given, thinking=thinking, stream=True))
    with client.messages.stream(**given, thinking=thinking) as stream:
        return stream.get_final_message(), events


def steps(events: list[Any]) -> list[str]:
    """What happens to the blocks, by number; the same thing several times over is told once."""
    told = []
    for event in events:
        what = event.delta.type if event.type == "content_block_delta" else ""
        if event.type.startswith("content_block_"):
            told.append(f"{event.index} {what or event.type.removeprefix('content_block_')}")
    return [step for step, _ in groupby(told)]


def test_each_block_is_signed_before_it_ends(client: anthropic.Anthropic) -> None:
    message, events = ask(client, "claude:sonnet")
    assert steps(events) == [
        *("0 start", "0 thinking_delta", "0 signature_delta", "0 stop"),
        *("1 start", "1 thinking_delta", "1 signature_delta", "1 stop"),
        *("2 start", "2 stop"),
        *("3 start", "3 signature_delta", "3 stop"),
        *("4 start", "4 text_delta", "4 stop"),
        *("5 start", "5 input_json_delta", "5 stop"),
    ]
    assert [block.to_dict() for block in message.content[:4]] == THOUGHTS
    assert [block.type for block in message.content[4:]] == ["text", "tool_use"]
    assert message.stop_reason == "tool_use"


def test_a_talk_with_tools_goes_on_with_the_thinking_it_began_with(client: anthropic.Anthropic, vendor: Cloud) -> None:
    message, _ = ask(client, "claude:sonnet")
    result = {"type": "tool_result", "tool_use_id": message.content[-1].id, "content": "14:00"}
    turn = {"role": "assistant", "content": message.content}
    last, _ = ask(client, "claude:sonnet", turn, {"role": "user", "content": [result]})
    assert [block.type for block in last.content] == ["text"]
    sent = vendor.requests[-1]
    assert sent.json["thinking"]["type"] in ("adaptive", "enabled"), "it goes on thinking in the middle of the turn"
    assert sent.json["messages"][1] == {
        "role": "assistant",
        "content": [
            *THOUGHTS,
            {"type": "text", "text": "One moment."},
            {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"city": "Zürich"}},
        ],
    }
    for thought in THOUGHTS:
        assert json.dumps(thought, ensure_ascii=False, separators=(",", ":")).encode() in sent.body


def test_who_signs_nothing_gives_thinking_without_a_signature(client: anthropic.Anthropic, vendor: Cloud) -> None:
    message, events = ask(client, "house:thinker")
    assert steps(events)[:4] == ["0 start", "0 thinking_delta", "0 stop", "1 start"]
    thought = message.content[0]
    assert (thought.type, thought.signature) == ("thinking", "")
    assert thought.thinking
    turn = {"role": "assistant", "content": message.content}
    ask(client, "claude:sonnet", turn, QUESTION)
    assert b"signature" not in vendor.requests[-1].body
    assert thought.thinking not in vendor.requests[-1].body.decode()


def test_the_seal_of_one_vendor_is_not_shown_to_another(client: anthropic.Anthropic, vendor: Cloud) -> None:
    message, _ = ask(client, "claude:sonnet")
    result = {"type": "tool_result", "tool_use_id": message.content[-1].id, "content": "14:00"}
    turn = {"role": "assistant", "content": message.content}
    ask(client, "house:thinker", turn, {"role": "user", "content": [result]})
    sent = vendor.requests[-1]
    assert sent.path == "/v1/chat/completions"
    for thought in THOUGHTS:
        assert thought.get("signature", "") + thought.get("data", "") not in sent.body.decode()
