"""From an intent to candidates: cells and rows, draws, the best of a set, fallbacks in turn, caps, data policies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.costs import Rates
from providers.chat import Fields
from providers.registry import Kind, Place
from routing import chains, conditions
from routing.asks import Ask
from routing.deciding import Circumstances, decided
from routing.decisions import Decision, Live
from routing.engine import decide
from routing.snapshot import (
    ModelEntry,
    ProviderEntry,
    RouteEntry,
    Routing,
    Snapshot,
    TeamEntry,
    TierEntry,
    UseCaseEntry,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
CLOUD = Kind("cloud", "Cloud", "CL", 0)
LOCAL = Kind("local", "Local", "LO", 0, place=Place.LOCAL)


def provider(slug: str, kind: Kind = CLOUD, **more: Any) -> ProviderEntry:
    return ProviderEntry(id=1, slug=slug, name=slug.title(), kind=kind, base_url="", priority=1, **more)


def model(of: ProviderEntry, name: str, price: str | None = "1", **more: Any) -> ModelEntry:
    rates = () if price is None else (Rates(1, "USD", Decimal(price), Decimal(price)),)
    return ModelEntry(id=hash(name) & 0xFFFF, provider=of, model_id=name, prices=rates, **more)


DEAR = model(provider("dear"), "one", "100")
FAIR = model(provider("fair"), "two", "10")
CHEAP = model(provider("cheap"), "three", "0.1")
OWN = model(provider("own", LOCAL), "four", "0")
HOUSE = (DEAR, FAIR, CHEAP, OWN)


def snapshot(*routes: RouteEntry, models: tuple[ModelEntry, ...] = HOUSE, **more: Any) -> Snapshot:
    rows: dict[tuple[str, str], tuple[RouteEntry, ...]] = {}
    for row in routes:
        rows[row.use_case, row.tier] = (*rows.get((row.use_case, row.tier), ()), row)
    tiers = [TierEntry("economy", "Economy", 1_000_000), TierEntry("premium", "Premium", 50_000_000)]
    routing = Routing(
        use_cases={"code": UseCaseEntry("code", "Code", "premium"), "chat": UseCaseEntry("chat", "Chat")},
        tiers={tier.slug: tier for tier in tiers},
        rows=rows,
    )
    return Snapshot(
        providers={each.provider.slug: each.provider for each in models},
        slugs={each.provider.slug: each.provider.slug for each in models},
        models={(each.provider.slug, each.model_id): each for each in models},
        by_model_id={each.model_id: (each,) for each in models},
        routing=routing,
        **more,
    )


def route(
    chain: Mapping[str, Any], name: str = "code/any", tier: str = "", when: Any = None, **more: Any
) -> RouteEntry:
    assert chains.faults(chain) == []
    assert conditions.faults(when) == []
    known = {each.string: (each,) for each in HOUSE}
    read = chains.read(chain)
    return RouteEntry(
        name=name,
        use_case="code",
        tier=tier,
        chain=read,
        targets={target: known.get(target, ()) for target in read.targets},
        test=conditions.compiled(when),
        when=conditions.in_words(when),
        number=hash(name) & 0xFFFF,
    )


def first(target: ModelEntry | str, *fallbacks: Any, **more: Any) -> dict[str, Any]:
    return {"first": {"target": _name(target)}, "fallbacks": [_fallback(each) for each in fallbacks], **more}


def _name(target: ModelEntry | str) -> str:
    return target if isinstance(target, str) else target.string


def _fallback(told: Any) -> dict[str, Any]:
    target, on = told if isinstance(told, tuple) else (told, [])
    return {"target": _name(target), "on": on} if on else {"target": _name(target)}


def ask(request_id: str = "req_1", model: str = "auto", use_case: str = "code", **values: Any) -> Ask:
    return Ask(request_id=request_id, model=model, use_case=use_case, **values)


def names(decision: Decision) -> list[str]:
    return [each.provider.slug for each in decision.usable]


def whole(asked: Ask, of: Snapshot, around: Circumstances | None = None, fields: Fields | None = None) -> Decision:
    return decided(asked, of, around or Circumstances(NOW), fields or {}, lambda: asked.input_tokens)


# -- which row ---------------------------------------------------------------------------


def test_the_row_of_the_tier_comes_before_the_row_of_every_tier() -> None:
    house = snapshot(route(first(CHEAP)), route(first(DEAR), "code/premium", tier="premium"))
    assert names(decide(ask(), house, Live(), now=NOW)) == ["dear"]  # the usual tier of the use case
    assert names(decide(ask(tier="premium"), house, Live(), now=NOW)) == ["dear"]
    assert names(decide(ask(tier="economy"), house, Live(), now=NOW)) == ["cheap"]


def test_the_first_row_applies_whose_conditions_hold() -> None:
    long = {"attribute": "input_tokens", "operator": "at_least", "value": 1000}
    house = snapshot(route(first(DEAR), "long", when=long), route(first(CHEAP), "else"))
    assert decide(ask(input_tokens=1000), house, Live(), now=NOW).reason == "ROUTE long"
    assert decide(ask(input_tokens=999), house, Live(), now=NOW).reason == "ROUTE else"


def test_a_named_model_is_not_routed_whatever_it_is_for() -> None:
    house = snapshot(route(first(DEAR)))
    assert decide(ask(model="cheap:three"), house, Live(), now=NOW).reason == "EXPLICIT cheap:three"


def test_nobody_connected_means_the_default_and_says_so() -> None:
    house = snapshot(route(first("elsewhere:x")), house_default="cheap:three")
    decision = decide(ask(), house, Live(), now=NOW)
    assert (names(decision), decision.use_case, decision.tier) == (["cheap"], "code", "premium")
    assert "default model answers" in decision.notes[0]
    assert json.loads(decision.as_json())["notes"] == list(decision.notes)


def test_what_is_not_connected_is_passed_over_and_named() -> None:
    decision = decide(ask(), snapshot(route(first("elsewhere:x", FAIR))), Live(), now=NOW)
    assert names(decision) == ["fair"]
    assert decision.absent == (("elsewhere:x", "not connected (first of the route)"),)


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        (ask(use_case="cod"), "unknown_use_case", "use_case"),
        (ask(tier="premum"), "unknown_budget_tier", "budget_tier"),
    ],
)
def test_a_name_that_is_none_gets_the_nearest(asked: Ask, code: str, param: str) -> None:
    problem = decide(asked, snapshot(route(first(DEAR))), Live(), now=NOW).problem
    assert problem is not None
    assert (problem.status, problem.code, problem.param) == (404, code, param)
    assert ("code" if param == "use_case" else "premium") in problem.message


# -- in what order -------------------------------------------------------------------------


def test_a_split_is_drawn_by_weight_and_the_same_request_draws_the_same() -> None:
    told = {"first": {"split": [{"target": DEAR.string, "weight": 20}, {"target": CHEAP.string, "weight": 80}]}}
    house = snapshot(route(told | {"fallbacks": [{"target": FAIR.string}]}))
    drawn = Counter(names(decide(ask(f"req_{n}"), house, Live(), now=NOW))[0] for n in range(10_000))
    assert abs(drawn["dear"] - 2000) < 3 * (10_000 * 0.2 * 0.8) ** 0.5
    again = [decide(ask("req_7"), house, Live(), now=NOW).reason for _ in range(3)]
    assert len(set(again)) == 1
    assert sorted(names(decide(ask(), house, Live(), now=NOW))[:2]) == ["cheap", "dear"]
    assert names(decide(ask(), house, Live(), now=NOW))[2] == "fair"


def test_a_session_stays_where_it_is() -> None:
    told = {"first": {"split": [{"target": DEAR.string, "weight": 50}, {"target": CHEAP.string, "weight": 50}]}}
    quick = {"first": {"best": "fastest", "of": [DEAR.string, CHEAP.string]}}
    for chain in (told, quick):
        house = snapshot(route(chain))
        for session in ("a", "b", "c", "d"):
            live = [Live({"dear:one": float(n)}, {}) for n in range(1, 50)]
            met = {
                names(decide(ask(f"req_{n}", session=session), house, each, now=NOW))[0] for n, each in enumerate(live)
            }
            assert len(met) == 1
        assert len({names(decide(ask(session=str(n)), house, Live(), now=NOW))[0] for n in range(50)}) == 2


def test_the_best_of_a_set() -> None:
    of = [DEAR.string, FAIR.string, CHEAP.string]
    cheapest = snapshot(route({"first": {"best": "cheapest", "of": of}}))
    assert names(decide(ask(input_tokens=10), cheapest, Live(), now=NOW)) == ["cheap", "fair", "dear"]
    fastest = snapshot(route({"first": {"best": "fastest", "of": of}}))
    times = {"dear:one": 50.0, "fair:two": 20.0, "cheap:three": 90.0}
    assert names(decide(ask(), fastest, Live(first_token_ms=times), now=NOW)) == ["fair", "dear", "cheap"]
    del times["cheap:three"]  # nobody has measured it: it is tried
    assert names(decide(ask(), fastest, Live(first_token_ms=times), now=NOW)) == ["cheap", "fair", "dear"]
    busy = snapshot(route({"first": {"best": "least_busy", "of": of}}))
    running = {"dear:one": 3, "fair:two": 1, "cheap:three": 2}
    assert names(decide(ask(), busy, Live(running=running), now=NOW)) == ["fair", "cheap", "dear"]


# -- fallbacks in their turn -----------------------------------------------------------------


def test_a_fallback_with_a_condition_waits_for_it() -> None:
    house = snapshot(route(first(DEAR, (FAIR, ["over_budget"]), (CHEAP, ["unavailable"]))))
    assert names(whole(ask(), house)) == ["dear", "fair", "cheap"]  # what becomes of the first decides
    shut = Circumstances(NOW, shut={"dear:one": NOW.timestamp() + 60})
    assert names(whole(ask(), house, shut)) == ["cheap"]
    verdicts = {each.model.string: each.verdict for each in whole(ask(), house, shut).candidates}
    assert "not what happened" in verdicts["fair:two"]


def test_context_overflow_goes_where_the_route_says() -> None:
    short = replace(DEAR, context=100)
    row = route(first(DEAR, (FAIR, ["context_length"])))
    row = replace(row, targets={**row.targets, DEAR.string: (short,)})
    decision = whole(ask(input_tokens=200), snapshot(row))
    # Refused by an exact count: the request itself is empty here, so nothing is refused on the estimate alone.
    assert names(decision) == ["dear", "fair"]
    text = json.dumps([{"role": "user", "content": "word " * 200}]).encode()
    decision = whole(ask(input_tokens=200), snapshot(row), fields={"messages": text})  # type: ignore[dict-item]
    assert names(decision) == ["fair"]


def test_nobody_in_turn_is_said() -> None:
    house = snapshot(route(first(DEAR, (FAIR, ["rate_limited"]))))
    problem = whole(ask(), house, Circumstances(NOW, shut={"dear:one": NOW.timestamp() + 60})).problem
    assert problem is not None
    assert (problem.status, problem.code) == (503, "no_usable_provider")


# -- what a request may cost --------------------------------------------------------------------


def test_over_the_maximum_the_fallback_steps_in() -> None:
    house = snapshot(route(first(DEAR, CHEAP)))
    decision = whole(ask(tier="economy", complexity="high", input_tokens=100), house)
    assert names(decision) == ["cheap"]
    assert decision.candidates[0].verdict == "about 0.07 USD, over the maximum of tier economy, 0.001 USD"


def test_over_the_maximum_the_next_cheaper_model_is_taken() -> None:
    house = snapshot(route(first(DEAR)))
    decision = whole(ask(tier="premium", complexity="high", input_tokens=100), house)
    assert names(decision) == ["fair"]  # the dearest of those that fit
    assert "next cheaper model within the maximum of tier premium" in decision.candidates[-1].verdict
    only_cheap = whole(ask(tier="economy", complexity="high", input_tokens=1000), house)
    assert names(only_cheap) == ["cheap"]


def test_when_nobody_is_cheap_enough_both_numbers_are_named() -> None:
    house = snapshot(route(first(DEAR)), models=(DEAR, FAIR))
    problem = whole(ask(tier="economy", complexity="medium", input_tokens=1000), house).problem
    assert problem is not None
    assert (problem.status, problem.code, problem.param) == (402, "tier_cap", "budget_tier")
    assert "0.12 USD" in problem.message
    assert "0.001 USD" in problem.message


def test_what_the_request_allows_bounds_the_estimate() -> None:
    house = snapshot(route(first(DEAR)), models=(DEAR,))
    assert whole(ask(tier="economy", output_tokens=5, input_tokens=5), house).problem is None


def test_a_price_that_nobody_knows_is_under_no_maximum() -> None:
    unpriced = replace(DEAR, prices=())
    row = route(first(DEAR))
    row = replace(row, targets={DEAR.string: (unpriced,)})
    decision = whole(ask(tier="premium"), snapshot(row, models=(unpriced,)))
    assert decision.problem is not None
    assert "price is not known" in decision.candidates[0].verdict


# -- where data may go ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "told", "may"),
    [
        ("local_only", {"data_region": "eu"}, False),
        ("eu_only", {"data_region": "eu"}, True),
        ("eu_only", {"data_region": "us"}, False),
        ("eu_only", {}, False),
        ("no_training", {}, False),
        ("no_training", {"trains_on_data": True}, False),
        ("no_training", {"trains_on_data": False}, True),
    ],
)
def test_a_data_policy_is_a_rule_for_every_way_to_ask(policy: str, told: dict[str, Any], may: bool) -> None:
    there = model(provider("there", **told), "m")
    house = snapshot(models=(there,), teams={1: TeamEntry("support", data_policy=policy)}, house_default="there:m")
    for name in ("there:m", "m", "auto"):
        asked = Ask("req_1", name, team_id=1, team="support", data_policy=policy)
        decision = decide(asked, house, Live(), now=NOW)
        assert (decision.problem is None) is may
        if decision.problem is not None:
            assert (decision.problem.status, decision.problem.code) == (403, "data_policy")
            assert policy in decision.problem.message
            assert "support" in decision.problem.message


def test_local_only_goes_to_our_own_server_on_a_route_too() -> None:
    house = snapshot(route(first(DEAR, OWN)))
    assert names(whole(ask(data_policy="local_only", team="support"), house)) == ["own"]
    alone = whole(ask(data_policy="local_only", team="support"), snapshot(route(first(DEAR))))
    assert alone.problem is not None
    assert alone.problem.code == "data_policy"


def test_a_cheaper_model_is_not_taken_against_the_policy() -> None:
    house = snapshot(route(first(DEAR, OWN)), models=(DEAR, CHEAP))
    asked = ask(data_policy="local_only", team="support", tier="economy")
    assert names(whole(asked, house)) == ["own"]
