"""Chains as a file has them: what is wrong with one, and what sets a fallback off."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    TimedOut,
    Unreachable,
)
from routing import chains
from routing.retries import Failure, next_step

A, B, C = "a:one", "b:two", "c:three"


def target(name: str, **more: Any) -> dict[str, Any]:
    return {"target": name, **more}


def split(*weights: Any) -> dict[str, Any]:
    return {"first": {"split": [target(f"m{number}", weight=weight) for number, weight in enumerate(weights)]}}


def test_a_chain_is_read_as_it_is_written() -> None:
    told = {
        "first": {"best": "cheapest", "of": [A, B]},
        "fallbacks": [target(C, on=["429", "timeout"])],
        "attempts": 2,
        "seconds": 30,
        "first_token_seconds": 1.5,
    }
    assert chains.faults(told) == []
    chain = chains.read(told)
    assert (chain.how, chain.targets) == ("cheapest", (A, B, C))
    assert chain.fallbacks == (chains.Fallback(C, frozenset({"429", "timeout"})),)
    assert (chain.attempts, chain.seconds, chain.first_token_seconds) == (2, 30, 1.5)
    assert chains.read(split(70, 30)).weights == (70.0, 30.0)


@pytest.mark.parametrize(
    ("chain", "path", "says"),
    [
        ({}, "chain", "empty"),
        (None, "chain", "empty"),
        ({"first": {}}, "chain.first", "one of target"),
        ({"first": {"target": A, "best": "cheapest"}}, "chain.first", "one of target"),
        ({"first": target("")}, "chain.first.target", "name a model"),
        ({"first": {"best": "prettiest", "of": [A]}}, "chain.first.best", "cheapest or fastest"),
        ({"first": {"best": "cheapest", "of": []}}, "chain.first.of", "1 to 20"),
        (split(50, 40), "chain.first.split", "sum to 100, not to 90"),
        (split(50, "half"), "chain.first.split[1].weight", "from 0 to 100"),
        (split(True, 99), "chain.first.split[0].weight", "from 0 to 100"),
        (split(), "chain.first.split", "1 to 20"),
        ({"first": target(A), "fallbacks": target(B)}, "chain.fallbacks", "a list"),
        ({"first": target(A), "fallbacks": [target(B, on=["bad luck"])]}, "chain.fallbacks[0].on[0]", "429 or 5xx"),
        ({"first": target(A), "fallbacks": [target(A)]}, "chain", "twice"),
        ({"first": target(A), "attempts": 0}, "chain.attempts", "1 to 10"),
        ({"first": target(A), "seconds": -1}, "chain.seconds", "3600"),
        ({"first": target(A), "secnods": 1}, "chain.secnods", "not known here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(chain: Any, path: str, says: str) -> None:
    [(where, words)] = chains.faults(chain)
    assert where == path
    assert says in words


def test_somebody_else_knows_which_targets_there_are() -> None:
    told = {"first": target(A), "fallbacks": [target(B)]}
    judge = {A: "", B: "there is no such model"}.__getitem__
    assert chains.faults(told, judge=judge) == [("chain.fallbacks[0].target", "there is no such model")]


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (RateLimited("x"), {"429", "4xx", "rate_limited"}),
        (TimedOut("x"), {"504", "5xx", "timeout", "first_token"}),
        (BadCredentials("x", upstream_status=401), {"401", "4xx", "auth"}),
        (QuotaExhausted("x", upstream_status=402), {"402", "4xx", "auth"}),
        (ModelNotFound("x", upstream_status=404), {"404", "4xx", "not_found"}),
        (Unreachable("x"), {"502", "5xx", "server_error"}),
        (Overloaded("x", upstream_status=529), {"529", "5xx", "server_error"}),
        (ContextTooLong("x"), {"400", "4xx", "context_length"}),
        (Refused("x"), {"400", "4xx", "content_filter"}),
        (BadRequest("x"), {"400", "4xx", "bad_request"}),
    ],
)
def test_a_failure_has_its_names(error: ProviderError, names: set[str]) -> None:
    assert chains.happened(error) == names


def step(error: ProviderError, *meant_for: set[str]) -> int | None:
    found = next_step(
        [Failure(0, error)],
        len(meant_for) + 1,
        seconds_left=60,
        draw=lambda: 0.5,
        meant_for=[frozenset(), *map(frozenset, meant_for)],
    )
    return found.target if found else None


def test_a_fallback_steps_in_for_what_it_is_meant_for() -> None:
    assert step(RateLimited("x"), {"timeout"}, {"rate_limited"}) == 2
    assert step(RateLimited("x"), {"timeout"}, {"429"}) == 2
    assert step(Overloaded("x", upstream_status=503), {"rate_limited"}, {"5xx"}) == 2
    assert step(TimedOut("x"), {"first_token"}) == 1
    assert step(ModelNotFound("x"), {"rate_limited"}) is None


def test_a_wrong_request_goes_elsewhere_only_where_somebody_said_so() -> None:
    assert step(ContextTooLong("x"), set()) is None
    assert step(ContextTooLong("x"), set(), {"context_length"}) == 2
    assert step(Refused("x"), {"content_filter"}) == 1
    assert step(BadRequest("x"), set()) is None
