"""What a model refuses is dropped with a warning, changed with one, or refused by name: never sent blindly."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.chat import ChatRequest, Wire
from providers.errors import BadRequest, ContextTooLong
from providers.parameters import applied, without_refused

REASONING = {
    "reasoning_model": True,
    "sampling_params": "only_when_effort_none",
    "reasoning_efforts": ["none", "low", "medium", "high"],
    "tools_on_chat_completions": "only_with_reasoning_effort_none",
}
CLAUDE = {
    "sampling_params": False,
    "assistant_prefill": False,
    "forced_tool_choice": False,
    "thinking_always_on": True,
}
TOOLS = [{"type": "function", "function": {"name": "lookup"}}]


def sent(policy: dict[str, Any], wire: Wire = Wire.OPENAI, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    given = {"messages": [{"role": "user", "content": "Hello"}]} | fields
    raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in given.items()}
    request, warnings = applied(ChatRequest(raw), policy, "the-model", wire)
    left = {name: json.loads(bytes(value)) for name, value in request.fields.items() if name != "messages"}
    assert all("the-model" in warning for warning in warnings)
    return left, warnings


def test_what_it_takes_passes_untouched() -> None:
    raw = {"messages": msgspec.Raw(b"[]"), "temperature": msgspec.Raw(b"0.3")}
    request = ChatRequest(raw)
    assert applied(request, {"sampling_params": True}, "m", Wire.OPENAI) == (request, [])


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"temperature": 0.3}, {}),
        ({"temperature": 0.3, "reasoning_effort": "none"}, {"temperature": 0.3, "reasoning_effort": "none"}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"top_p": 0.5, "logprobs": True}, {}),
        ({"stop": ["END"], "presence_penalty": 1}, {}),
        ({"stop": None}, {"stop": None}),
        ({"reasoning_effort": "max"}, {"reasoning_effort": "high"}),
        ({"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ],
)
def test_a_model_that_reasons(fields: dict[str, Any], left: dict[str, Any]) -> None:
    found, warnings = sent(REASONING, **fields)
    assert found == left
    assert bool(warnings) is (found != fields)


def test_tools_without_thinking_at_the_first_door() -> None:
    left, warnings = sent(REASONING, tools=TOOLS)
    assert left["reasoning_effort"] == "none"
    assert "without thinking" in warnings[0]
    left, warnings = sent(REASONING | {"default_effort": "none"}, tools=TOOLS)
    assert "reasoning_effort" not in left
    left, warnings = sent(REASONING, Wire.RESPONSES, tools=TOOLS, reasoning_effort="high")
    assert (left["reasoning_effort"], warnings) == ("high", [])


def test_tools_that_the_first_door_never_takes_are_refused() -> None:
    policy = REASONING | {"tools_on_chat_completions": "never_use_responses_api"}
    with pytest.raises(BadRequest, match="Responses") as raised:
        sent(policy, tools=TOOLS)
    assert raised.value.param == "tools"
    assert sent(policy, Wire.RESPONSES, tools=TOOLS)[1] == []
    assert sent(policy, tools=[])[1] == []


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"temperature": 0.3, "top_p": 0.9, "top_k": 4}, {}),
        ({"reasoning_effort": "none"}, {}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"tool_choice": "required"}, {"tool_choice": "auto"}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
    ],
)
def test_a_model_that_always_thinks(fields: dict[str, Any], left: dict[str, Any]) -> None:
    found, warnings = sent(CLAUDE, Wire.ANTHROPIC, **fields)
    assert found == left
    assert bool(warnings) is (found != fields)


def test_an_answer_begun_for_it_is_refused() -> None:
    begun = [{"role": "user", "content": "Go on"}, {"role": "assistant", "content": "Once"}]
    with pytest.raises(BadRequest, match="must not end with the assistant") as raised:
        sent(CLAUDE, messages=begun)
    assert not raised.value.sent


def test_only_its_own_temperature() -> None:
    assert sent({"temperature": "only 1"}, temperature=0.2, top_p=0.9)[0] == {"top_p": 0.9}
    assert sent({"temperature": "only 1"}, temperature=1.0)[1] == []


# -- what a provider refuses although nobody knew ---------------------------------------------


def refused(param: str | None, status: int | None = 400, kind: type[BadRequest] = BadRequest) -> Any:
    fields = {name: msgspec.Raw(b"1") for name in ("messages", "temperature", "max_tokens")}
    error = kind("No.", provider="cellar", upstream_status=status, param=param)
    return without_refused(ChatRequest(fields), error)


def test_one_that_is_named_is_left_out() -> None:
    request, warning = refused("temperature")
    assert list(request.fields) == ["messages", "max_tokens"]
    assert warning == "'temperature' was dropped: cellar refused it."


@pytest.mark.parametrize("param", [None, "messages", "max_tokens", "seed", "messages[0].content"])
def test_what_it_is_about_is_never_left_out(param: str | None) -> None:
    assert refused(param) is None


def test_only_a_refusal_of_the_provider_counts() -> None:
    assert refused("temperature", None) is None
    assert refused("temperature", 422) is None
    assert refused("temperature", kind=ContextTooLong) is None


def test_the_limit_has_the_name_that_the_model_knows() -> None:
    policy = {"max_tokens_param": "max_completion_tokens"}
    left, warnings = sent(policy, max_tokens=100)
    assert left == {"max_completion_tokens": 100}
    assert "was sent as" in warnings[0]
    assert sent(policy, max_completion_tokens=100) == ({"max_completion_tokens": 100}, [])
    assert sent(policy, Wire.RESPONSES, max_tokens=100) == ({"max_tokens": 100}, [])
