"""The four plain endpoints: what an application with one question and no client library asks for."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from providers.registry import KINDS
from routing.keys import create_key
from routing.models import Route, Tier, UseCase
from tests import factories
from tests.routing.gate import MESSAGES, Gate, connect
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def house(gate: Gate, second: Upstream) -> Gate:
    UseCase.objects.all().delete()
    Tier.objects.all().delete()
    connect("Fast", second.base_url, ["quick"], priority=5)
    connect("Coder", second.base_url, ["specialist"], priority=6)
    connect("Keyless", second.base_url, ["m"], kind="groq")
    standard = Tier.objects.create(slug="standard", name="Standard", most_nano=10_000_000, position=3)
    for slug, first in (("conversation", "fast:quick"), ("code_generation", "coder:specialist")):
        case = UseCase.objects.create(slug=slug, name=slug.title(), tier="standard")
        chain = {"first": {"target": first}, "fallbacks": [{"target": "b:ok"}]}
        Route.objects.create(name=f"{slug}/standard", use_case=case, tier=standard, chain=chain)
    gate.refresh()
    return gate


def generate(house: Gate, **fields: Any) -> Any:
    return house.post(json.dumps({"messages": MESSAGES} | fields).encode(), path="/llm/generate")


def test_who_is_there(house: Gate) -> None:
    told = house.get("/llm/providers").json["providers"]
    by_name = {each["name"]: each for each in told}
    assert by_name["fast"] == {"name": "fast", "status": "active", "models": ["quick"]}
    assert by_name["keyless"]["status"] == "inactive"
    assert "API key" in by_name["keyless"]["reason"]
    assert by_name["keyless"]["models"] == []
    assert {kind.slug for kind in KINDS.values()} - {"vllm", "groq", "demo"} <= by_name.keys()
    assert by_name["qwen"] == {
        "name": "qwen", "status": "inactive", "reason": "not connected: API key missing", "models": [],
    }  # fmt: skip
    assert told[0]["name"] == "fast"  # by priority


@pytest.mark.parametrize(("use_case", "provider"), [("conversation", "fast"), ("code_generation", "coder")])
def test_an_answer_for_what_it_is_for(house: Gate, use_case: str, provider: str) -> None:
    got = generate(house, use_case=use_case, budget_tier="standard", temperature=0.2, max_tokens=20)
    assert got.status == 200
    told = got.json
    assert told.keys() == {
        "content", "provider", "model", "use_case", "budget_tier", "latency_ms", "usage", "cost_usd", "fallback_used",
        "request_id",
    }  # fmt: skip
    assert (told["provider"], told["use_case"], told["budget_tier"]) == (provider, use_case, "standard")
    assert told["content"]
    assert told["usage"]["total_tokens"] == told["usage"]["prompt_tokens"] + told["usage"]["completion_tokens"] > 0
    assert told["fallback_used"] is False
    [entry] = house.records(told["request_id"]).entries
    assert told["cost_usd"] == entry.amount_nano / 1e9 > 0


def test_a_fallback_is_told(house: Gate) -> None:
    Route.objects.filter(name="conversation/standard").update(
        chain={"first": {"target": "a:500"}, "fallbacks": [{"target": "b:ok"}]}
    )
    Route.objects.get(name="conversation/standard").save()
    house.refresh()
    told = generate(house, use_case="conversation").json
    assert (told["provider"], told["fallback_used"]) == ("b", True)


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"use_case": "conversatoin"}, 404, "unknown_use_case", "use_case"),
        ({"use_case": "conversation", "budget_tier": "x"}, 404, "unknown_budget_tier", "budget_tier"),
        ({"use_case": "conversation", "stream": True}, 400, "unknown_parameter", "stream"),
        ({"use_case": 5}, 404, "unknown_use_case", "use_case"),
        ({"use_case": ["conversation"]}, 400, "invalid_hint", "use_case"),
        ({"messages": []}, 400, "empty_array", "messages"),
    ],
)
def test_what_cannot_be_is_said(house: Gate, fields: dict[str, Any], status: int, code: str, param: str) -> None:
    got = generate(house, **fields)
    assert (got.status, got.error["code"], got.error["param"]) == (status, code, param)


def test_what_there_is_to_ask_for(house: Gate) -> None:
    told = house.get("/llm/use-cases").json
    by_name = {each["use_case"]: each for each in told["use_cases"]}
    assert by_name["code_generation"] == {
        "use_case": "code_generation", "name": "Code_Generation", "primary": "coder:specialist", "fallback": "b:ok",
        "connected": True, "tier": "standard",
    }  # fmt: skip
    assert told["tiers"] == [{"tier": "standard", "name": "Standard", "max_cost_per_request": 0.01, "currency": "USD"}]


def test_what_the_team_has_spent(house: Gate) -> None:
    _, secret = create_key("spender", team=factories.make_team("Spenders"))
    mine = {"authorization": f"Bearer {secret}"}
    assert house.get("/llm/cost-summary", **mine).json["requests"] == 0
    asked = json.dumps({"messages": MESSAGES, "use_case": "code_generation"}).encode()
    told = house.post(asked, mine, "/llm/generate").json
    entry = house.records(told["request_id"]).entries[0]
    house.until(lambda: house.get("/llm/cost-summary", **mine).json["requests"], "it was not counted")
    after = house.get("/llm/cost-summary", **mine).json
    amount = f"{Decimal(entry.amount_nano or 0) / 10**9:f}"
    assert (after["requests"], after["cost"], after["fallback_rate"]) == (1, {"USD": amount}, 0.0)
    row = {"currency": "USD", "cost": amount, "requests": 1, "tokens": told["usage"]["total_tokens"]}
    assert after["by_use_case"] == [{"use_case": "code_generation", **row}]
    assert after["by_provider"] == [{"provider": "coder", **row}]
    assert after["savings"]["currency"] == "USD"
    assert Decimal(after["savings"]["saved"]) == Decimal(after["savings"]["baseline_cost"]) - Decimal(amount)


@pytest.mark.parametrize("path", ["/llm/providers", "/llm/use-cases", "/llm/cost-summary"])
def test_nobody_without_a_key(house: Gate, path: str) -> None:
    got = house.get(path, authorization="Bearer nonsense")
    assert (got.status, got.error["code"]) == (401, "invalid_api_key")
    assert house.get(path, "DELETE").status == 405
