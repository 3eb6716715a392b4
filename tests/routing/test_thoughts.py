"""A model that wants its thoughts back with the calls they led to gets them from clients of every format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters import adapter_for
from routing.wires import messages, responses
from routing.wires.openai import ParsedChat
from tests.providers.talk import target

CALL = {"type": "tool_use", "id": "call_1", "name": "lookup", "input": {"city": "Riga"}}


def of_messages(**signed: str) -> ParsedChat:
    thinking = {"type": "thinking", "thinking": "A map.", "signature": "", **signed}
    turns = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": [thinking, CALL]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "14 degrees"}]},
    ]
    return messages.parse_chat(json.dumps({"model": "m", "max_tokens": 9, "messages": turns}).encode())


def of_responses(**sealed: str) -> ParsedChat:
    items = [
        {"role": "user", "content": "Where?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "A map."}], **sealed},
        {"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "14 degrees"},
    ]
    return responses.parse_chat(json.dumps({"model": "m", "input": items}).encode())


def assistant(parsed: ParsedChat, kind: str) -> dict[str, Any]:
    http, _ = adapter_for(target(kind=kind).kind).chat_request(parsed.request, target(kind=kind))
    [turn] = [message for message in json.loads(http.body)["messages"] if message["role"] == "assistant"]
    assert turn["tool_calls"][0]["id"] == "call_1"
    return dict(turn)


@pytest.mark.parametrize("parsed", [of_messages(), of_responses()], ids=["messages", "responses"])
def test_thoughts_go_back_to_those_who_want_them(parsed: ParsedChat) -> None:
    assert assistant(parsed, "deepseek")["reasoning_content"] == "A map."
    assert "reasoning_content" not in assistant(parsed, "groq")


@pytest.mark.parametrize(
    "parsed",
    [of_messages(signature="c2ln"), of_responses(encrypted_content="bedrock:sealed")],
    ids=["messages", "responses"],
)
def test_what_another_vendor_signed_goes_to_nobody_else(parsed: ParsedChat) -> None:
    turn = assistant(parsed, "deepseek")
    assert not {"reasoning_content", "relayhouse_state"} & turn.keys()
