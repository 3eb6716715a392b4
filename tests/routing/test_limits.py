"""Limits and budgets as a program meets them: over a real socket, against a real database."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.db.models import Sum

from billing import budgets
from billing.models import LedgerEntry, Pot, Team
from providers.models import Provider
from routing.keys import create_key, remove_budget, set_budget
from routing.models import ApiKey
from tests import factories
from tests.routing.gate import MESSAGES, Gate, Got, connect
from tests.silence import silent_store
from tests.upstream import Upstream

MILLI = 1_000_000  # nano-units; a thousandth of a dollar
TOKEN = 1000  # nano-units, of the prompt: a dollar a million; those of the answer cost two


@pytest.fixture(scope="module")
def gate(committed: None, first: Upstream, second: Upstream, http: Any) -> Iterator[Gate]:
    connect("a", first.base_url, ["ok", "slow", "long", "stalls", "resets"], priority=10)
    connect("b", second.base_url, ["ok", "stalls"], priority=20)
    connect("euro", second.base_url, ["paid"], priority=30)
    connect("unpriced", second.base_url, ["free"], priority=30)
    Provider.objects.get(slug="unpriced").models.get().prices.all().delete()
    Provider.objects.get(slug="euro").models.get().prices.update(currency="EUR")
    with Gate(http=http) as gate:
        yield gate


class House:
    """Makes keys with limits, and asks with them."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def key(self, team: Team | None = None, **limits: Any) -> tuple[ApiKey, dict[str, str]]:
        key, secret = create_key("limited", team=team or self.gate.team)
        for name, value in limits.items():
            setattr(key, name, value)
        key.save()
        return key, {"authorization": f"Bearer {secret}"}

    def budgeted(self, limit_nano: int, **values: Any) -> tuple[ApiKey, dict[str, str]]:
        key, headers = self.key()
        set_budget(key, limit_nano, **values)
        return key, headers

    def ask(self, headers: dict[str, str], model: str = "a:ok", **fields: Any) -> Got:
        return self.gate.chat(model, headers=headers, **fields)

    def many(self, headers: dict[str, str], count: int, model: str = "a:slow", **fields: Any) -> list[Got]:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(lambda _: self.ask(headers, model, **fields), range(count)))

    def limit(self, slug: str, **limits: Any) -> None:
        """What a provider allows us; the gate knows it at once."""
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            limits.setdefault(name, None)
        provider = Provider.objects.get(slug=slug)
        for name, value in limits.items():
            setattr(provider, name, value)
        provider.save()
        Pot.objects.filter(scope_kind="provider", scope_id=provider.pk).delete()
        self.gate.refresh()


@pytest.fixture
def house(gate: Gate) -> Iterator[House]:
    yield House(gate)
    gate.at_rest()
    gate.until(lambda: gate.worker.slices.held == 0, "something is still held")
    gate.until(lambda: budgets.disagreements() == [], "what was spent is not what the ledger says")


def spent(key: ApiKey) -> int:
    return int(LedgerEntry.objects.filter(key_id=key.pk).aggregate(total=Sum("amount_nano"))["total"] or 0)


# -- keys and teams ---------------------------------------------------------------------


def test_a_key_has_so_many_requests_a_minute(house: House) -> None:
    _, headers = house.key(requests_per_minute=3)
    got = [house.ask(headers) for _ in range(5)]
    assert [each.status for each in got] == [200, 200, 200, 429, 429]
    assert [each.headers["x-ratelimit-remaining-requests"] for each in got] == ["2", "1", "0", "0", "0"]
    assert {each.headers["x-ratelimit-limit-requests"] for each in got} == {"3"}
    assert 0 < int(got[0].headers["x-ratelimit-reset-requests"].rstrip("s")) <= 60
    refused = got[3]
    assert (refused.error["code"], refused.error["message"][:48]) == (
        "rate_limit_exceeded",
        "The limit of this key is reached: 3 requests a m",
    )
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "x-should-retry" not in refused.headers


def test_messages_are_refused_in_their_own_shape(house: House) -> None:
    _, headers = house.key(requests_per_minute=0)
    body = {"model": "a:ok", "max_tokens": 10, "messages": MESSAGES}
    got = house.gate.post(json.dumps(body).encode(), headers, "/v1/messages")
    assert (got.status, got.json["type"], got.error["type"]) == (429, "error", "rate_limit_error")
    assert got.headers["x-ratelimit-limit-requests"] == "0"
    assert "retry-after" in got.headers


