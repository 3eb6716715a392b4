"""When a target is left alone, and when it is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    Interrupted,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    TimedOut,
    Unreachable,
)
from routing.breaker import DEFAULT, Breakers, Change, Outcome, State, after, outcome_of, rules_from

A, B = "openai:large", "groq:small"
DOWN = Overloaded("busy")


def breakers(draw: Callable[[], float] = lambda: 0.5) -> Breakers:
    return Breakers(draw=draw)


def failing(made: Breakers, times: int, now: float = 100.0, error: ProviderError = DOWN, target: str = A) -> Breakers:
    for _ in range(times):
        made.note(target, error, now)
    return made


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (Overloaded("busy"), Outcome.FAILED),
        (Unreachable("refused"), Outcome.FAILED),
        (TimedOut("silent"), Outcome.FAILED),
        (Interrupted("cut"), Outcome.FAILED),
        (BadCredentials("no key"), Outcome.HOPELESS),
        (BadCredentials("refused", upstream_status=401), Outcome.HOPELESS),
        (BadCredentials("this topic", upstream_status=403), Outcome.FAILED),
        (QuotaExhausted("no money"), Outcome.FAILED),
        (ModelNotFound("this file", param="input"), Outcome.FAILED),
        (ModelNotFound("404"), Outcome.HOPELESS),
        (RateLimited("slow down"), None),
        (BadRequest("wrong"), None),
        (ContextTooLong("long"), None),
        (asyncio.CancelledError(), None),
    ],
)
def test_what_an_ending_says_about_its_target(error: Any, outcome: Outcome | None) -> None:
    assert outcome_of(error) is outcome


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    made = failing(breakers(), 4)
    assert made.shut([A, B], 100) == {}
    made.note(A, DOWN, 101)
    assert made.shut([A, B], 101) == {A: 131}
    assert made.changes == [Change(A, 101, 131, "busy")]


def test_an_answer_in_between_begins_the_count_again() -> None:
    made = failing(breakers(), 4)
    made.note(A, None, 101)
    failing(made, 4, 102)
    assert made.shut([A], 102) == {}


def test_half_of_twenty_within_the_window_opens_it() -> None:
    made = breakers()
    for number in range(19):
        made.note(A, DOWN if number % 2 == 0 else None, 100 + number)
    assert made.shut([A], 119) == {}
    made.note(A, DOWN, 119.5)
    assert A in made.shut([A], 120)


def test_failures_of_long_ago_do_not_count_into_the_share() -> None:
    made = breakers()
    for number in range(40):
        made.note(A, DOWN if number % 2 == 0 else None, 100 + 10 * number)
    assert made.shut([A], 500) == {}


@pytest.mark.parametrize("error", [BadCredentials("401", upstream_status=401), ModelNotFound("404")])
def test_what_waiting_does_not_mend_opens_it_at_once(error: ProviderError) -> None:
    assert failing(breakers(), 1, error=error).shut([A], 100) == {A: 130}


def test_one_may_try_when_the_time_is_over_and_the_others_wait_for_them() -> None:
    made = failing(breakers(), 5)
    assert made.shut([A], 130) == {}
    made.claim(A, 130)
    assert made.shut([A], 131) == {A: 160}
    made.note(A, None, 132)
    assert made.shut([A], 132) == {}
    assert made.states == {}
    assert made.changes[-1] == Change(A, 132)


def test_a_failed_trial_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    made, now, waits = failing(breakers(), 5), 100.0, []
    for _ in range(6):
        until = made.shut([A], now)[A]
        waits.append(until - now)
        now = until
        assert made.shut([A], now) == {}
        made.claim(A, now)
        made.note(A, DOWN, now)
    assert waits == [30, 60, 120, 240, 300, 300]


def test_failures_that_were_under_way_do_not_lengthen_it() -> None:
    made = failing(breakers(), 5)
    before = made.states[A]
    failing(made, 20, 101)
    assert made.states[A] == before


def test_a_trial_that_says_nothing_lets_the_next_one_try() -> None:
    made = failing(breakers(), 5)
    made.claim(A, 130)
    assert made.shut([A], 130) == {A: 160}
    made.note(A, asyncio.CancelledError(), 131)
    assert made.shut([A], 131) == {}


def test_a_trial_that_never_ends_does_not_keep_others_out_for_ever() -> None:
    made = failing(breakers(), 5)
    made.claim(A, 130)
    assert made.shut([A], 159.9) != {}
    assert made.shut([A], 160) == {}


def test_the_wait_differs_from_process_to_process() -> None:
    waits = {failing(breakers(lambda share=share: share), 5).shut([A], 100)[A] for share in (0.0, 0.5, 1.0)}
    assert waits == {127.0, 130.0, 133.0}


def test_when_all_are_shut_one_a_second_may_try_the_one_that_opens_soonest() -> None:
    made = failing(failing(breakers(), 5, 100), 5, 90, target=B)
    assert set(made.shut([A, B], 101)) == {A, B}
    assert made.last_resort([A, B], 101) == B
    assert made.last_resort([A, B], 101.5) == ""
    assert made.last_resort([A, B], 102.1) == B
    made.note(B, None, 102.2)
    assert set(made.shut([A, B], 102.3)) == {A}


def test_what_a_person_opened_no_trial_closes() -> None:
    made = breakers()
    made.hear({A: Change(A, 100, 1e10, "maintenance", held=True)})
    assert made.shut([A], 5000) == {A: 1e10}
    assert made.last_resort([A], 5000) == ""
    made.note(A, None, 5000)
    assert A in made.shut([A], 5001)
    made.hear({})
    assert made.shut([A], 5002) == {}


def test_a_newer_word_of_another_process_wins_and_an_older_does_not() -> None:
    made = failing(breakers(), 5, 100)
    made.hear({A: Change(A, 90)})
    assert A in made.shut([A], 101)
    made.hear({A: Change(A, 110)})
    assert made.shut([A], 111) == {}
    made.hear({A: Change(A, 120, 150, "busy")})
    assert made.shut([A], 121) == {A: 150}


def test_nothing_is_kept_for_ever() -> None:
    made = failing(failing(breakers(), 1, 100), 5, 100, target=B)
    made.tidy(131)
    assert set(made.states) == {B}
    made.tidy(5000)
    assert made.states == {}


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.floats(0, 60), st.floats(0, 1)), max_size=60))
def test_an_open_circuit_always_has_an_end(steps: list[tuple[Outcome, float, float]]) -> None:
    state, now = State(since=1000.0), 1000.0
    for outcome, seconds, draw in steps:
        now += seconds
        state = after(state, outcome, now, draw=draw) or State(since=now)
        if state.open:
            assert state.until <= state.opened_at + 1.1 * DEFAULT.longest_seconds
            assert state.opened_at <= now
        else:
            assert state.in_a_row < DEFAULT.in_a_row


def test_a_provider_may_have_rules_of_its_own() -> None:
    assert rules_from({"connect_seconds": 5}) is None
    rules = rules_from({"circuit_failures": 2, "circuit_seconds": 400})
    assert rules is not None
    assert (rules.in_a_row, rules.first_seconds, rules.longest_seconds) == (2, 400, 400)
    made = breakers()
    made.note(A, DOWN, 100.0, rules)
    assert made.shut([A], 100.0) == {}
    made.note(A, DOWN, 101.0, rules)
    assert made.shut([A], 101.0) == {A: 501.0}
    refused = breakers()
    refused.note(A, BadCredentials("no", upstream_status=401), 100.0, rules_from({"circuit_failures": 50}))
    assert A in refused.shut([A], 100.0)
