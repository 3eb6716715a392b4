"""Which target next, and how long to wait: rule 12 of docs/reliability.md, without a clock and without dice."""

from __future__ import annotations

import pytest

from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    Interrupted,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    TimedOut,
    TooLarge,
    Unreachable,
)
from routing.retries import Failure, Policy, Step, may_wait, next_step


def step(*errors: ProviderError, targets: int = 1, left: float = 60.0, draw: float = 1.0) -> Step | None:
    failures = [Failure(min(number, targets - 1), error) for number, error in enumerate(errors)]
    return next_step(failures, targets, seconds_left=left, draw=lambda: draw)


def test_it_begins_with_the_first() -> None:
    assert step(targets=3) == Step(0)


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("x", retry_after=3),
        Overloaded("x"),
        TimedOut("x"),
        Unreachable("x"),
        Interrupted("x"),
        InvalidAnswer("x"),
        TooLarge("x"),
        BadCredentials("x"),
        ModelNotFound("x"),
        QuotaExhausted("x"),
    ],
)
def test_another_target_comes_first_and_at_once(error: ProviderError) -> None:
    assert step(error, targets=2) == Step(1)


@pytest.mark.parametrize("error", [BadRequest("x"), ContextTooLong("x")])
def test_a_wrong_request_goes_nowhere_else(error: ProviderError) -> None:
    assert step(error, targets=2) is None


def test_there_are_three_attempts_in_all() -> None:
    assert step(Overloaded("x"), Overloaded("x"), Overloaded("x"), targets=5) is None
    assert step(Overloaded("x"), Overloaded("x"), Overloaded("x")) is None


@pytest.mark.parametrize("error", [RateLimited("x"), Overloaded("x"), Unreachable("x", sent=False)])
def test_the_same_target_is_asked_again_after_a_wait_that_doubles(error: ProviderError) -> None:
    assert step(error) == Step(0, 0.5)
    assert step(error, error) == Step(0, 1.0)


def test_the_wait_is_anything_up_to_the_whole() -> None:
    assert step(Overloaded("x"), draw=0.0) == Step(0, 0.0)
    assert step(Overloaded("x"), draw=0.3) == Step(0, 0.15)


def test_no_wait_is_longer_than_eight_seconds() -> None:
    many = Policy(attempts=20)
    failures = [Failure(0, Overloaded("x"))] * 10
    assert next_step(failures, 1, seconds_left=60, draw=lambda: 1.0, policy=many) == Step(0, 8.0)


@pytest.mark.parametrize(
    "error",
    [
        TimedOut("x"),
        Unreachable("reset: it may have seen the request"),
        Unreachable("x", code="upstream_tls", sent=False),
        Unreachable("x", code="target_blocked", sent=False),
        Interrupted("x"),
        InvalidAnswer("x"),
        TooLarge("x"),
        BadCredentials("x"),
        ModelNotFound("x"),
        QuotaExhausted("x"),
    ],
)
def test_the_same_target_is_not_asked_again_when_waiting_does_not_help(error: ProviderError) -> None:
    assert step(error) is None


def test_what_the_provider_says_is_obeyed_once() -> None:
    assert step(RateLimited("x", retry_after=2.0)) == Step(0, 2.0)
    assert step(RateLimited("x", retry_after=2.0), RateLimited("x", retry_after=2.0)) is None
    assert step(RateLimited("x", retry_after=2.0), RateLimited("x")) == Step(0, 1.0)


def test_what_the_provider_says_is_not_obeyed_beyond_reason() -> None:
    assert step(RateLimited("x", retry_after=3600.0)) is None


def test_no_wait_goes_past_the_deadline() -> None:
    assert step(RateLimited("x", retry_after=2.0), left=1.5) is None
    assert step(Overloaded("x"), left=0.4) is None
    assert step(Overloaded("x"), targets=2, left=0.0) is None


def test_after_all_others_the_one_that_can_be_asked_soonest_is_asked_again() -> None:
    assert step(RateLimited("x", retry_after=5.0), Overloaded("x"), targets=2) == Step(1, 0.5)
    assert step(RateLimited("x", retry_after=5.0), BadCredentials("x"), targets=2) == Step(0, 5.0)


def test_few_may_wait_at_once() -> None:
    assert [may_wait(waiting, 1) for waiting in (0, 2, 3)] == [True, True, False]
    assert [may_wait(waiting, 100) for waiting in (19, 20)] == [True, False]
