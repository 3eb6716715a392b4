"""Which key an attempt takes: by weight, never one that has ended, and another one when the first is refused."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from providers.errors import BadCredentials, Overloaded, QuotaExhausted, RateLimited, Unreachable
from routing.picking import another_may_do, pick, usable
from routing.snapshot import CredentialEntry

DRAWS = 10_000


def keys(*weights: int, until: float | None = None) -> tuple[CredentialEntry, ...]:
    return tuple(
        CredentialEntry(number, f"uid-{number}", weight, valid_until=until) for number, weight in enumerate(weights)
    )


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (5, 3, 2), (1, 0, 1), (0, 0), (100, 1)])
def test_keys_are_used_by_their_weight(weights: tuple[int, ...]) -> None:
    draw = random.Random(20261125).random
    some = keys(*weights)
    seen = Counter(picked.id for _ in range(DRAWS) if (picked := pick(some, draw)))
    total = sum(weights) or len(weights)
    for key in some:
        share = (key.weight if sum(weights) else 1) / total
        sigma = math.sqrt(DRAWS * share * (1 - share))
        assert abs(seen[key.id] - DRAWS * share) <= 3 * sigma, (weights, seen)


@pytest.mark.parametrize("draw", [0.0, 0.999999999, 1.0])
def test_the_ends_of_the_draw_hit_a_key(draw: float) -> None:
    picked = pick(keys(0, 2, 0), lambda: draw)
    assert picked is not None
    assert picked.id == 1


def test_there_may_be_none_or_one() -> None:
    assert pick((), random.random) is None
    assert pick(keys(0), random.random) is not None


def test_a_key_is_used_until_its_end_and_not_after() -> None:
    some = keys(1, until=100.0)
    assert usable(some, 99.9) == some
    assert usable(some, 100.0) == ()


def test_a_key_that_was_refused_is_left_out() -> None:
    some = keys(1, 1, 1)
    assert [key.id for key in usable(some, 0.0, {0, 2})] == [1]


@pytest.mark.parametrize("error", [BadCredentials("x"), RateLimited("x"), QuotaExhausted("x")])
def test_another_key_may_fare_better(error: BadCredentials | RateLimited | QuotaExhausted) -> None:
    assert another_may_do(error)


@pytest.mark.parametrize("error", [Overloaded("x"), Unreachable("x")])
def test_another_key_changes_nothing(error: Overloaded | Unreachable) -> None:
    assert not another_may_do(error)
