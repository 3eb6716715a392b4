"""What a model cannot do is said before anything is sent, with the numbers; what is not known refuses nothing."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from providers.models import LanguageModel
from providers.registry import KINDS
from routing.decisions import Candidate, Decision
from routing.fitting import fitting, needs_of
from routing.snapshot import ModelEntry, ProviderEntry
from tests.routing.gate import Gate
from tests.upstream import Upstream

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TOOLS = [{"type": "function", "function": {"name": "lookup"}}]


def entry(slug: str, **fields: Any) -> ModelEntry:
    return ModelEntry(1, ProviderEntry(1, slug, slug.title(), KINDS["vllm"], "", 100), "m", **fields)


def decision(*models: ModelEntry) -> Decision:
    return Decision(tuple(Candidate(model, True, "named") for model in models), "BARE m")


def raw(**fields: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value, separators=(",", ":")).encode()) for name, value in fields.items()}


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"messages": [{"role": "user", "content": "Hello"}]}, set()),
        ({"tools": TOOLS}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": None}, set()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, {"vision"}),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"structured_output"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, {"audio_input"}),
    ],
)
def test_what_a_request_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert needs_of(raw(**fields)) == needs


def test_nothing_known_refuses_nothing() -> None:
    told = decision(entry("a"))
    assert (told.shortest, told.lacks) == (0, frozenset())
    assert fitting(told, frozenset({"vision"}), 10**9, 10**9) is told


def test_another_that_can_answers_instead() -> None:
    told = fitting(decision(entry("a", lacks=frozenset({"vision"})), entry("b")), frozenset({"vision"}), 10, 0)
    assert [model.string for model in told.usable] == ["b:m"]
    assert told.candidates[0].verdict == "a:m does not read images"


def test_nobody_can() -> None:
    told = fitting(decision(entry("a", lacks=frozenset({"tools", "vision"}))), frozenset({"tools", "vision"}), 10, 0)
    assert told.problem is not None
    assert (told.problem.status, told.problem.code) == (400, "unsupported_capability")
    assert told.problem.message == "a:m does not call tools, nor read images."


def test_a_window_that_is_too_short_is_told_with_the_numbers() -> None:
    told = fitting(decision(entry("a", context=8192)), frozenset(), 9300, 1000)
    assert told.problem is not None
    assert told.problem.code == "context_length_exceeded"
    assert "8,192 tokens; this request has about 9,300 and asks for 1,000 more" in told.problem.message


@pytest.mark.parametrize(
    ("tokens", "answer", "fits"), [(8192, 0, True), (9000, 0, True), (9300, 0, False), (5000, 5000, False)]
)
def test_the_estimate_has_the_benefit_of_the_doubt(tokens: int, answer: int, fits: bool) -> None:
    assert (fitting(decision(entry("a", context=8192)), frozenset(), tokens, answer).problem is None) is fits


# -- at the door ---------------------------------------------------------------------------


def with_facts(gate: Gate, model: str, **fields: Any) -> None:
    row = LanguageModel.objects.get(provider__slug="a", model_id=model)
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    gate.refresh()


def test_a_picture_is_not_sent_to_a_model_that_is_blind(gate: Gate, first: Upstream) -> None:
    with_facts(gate, "ok", lacks=["vision"])
    seen = len(first.requests)
    refused = gate.chat("a:ok", messages=[{"role": "user", "content": [PICTURE]}])
    assert (refused.status, refused.error["code"]) == (400, "unsupported_capability")
    assert len(first.requests) == seen
    assert gate.chat("a:ok").status == 200
    with_facts(gate, "ok", lacks=[])


def test_a_prompt_that_is_too_long_is_not_sent(gate: Gate, first: Upstream) -> None:
    with_facts(gate, "ok", context=1000)
    seen = len(first.requests)
    refused = gate.chat("a:ok", messages=[{"role": "user", "content": "hello there " * 2000}], max_tokens=50)
    assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")
    assert "1,000 tokens" in refused.error["message"]
    assert len(first.requests) == seen
    with_facts(gate, "ok", context=None)


def test_what_the_model_refuses_is_left_out_and_told(gate: Gate, first: Upstream) -> None:
    with_facts(gate, "ok", parameters={"sampling_params": False})
    answer = gate.chat("a:ok", temperature=0.4)
    assert answer.status == 200
    assert "'temperature' was dropped: ok does not take it." in answer.headers["x-relayhouse-warnings"]
    assert "temperature" not in first.requests[-1].json
    strict = gate.chat("a:ok", temperature=0.4, headers={"x-relayhouse-strict": "true"})
    assert (strict.status, strict.error["code"]) == (400, "unsupported_parameter")
    with_facts(gate, "ok", parameters={})
