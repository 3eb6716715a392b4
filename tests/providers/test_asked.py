"""What is asked is read once, and what cannot be read is named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.adapters.asked import read
from providers.chat import ChatRequest
from providers.errors import BadRequest
from tests.providers.talk import target


def asked(*messages: Any) -> Any:
    raw = msgspec.Raw(json.dumps(list(messages)).encode())
    return read(ChatRequest({"messages": raw}), target(kind="anthropic"))


@pytest.mark.parametrize("calls", [5, True, 1.5, "call", {"id": "a"}])
def test_calls_that_are_no_list_are_named(calls: Any) -> None:
    with pytest.raises(BadRequest) as raised:
        asked({"role": "assistant", "tool_calls": calls})
    assert raised.value.param == "messages[0].tool_calls"
    assert not raised.value.sent


def test_state_goes_back_to_its_own_vendor_only() -> None:
    for vendor, kept in (("anthropic", "[1]"), ("gemini", "")):
        state = {"vendor": vendor, "data": "[1]"}
        turns = asked({"role": "assistant", "content": "Yes.", "relayhouse_state": state}).turns
        assert turns[0].state == kept
