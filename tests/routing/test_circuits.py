"""What processes tell each other about targets, and what a person holds open."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from routing import circuits
from routing.breaker import Breakers, Change
from routing.models import Circuit

pytestmark = [pytest.mark.store, pytest.mark.django_db]
A = "openai:large"


def opened(at: float, seconds: float = 60.0, reason: str = "busy") -> Change:
    return Change(A, at, at + seconds, reason)


def test_what_one_process_learns_the_others_hear() -> None:
    now = time.time()
    one, other = Breakers(), Breakers()
    one.changes.append(opened(now))
    circuits.exchange(one.changes)
    other.hear(circuits.exchange([]))
    assert other.shut([A], now + 1) == {A: pytest.approx(now + 60, abs=0.01)}
    other.hear(circuits.exchange([Change(A, now + 2)]))
    assert other.shut([A], now + 3) == {}


def test_an_older_word_does_not_replace_a_newer_one() -> None:
    now = time.time()
    circuits.exchange([opened(now)])
    circuits.exchange([Change(A, now - 5)])
    assert circuits.exchange([])[A].until


def test_a_held_circuit_outlives_answers_until_it_is_released() -> None:
    now = time.time()
    circuits.hold(A, "maintenance", 7)
    told = circuits.exchange([Change(A, now + 60)])
    assert told[A].held
    assert [row.target for row in circuits.of_provider("openai")] == [A]
    assert circuits.release(A)
    assert not circuits.release(A)
    assert circuits.exchange([])[A].until == 0
    assert circuits.of_provider("openai") == []


def test_holding_says_why_and_who() -> None:
    circuits.hold(A, "x" * 300, 7)
    row = Circuit.objects.get()
    assert (row.held_by_id, len(row.reason)) == (7, 200)


def test_what_is_over_is_no_news_and_forgotten() -> None:
    now = time.time()
    circuits.exchange([Change(A, now - 3600)])
    assert circuits.exchange([]) == {}
    assert circuits.forget(timezone.now() - timedelta(minutes=30)) == 1
    assert not Circuit.objects.exists()


def test_a_question_a_second_is_one_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        circuits.exchange([])
