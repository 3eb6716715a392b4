"""Asking by what it is for, over a real socket: names, headers, metadata; routes, their fallbacks and their times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from billing.models import Team
from routing.keys import create_key
from routing.models import Experiment, Exposure, Flag, Route, Tier, UseCase
from tests.routing.gate import MESSAGES, Gate, connect
from tests.upstream import Upstream


@pytest.fixture(scope="module")
def house(gate: Gate) -> Iterator[Gate]:
    UseCase.objects.all().delete()
    Tier.objects.all().delete()
    code = UseCase.objects.create(slug="code", name="Code", tier="economy", position=1)
    UseCase.objects.create(slug="nowhere", name="Nowhere", position=2)
    economy = Tier.objects.create(slug="economy", name="Economy", most_nano=1_000_000_000)
    Tier.objects.create(slug="tiny", name="Tiny", most_nano=1)
    route = Route.objects.create(name="code/economy", use_case=code, tier=economy, chain=chain("b:ok"))
    Route.objects.create(name="code/any", use_case=code, chain=chain("b:ok"))
    gate.refresh()
    yield gate
    route.delete()


def chain(first: str, *fallbacks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"first": {"target": first}, "fallbacks": list(fallbacks), **more}


def lay(gate: Gate, chain: dict[str, Any], when: dict[str, Any] | None = None) -> None:
    Route.objects.filter(name="code/economy").update(chain=chain, when=when or {})
    Route.objects.get(name="code/economy").save()
    gate.refresh()


@pytest.mark.parametrize(
    ("model", "headers", "metadata"),
    [
        ("auto/code", {}, {}),
        ("auto/code/economy", {}, {}),
        ("auto", {"x-relayhouse-use-case": "code"}, {}),
        (None, {"x-relayhouse-use-case": "code", "x-relayhouse-budget-tier": "economy"}, {}),
        ("auto", {}, {"use_case": "code", "budget_tier": "economy"}),
    ],
)
def test_every_way_to_say_what_it_is_for(
    house: Gate, model: str | None, headers: dict[str, str], metadata: dict[str, str]
) -> None:
    lay(house, chain("b:ok"))
    got = house.chat(model, headers=headers, **({"metadata": metadata} if metadata else {}))
    assert got.status == 200
    assert got.headers["x-relayhouse-route"] == "code/economy"
    assert got.headers["x-relayhouse-provider"] == "b"
    request = house.records(got.request_id).request
    assert (request.use_case, request.tier, request.route) == ("code", "economy", "code/economy")
    assert request.decision["reason"] == "ROUTE code/economy"
    assert request.ask["input_tokens"] > 0
    assert request.queued_ms is not None


def test_what_it_was_for_stays_in_the_ledger(house: Gate) -> None:
    lay(house, chain("b:ok"))
    hints = {"x-relayhouse-tags": "nightly, beta", "x-relayhouse-session": "s-1", "x-relayhouse-user": "u-1"}
    got = house.chat("auto/code", headers=hints)
    records = house.records(got.request_id)
    [entry] = records.entries
    assert (entry.use_case, entry.tier, entry.route) == ("code", "economy", "code/economy")
    assert (entry.session, entry.tags) == ("s-1", ["nightly", "beta"])
    assert records.request.session == "s-1"
    assert records.request.ask["end_user"] == "u-1"


def test_a_label_on_a_named_model_changes_no_model(house: Gate) -> None:
    got = house.chat("b:ok", headers={"x-relayhouse-use-case": "code"})
    assert "x-relayhouse-route" not in got.headers
    records = house.records(got.request_id)
    assert (records.request.use_case, records.request.route) == ("code", "")
    assert records.entries[0].use_case == "code"


def test_our_hints_do_not_travel_on(house: Gate, second: Upstream) -> None:
    lay(house, chain("b:ok"))
    house.chat("auto", metadata={"use_case": "code", "tags": ["a"], "mine": "stays"})
    sent = json.loads(second.requests[-1].body)
    assert "use_case" not in json.dumps(sent)
    assert sent.get("metadata", {"mine": "stays"}) == {"mine": "stays"}


@pytest.mark.parametrize(
    ("model", "headers", "status", "code", "param"),
    [
        ("auto/coed", {}, 404, "unknown_use_case", "use_case"),
        ("auto/code/economie", {}, 404, "unknown_budget_tier", "budget_tier"),
        ("auto/code/tiny", {}, 402, "tier_cap", "budget_tier"),
        ("auto/code", {"x-relayhouse-complexity": "hard"}, 400, "invalid_hint", "complexity"),
        ("auto/code", {"x-relayhouse-tags": ",".join("abcdefghijklmnopqrstuvwxyz")}, 400, "invalid_hint", "tags"),
    ],
)
def test_what_cannot_be_is_said(
    house: Gate, model: str, headers: dict[str, str], status: int, code: str, param: str
) -> None:
    got = house.chat(model, headers=headers)
    assert (got.status, got.error["code"], got.error["param"]) == (status, code, param)
    if status == 402:
        assert got.headers["x-should-retry"] == "false"


def test_a_use_case_without_a_route_takes_the_default_or_says_that_there_is_none(house: Gate) -> None:
    got = house.chat("auto/nowhere")
    assert got.status == 404
    assert "default" in got.error["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("target", "on", "status"),
    [
        ("a:429", ["rate_limited"], 200),
        ("a:429", ["timeout"], 429),
        ("a:500", ["5xx"], 200),
        ("a:500", ["rate_limited"], 502),
        ("a:too-long", ["context_length"], 200),
        ("a:too-long", [], 400),
        ("a:filtered", ["content_filter"], 200),
        ("a:filtered", ["context_length"], 400),
        ("a:401", ["auth"], 200),
        ("a:silent", ["first_token"], 200),
    ],
)
def test_a_fallback_steps_in_for_what_it_is_meant_for(
    house: Gate, target: str, on: list[str], status: int, stream: bool
) -> None:
    lay(house, chain(target, {"target": "b:ok", **({"on": on} if on else {})}, attempts=2))
    got = house.chat("auto/code", stream=stream)
    assert got.status == status
    records = house.records(got.request_id)
    tried = [f"{attempt.provider}:{attempt.model}" for attempt in records.attempts]
    assert tried[0] == target
    assert ("b:ok" in tried) is (status == 200)
    assert len(records.entries) == (1 if status == 200 else 0)


def test_a_route_has_its_own_times_and_attempts(house: Gate) -> None:
    lay(house, chain("a:headers-only", {"target": "b:ok"}, first_token_seconds=0.1))
    got = house.chat("auto/code", stream=True)
    assert got.status == 200
    first = house.records(got.request_id).attempts[0]
    assert first.error_code == "upstream_timeout"
    assert first.duration_ms < 450  # the provider's own time is half a second
    lay(house, chain("a:500", {"target": "b:ok"}, attempts=1))
    got = house.chat("auto/code")
    assert got.status == 502
    assert len(house.records(got.request_id).attempts) == 1


def test_conditions_look_at_the_request(house: Gate) -> None:
    tools = {"attribute": "needs", "operator": "includes", "value": "tools"}
    region = {"attribute": "header:X-Region", "operator": "is", "value": "eu"}
    plan = {"attribute": "metadata:plan", "operator": "is", "value": "pro"}
    lay(house, chain("b:ok"), {"any": [tools, {"all": [region, plan]}]})
    function = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert house.chat("auto/code").headers["x-relayhouse-route"] == "code/any"
    assert house.chat("auto/code", tools=[function]).headers["x-relayhouse-route"] == "code/economy"
    one = house.chat("auto/code", headers={"x-region": "eu"})
    assert one.headers["x-relayhouse-route"] == "code/any"
    both = house.chat("auto/code", headers={"x-region": "eu", "x-secret": "no"}, metadata={"plan": "pro", "age": 3})
    assert both.headers["x-relayhouse-route"] == "code/economy"
    ask = house.records(both.request_id).request.ask
    assert (ask["headers"], ask["metadata"]) == ({"x-region": "eu"}, {"plan": "pro"})


def test_a_key_says_what_auto_means_for_it(house: Gate) -> None:
    lay(house, chain("b:ok"))
    key, secret = create_key("with a default", team=house.team)
    key.use_case, key.tier = "code", "economy"
    key.save()
    mine = {"authorization": f"Bearer {secret}"}
    assert house.chat("auto", headers=mine).headers["x-relayhouse-route"] == "code/economy"
    assert "x-relayhouse-route" not in house.chat("b:ok", headers=mine).headers
    assert house.chat("auto/code/tiny", headers=mine).error["code"] == "tier_cap"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
def test_a_team_that_is_local_only_opens_no_socket_to_a_cloud(house: Gate, path: str) -> None:
    cloud = Upstream()
    with cloud:
        connect("Cloud", cloud.base_url, ["ok"], kind="openai")
        Team.objects.filter(pk=house.team.pk).update(data_policy="local_only")
        house.team.refresh_from_db()
        house.team.save()
        house.refresh()
        try:
            body: dict[str, Any] = {"model": "cloud:ok", "messages": MESSAGES, "input": "hello", "max_tokens": 5}
            takes = {"/v1/responses": {"model", "input"}, "/v1/embeddings": {"model", "input"}}
            kept = takes.get(path, {"model", "messages", "max_tokens"})
            got = house.post(json.dumps({name: body[name] for name in kept}).encode(), path=path)
            assert got.status == 403, got.body
            assert "local_only" in got.body.decode()
            assert cloud.connections == 0
        finally:
            Team.objects.filter(pk=house.team.pk).update(data_policy="")
            house.team.refresh_from_db()
            house.team.save()
            house.refresh()


def test_flags_and_experiments_act_on_real_requests(house: Gate) -> None:
    lay(house, chain("a:ok", {"target": "b:ok"}))
    off = Flag.objects.create(key="no-a", governs="provider:a", share=0)
    door = Flag.objects.create(key="no-messages", governs="feature:messages", enabled=False)
    arms = [{"name": "A", "weight": 0, "target": ""}, {"name": "B", "weight": 100, "target": "b:slow"}]
    trial = Experiment.objects.create(key="slower", use_case="code", arms=arms, unit="user")
    house.refresh()
    try:
        got = house.chat("auto/code", headers={"x-relayhouse-user": "u-9"})
        assert (got.status, got.headers["x-relayhouse-provider"]) == (200, "b")
        records = house.records(got.request_id)
        assert records.entries[0].arm == "slower/B"
        assert (records.attempts[0].provider, records.attempts[0].model) == ("b", "slow")
        verdicts = {each["model"]: each["verdict"] for each in records.request.decision["candidates"]}
        assert verdicts["a:ok"] == "flag 'no-a': on for 0 % by team"
        found = house.until(lambda: list(Exposure.objects.filter(experiment="slower#1")), "no exposure was written")
        assert [(each.arm, each.request_id) for each in found] == [("B", got.request_id)]
        body = json.dumps({"model": "b:ok", "max_tokens": 5, "messages": MESSAGES}).encode()
        assert house.post(body, path="/v1/messages").status == 403
        assert house.post(body).status == 200
    finally:
        for row in (off, door, trial):
            row.delete()
        house.refresh()
