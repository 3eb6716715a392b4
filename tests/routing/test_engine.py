"""The decision: cases are files in tests/decisions, and a few properties hold for every one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from time import process_time

import pytest

from providers.registry import Kind
from routing.asks import Ask
from routing.decisions import Live
from routing.engine import decide
from routing.obstacles import may_use
from routing.snapshot import ModelEntry, ProviderEntry, Snapshot
from tests.decisions.reading import Case, cases, house

NOW = datetime(2026, 11, 25, tzinfo=UTC)
CASES = [pytest.param(case, id=case.name) for case in cases()]


@pytest.mark.parametrize("case", CASES)
def test_decisions(case: Case) -> None:
    decision = decide(case.ask, case.snapshot, Live(), now=NOW)
    told = json.loads(decision.as_json())
    problem, expected = told.get("problem", {}), case.expected.get("problem", {})
    assert [model.string for model in decision.usable] == case.expected["usable"]
    assert case.expected.get("reason", told["reason"]) == told["reason"]
    assert {each["model"]: each["verdict"] for each in told["candidates"]}.items() >= case.expected.get(
        "verdicts", {}
    ).items()
    assert (problem.get("status"), problem.get("code")) == (expected.get("status"), expected.get("code"))
    assert all(words in problem["message"] for words in expected.get("says", [])), problem["message"]
    assert not any(words in problem.get("message", "") for words in case.expected.get("silent_on", [])), problem


@pytest.mark.parametrize("case", CASES)
def test_a_decision_names_somebody_or_says_why_not(case: Case) -> None:
    decision = decide(case.ask, case.snapshot, Live(), now=NOW)
    assert bool(decision.usable) != (decision.problem is not None)
    assert all(candidate.verdict for candidate in decision.candidates)
    assert all(may_use(model, case.ask.allowed_models) for model in decision.usable)
    assert decide(case.ask, replace(case.snapshot), Live(), now=NOW) == decision


def test_it_decides_the_same_whatever_was_asked_before() -> None:
    used = house("house")
    for case in cases():
        fresh = replace(case.snapshot, memo=type(used.memo)())
        assert decide(case.ask, case.snapshot, Live(), now=NOW) == decide(case.ask, fresh, Live(), now=NOW)


def test_what_it_remembers_is_bounded() -> None:
    snapshot = replace(house("house"), memo=type(house("house").memo)())
    for number in range(10_000):
        decide(Ask("req_0", f"nobody-{number}"), snapshot, Live(), now=NOW)
    assert len(snapshot.memo.decisions) <= 4096


def test_an_unknown_name_costs_little_in_a_large_catalogue() -> None:
    provider = ProviderEntry(1, "openrouter", "OpenRouter", Kind("openrouter", "OpenRouter", "OR", 0), "", 10)
    models = [ModelEntry(n, provider, f"vendor-{n % 40}/model-{n}-instruct") for n in range(6_000)]
    snapshot = Snapshot(
        providers={"openrouter": provider},
        slugs={"openrouter": "openrouter"},
        models={("openrouter", model.model_id): model for model in models},
        by_model_id={model.model_id: (model,) for model in models},
    )
    decide(Ask("req_0", "the first one builds the index"), snapshot, Live(), now=NOW)
    began = process_time()
    for number in range(20):
        decision = decide(Ask("req_0", f"vendor-7/model-{number}47-instrukt"), snapshot, Live(), now=NOW)
    each = (process_time() - began) / 20
    assert decision.problem is not None
    assert "vendor-7/model-" in decision.problem.message
    assert each < 0.03, f"{each * 1000:.1f} ms for an unknown name"


def test_a_name_in_foreign_letters_is_stored_and_answered() -> None:
    decision = decide(Ask("req_0", "modèle-\u2603"), house("house"), Live(), now=NOW)
    assert json.loads(decision.as_json())["reason"] == "UNKNOWN modèle-\u2603"