def test_what_is_refused_for_another_reason_does_not_count(house: House) -> None:
    _, headers = house.key(requests_per_minute=2)
    assert house.ask(headers, "a:nothing").status == 404
    assert house.ask(headers, "unpriced:free", unknown_field=1).status in (200, 400)
    assert [house.ask(headers).status for _ in range(2)].count(200) >= 1
    _, headers = house.key(requests_per_minute=1, tokens_per_minute=5)
    assert house.ask(headers).status == 429
    assert house.ask(headers).headers["x-ratelimit-remaining-requests"] == "1"


def test_every_answer_tells_of_the_limits(house: House) -> None:
    _, headers = house.key(requests_per_minute=9, tokens_per_minute=10_000)
    streamed = house.ask(headers, stream=True, max_tokens=20)
    assert streamed.done
    assert streamed.headers["x-ratelimit-remaining-requests"] == "8"
    assert 0 < int(streamed.headers["x-ratelimit-remaining-tokens"]) < 10_000
    assert house.gate.get("/v1/models", **headers).headers["x-ratelimit-limit-tokens"] == "10000"
    assert "x-ratelimit-limit-requests" not in house.gate.chat("a:ok").headers


def test_tokens_are_held_at_most_and_settled_to_what_was_used(house: House) -> None:
    _, headers = house.key(tokens_per_minute=100)
    got = [house.ask(headers, max_tokens=50) for _ in range(2)]
    assert [each.status for each in got] == [200, 200]  # 13 tokens each in the end
    assert house.ask(headers, max_tokens=50).headers["x-ratelimit-remaining-tokens"] == "61"
    assert house.ask(headers, messages=[{"role": "user", "content": "word " * 500}]).status == 429


def test_a_team_has_one_limit_for_all_its_keys(house: House) -> None:
    team = factories.make_team("Limited", requests_per_minute=3)
    house.gate.refresh()
    keys = [house.key(team)[1] for _ in range(2)]
    got = [house.ask(keys[number % 2]) for number in range(5)]
    assert [each.status for each in got] == [200, 200, 200, 429, 429]
    assert "this team" in got[3].error["message"]
    assert got[0].headers["x-ratelimit-remaining-requests"] == "2"


def test_so_many_requests_at_once(house: House) -> None:
    _, headers = house.key(concurrency=2)
    got = house.many(headers, 6)
    statuses = sorted(each.status for each in got)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 2
    assert {each.headers["retry-after"] for each in got if each.status == 429} == {"1"}
    assert house.ask(headers).status == 200


def test_who_leaves_gives_back_what_it_held(house: House) -> None:
    _, headers = house.key(concurrency=1)
    with httpx.Client(base_url=house.gate.url, timeout=10, headers=headers) as client:
        body = {"model": "a:long", "stream": True, "messages": MESSAGES}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            assert house.ask(headers).status == 429
    house.gate.until(lambda: house.ask(headers).status == 200, "its place was not given back")


# -- providers ---------------------------------------------------------------------------


@pytest.fixture
def unlimited(house: House) -> Iterator[None]:
    yield
    house.limit("a")
    house.limit("b")


def test_a_provider_at_its_limit_is_passed_over(house: House, unlimited: None, first: Upstream) -> None:
    house.limit("a", requests_per_minute=1)
    asked = len(first.chats)
    got = [house.gate.chat("ok") for _ in range(3)]
    assert [each.status for each in got] == [200, 200, 200]
    assert [each.headers["x-relayhouse-provider"] for each in got] == ["a", "b", "b"]
    assert len(first.chats) == asked + 1
    decision = house.gate.records(got[1].request_id).request.decision
    verdicts = {each["model"]: (each["usable"], each["verdict"]) for each in decision["candidates"]}
    assert verdicts["a:ok"] == (False, "a is at its limit of 1 requests a minute")
    assert len(house.gate.records(got[1].request_id).attempts) == 1


