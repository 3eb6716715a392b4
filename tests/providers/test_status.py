"""From what is known of a provider to one word and its cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.status import Cause, Check, Seen, State, Status, bar, status_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def checks(*outcomes: bool, code: str = "upstream_unreachable", ago: float = 5) -> list[Check]:
    """Newest first, one each half minute."""
    return [
        Check(NOW - timedelta(seconds=ago + 30 * number), ok, "" if ok else code, "" if ok else "No answer.")
        for number, ok in enumerate(outcomes)
    ]


def judged(**seen: Any) -> Status:
    return status_of(Seen(**({"models": 4} | seen)), NOW)


@pytest.mark.parametrize(
    ("seen", "state", "cause"),
    [
        ({"enabled": False, "inactive_reason": "API key missing"}, State.OFF, Cause.SWITCHED_OFF),
        ({"inactive_reason": "API key missing", "checks": checks(True)}, State.INACTIVE, Cause.INACTIVE),
        ({"keys": 2, "refused": ["no", "no"], "checks": checks(True)}, State.DOWN, Cause.KEYS_REFUSED),
        ({"keys": 2, "refused": ["no"], "checks": checks(True)}, State.DEGRADED, Cause.SOME_KEYS_REFUSED),
        ({"checks": checks(False, False, False)}, State.DOWN, Cause.CHECKS_FAILED),
        ({"checks": checks(False, False, True)}, State.DEGRADED, Cause.CHECK_FAILED),
        ({"checks": checks(False)}, State.DEGRADED, Cause.CHECK_FAILED),
        ({"checks": checks(True, False, False, False)}, State.HEALTHY, Cause.KEY_ACCEPTED),
        ({"checks": checks(True), "open_circuits": 1}, State.DEGRADED, Cause.CIRCUITS_OPEN),
        ({"checks": checks(True), "open_circuits": 4}, State.DOWN, Cause.CIRCUITS_OPEN),
        ({"checks": checks(True), "calls": 20, "failures": 10}, State.DOWN, Cause.CALLS_FAIL),
        ({"checks": checks(True), "calls": 40, "failures": 3}, State.DEGRADED, Cause.CALLS_FAIL),
        ({"checks": checks(True), "calls": 40, "failures": 1}, State.HEALTHY, Cause.KEY_ACCEPTED),
        ({"checks": checks(True), "calls": 9, "failures": 9}, State.HEALTHY, Cause.KEY_ACCEPTED),
        ({"checks": checks(True, ago=600)}, State.UNKNOWN, Cause.STALE),
        ({"checks": checks(False, False, False, ago=600)}, State.UNKNOWN, Cause.STALE),
        ({"checks": checks(True, ago=600), "answered_at": NOW}, State.HEALTHY, Cause.CALLS_ANSWERED),
        ({}, State.UNKNOWN, Cause.NEVER_CHECKED),
    ],
)
def test_the_gravest_that_holds_is_said(seen: dict[str, Any], state: State, cause: Cause) -> None:
    found = judged(**seen)
    assert (found.state, found.cause) == (state, cause)


def test_calls_that_are_answered_since_the_checks_fail_keep_it_from_being_down() -> None:
    failing = checks(False, False, False, False)
    since = judged(checks=failing, answered_at=failing[2].at + timedelta(seconds=1))
    before = judged(checks=failing, answered_at=failing[2].at - timedelta(seconds=1))
    assert (since.state, since.cause) == (State.DEGRADED, Cause.CHECKS_FAIL_CALLS_ANSWERED)
    assert (before.state, before.count, before.code) == (State.DOWN, 4, "upstream_unreachable")


def test_a_check_that_could_not_try_the_key_says_so() -> None:
    only = Check(NOW, True, address_only=True)
    assert judged(checks=[only]).cause is Cause.ADDRESS_ANSWERS


def test_what_needs_somebody() -> None:
    assert judged(inactive_reason="API key missing").attention
    assert not judged(enabled=False).attention
    assert not judged().attention


@pytest.mark.parametrize(
    ("figures", "mark"),
    [
        ((0, 0, 0, 0), "n"),
        ((60, 0, 0, 0), ""),
        ((0, 0, 500, 5), ""),
        ((0, 0, 500, 10), "w"),
        ((60, 1, 0, 0), "w"),
        ((60, 30, 0, 0), "b"),
        ((60, 0, 10, 5), "b"),
    ],
)
def test_a_bar_shows_the_worse_of_checks_and_calls(figures: tuple[int, int, int, int], mark: str) -> None:
    assert bar(*figures) == mark
