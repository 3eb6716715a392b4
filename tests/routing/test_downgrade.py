"""When a budget has not enough for what a tier's route costs: one tier lower, if the budget says so and that fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from billing.terms import Terms
from providers.errors import Overloaded, RateLimited
from routing.admission import one_tier_down, telling, tokens_at_most
from routing.keys import create_key, set_budget
from routing.models import Route, Tier, UseCase
from routing.refusal import PassedOver
from routing.snapshot import TierEntry
from tests.routing.gate import Gate, Got, connect
from tests.upstream import Upstream

THOUSAND = 1000  # nano-units of a token of the prompt


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream, second: Upstream, http: Any) -> Iterator[Gate]:
    dear = connect("dear", first.base_url, ["ok"], priority=10)
    dear.models.get().prices.update(input_per_million=100, output_per_million=200)
    connect("cheap", second.base_url, ["ok"], priority=20)
    UseCase.objects.all().delete()
    Tier.objects.all().delete()
    code = UseCase.objects.create(slug="code", name="Code", tier="high")
    for position, (slug, target) in enumerate([("low", "cheap:ok"), ("middle", "cheap:ok"), ("high", "dear:ok")]):
        tier = Tier.objects.create(slug=slug, name=slug, position=position)
        Route.objects.create(name=f"code/{slug}", use_case=code, tier=tier, chain={"first": {"target": target}})
    with Gate(http=http) as gate:
        yield gate


def ask(gate: Gate, at_limit: str, limit_nano: int, model: str = "auto/code") -> Got:
    key, secret = create_key("limited", team=gate.team)
    set_budget(key, limit_nano, at_limit=at_limit)
    return gate.chat(model, headers={"authorization": f"Bearer {secret}"}, max_tokens=10)


def test_what_does_not_fit_is_answered_one_tier_lower(gate: Gate) -> None:
    got = ask(gate, "downgrade", 200 * THOUSAND)
    assert (got.status, got.headers["x-relayhouse-route"]) == (200, "code/middle")
    request = gate.records(got.request_id).request
    assert request.tier == "middle"
    assert request.decision["notes"] == ["the budget of this key has not enough left: tier middle in place of high"]


def test_a_budget_that_blocks_blocks(gate: Gate) -> None:
    got = ask(gate, "block", 200 * THOUSAND)
    assert (got.status, got.error["code"]) == (402, "insufficient_quota")


def test_one_tier_and_not_two(gate: Gate) -> None:
    got = ask(gate, "downgrade", 5 * THOUSAND)
    assert (got.status, got.error["code"]) == (402, "insufficient_quota")


def test_a_model_that_was_named_has_no_tier(gate: Gate) -> None:
    assert ask(gate, "downgrade", 200 * THOUSAND, "dear:ok").status == 402
    assert ask(gate, "downgrade", 200 * THOUSAND, "auto/code/low").status == 200
    assert ask(gate, "downgrade", 0, "auto/code/low").status == 402


def test_a_bare_name_goes_to_who_is_cheap_enough(gate: Gate) -> None:
    got = ask(gate, "block", 200 * THOUSAND, "ok")
    assert (got.status, got.headers["x-relayhouse-provider"]) == (200, "cheap")


# -- on plain values --------------------------------------------------------------------


def test_the_next_cheaper_tier() -> None:
    tiers = {name: TierEntry(name, name, position=position) for name, position in (("a", 0), ("b", 5), ("c", 9))}
    assert [one_tier_down(name, tiers) for name in ("c", "b", "a", "d", "")] == ["b", "a", "", "", ""]


def test_a_failure_tells_more_than_a_limit() -> None:
    late = PassedOver("later", status=429, code="rate_limit_exceeded", because="rate_limited", retry_after=30)
    soon = PassedOver("soon", status=429, code="rate_limit_exceeded", because="rate_limited", retry_after=2)
    never = PassedOver("never", status=402, code="insufficient_quota", because="over_budget")
    down, busy = Overloaded("down"), RateLimited("busy")
    assert telling([late, down, soon, busy, never]) is busy
    assert telling([never, late, soon]) is soon
    assert telling([never]) is never


def test_tokens_of_an_answer_that_is_left_open() -> None:
    assert tokens_at_most({}, 100, None) == 100 + 4096
    assert tokens_at_most({}, 100, 500) == 600
    assert tokens_at_most({}, 100, 128_000) == 100 + 4096


def test_a_budget_made_up_counts_apart() -> None:
    real, made_up = (Terms(1, "key", 1, 100, "USD", "day", demo=demo) for demo in (False, True))
    window = real.window(1.8e9)
    assert made_up.key(window) == ("key", 1, "money", f"demo {real.key(window)[3]}")