def test_when_all_are_at_their_limits(house: House, unlimited: None) -> None:
    house.limit("a", requests_per_minute=0)
    house.limit("b", tokens_per_minute=0)
    got = house.gate.chat("ok")
    assert (got.status, got.error["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(got.headers["retry-after"]) <= 60
    assert "x-should-retry" not in got.headers
    assert house.gate.chat("a:ok").status == 429


def test_a_provider_has_so_many_calls_at_once(house: House, unlimited: None) -> None:
    house.limit("a", concurrency=1)
    got = house.many({}, 4, "a:slow")
    assert sorted({each.status for each in got}) == [200, 429]
    assert house.gate.chat("a:slow").status == 200


def test_a_limit_does_not_hide_a_failure(house: House, unlimited: None) -> None:
    house.limit("b", requests_per_minute=0)
    got = house.gate.chat("stalls")
    assert (got.status, got.error["code"]) == (504, "upstream_stalled")


# -- budgets -----------------------------------------------------------------------------


def test_a_budget_is_never_exceeded(house: House) -> None:
    key, headers = house.budgeted(1 * MILLI)
    got = house.many(headers, 30, "a:ok", max_tokens=100)
    assert {each.status for each in got} <= {200, 429, 402}
    refused = [each for each in got if each.status != 200]
    assert {each.error["code"] for each in refused} <= {"budget_reserved", "insufficient_quota"}
    house.gate.until(lambda: spent(key) == sum(each.status == 200 for each in got) * 17 * TOKEN, "it was not booked")
    while (last := house.ask(headers, max_tokens=100)).status == 200:
        pass
    assert (last.status, last.error["code"]) == (402, "insufficient_quota")
    assert last.headers["x-should-retry"] == "false"
    assert "0.001 USD a month" in last.error["message"]
    assert "spent" in last.error["message"]
    house.gate.until(lambda: house.gate.worker.journal.unloaded_bytes == 0, "the ledger is behind")
    assert Pot.objects.get(scope_id=key.pk).spent == spent(key)
    assert MILLI - 300 * TOKEN < spent(key) <= MILLI, last.error["message"]


def test_held_by_running_requests_is_not_spent(house: House) -> None:
    _, headers = house.budgeted(300 * TOKEN)
    with httpx.Client(base_url=house.gate.url, timeout=10, headers=headers) as client:
        body = {"model": "a:long", "stream": True, "max_tokens": 100, "messages": MESSAGES}
        with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            got = house.ask(headers, max_tokens=100)
            assert (got.status, got.error["code"]) == (429, "budget_reserved")
            assert got.headers["retry-after"] == "1"
            assert "0 USD spent" in got.error["message"]


def test_a_failure_before_the_answer_costs_nothing(house: House) -> None:
    key, headers = house.budgeted(MILLI)
    assert house.ask(headers, "a:resets", max_tokens=100).status == 502
    assert house.ask(headers, max_tokens=100).status == 200
    house.gate.until(lambda: spent(key) == 17 * TOKEN, "it was not booked")
    assert Pot.objects.get(scope_id=key.pk).spent == 17 * TOKEN


def test_without_a_price_there_is_no_answer(house: House) -> None:
    _, headers = house.budgeted(MILLI)
    got = house.ask(headers, "unpriced:free")
    assert (got.status, got.error["code"], got.headers["x-should-retry"]) == (402, "price_unknown", "false")
    assert "unpriced:free is not known" in got.error["message"]
    got = house.ask(headers, "euro:paid")
    assert (got.status, got.error["code"]) == (402, "currency_mismatch")
    assert "EUR" in got.error["message"]
    assert "USD" in got.error["message"]


def test_a_budget_changes_at_once_and_can_be_taken_away(house: House) -> None:
    key, headers = house.budgeted(10)
    assert house.ask(headers).status == 402
    set_budget(key, MILLI)
    house.gate.until(lambda: house.ask(headers, max_tokens=10).status == 200, "the new budget is not known")
    set_budget(key, 10)
    house.gate.until(lambda: house.ask(headers, max_tokens=10).status == 402, "the lower budget is not known")
    remove_budget(key)
    house.gate.until(lambda: house.ask(headers).status == 200, "the budget is still there")


def test_a_connection_that_breaks_leaves_nothing_held(house: House) -> None:
    _, headers = house.budgeted(MILLI)
    told = json.dumps({"model": "a:slow", "messages": MESSAGES, "max_tokens": 10}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: {headers['authorization']}\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", house.gate.port)) as line:
            line.sendall(f"{head}content-length: {len(told)}\r\n\r\n".encode() + told)
    house.gate.until(lambda: house.gate.worker.gateway.in_flight == 0, "a request is still there")
    assert house.gate.worker.slices.held == 0


# -- without the store ---------------------------------------------------------------------


def test_without_the_store_only_budgets_stop_and_only_beyond_what_is_held(house: House) -> None:
    _, budgeted = house.budgeted(MILLI)
    _, limited = house.key(requests_per_minute=4)
    assert house.ask(budgeted, max_tokens=10).status == 200
    assert house.ask(limited).status == 200
    with silent_store():
        began = time.monotonic()
        got = house.ask(budgeted, max_tokens=400)
        assert (got.status, got.error["code"], got.headers["retry-after"]) == (503, "ledger_unavailable", "1")
        assert time.monotonic() - began < 3.0
        assert house.ask(budgeted, max_tokens=10).status == 200
        assert house.gate.chat("a:ok").status == 200
        assert [house.ask(limited).status for _ in range(4)] == [200, 200, 200, 429]
    house.gate.until(lambda: house.ask(budgeted, max_tokens=400).status == 200, "the store is there again")
