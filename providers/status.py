"""How is a provider doing? One pure function from what checks, calls, keys and circuits say to a word and its cause.

    off       somebody switched it off            inactive  it cannot be asked: no key, no address
    down      it does not answer                  degraded  it answers, but not always
    healthy   it answers                          unknown   nobody asked it lately

A cause is a name with its figures; the words for it belong to whoever shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FRESH = timedelta(minutes=5)  # an older check says nothing about now
TRAFFIC = timedelta(minutes=15)  # how far back calls are counted
IN_A_ROW = 3  # failed checks that make it down
FEWEST = 10  # calls below which a share means nothing
DOWN_SHARE, DEGRADED_SHARE = 0.5, 0.05
FEWEST_FAILURES = 3
BAR_SHARE = 0.02  # of failures that colours a bar of the strip


class State(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    OFF = "off"
    INACTIVE = "inactive"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    SWITCHED_OFF = "switched_off"
    INACTIVE = "inactive"
    KEYS_REFUSED = "keys_refused"
    CHECKS_FAILED = "checks_failed"
    CHECK_FAILED = "check_failed"
    CHECKS_FAIL_CALLS_ANSWERED = "checks_fail_calls_answered"
    CIRCUITS_OPEN = "circuits_open"
    CALLS_FAIL = "calls_fail"
    SOME_KEYS_REFUSED = "some_keys_refused"
    ADDRESS_ANSWERS = "address_answers"
    KEY_ACCEPTED = "key_accepted"
    CALLS_ANSWERED = "calls_answered"
    STALE = "stale"
    NEVER_CHECKED = "never_checked"


ATTENTION = frozenset({State.DEGRADED, State.DOWN, State.INACTIVE})


@dataclass(frozen=True, slots=True)
class Check:
    at: datetime
    ok: bool
    code: str = ""
    message: str = ""
    address_only: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to judge by. Figures of calls are of the last minutes."""

    enabled: bool = True
    inactive_reason: str = ""
    checks: Sequence[Check] = ()  # newest first
    calls: int = 0
    failures: int = 0
    answered_at: datetime | None = None  # when the last call that was answered began
    keys: int = 0
    refused: Sequence[str] = ()  # what was said of each key that is refused
    models: int = 0
    open_circuits: int = 0
    closes_at: datetime | None = None  # when the first open circuit is tried again


@dataclass(frozen=True, slots=True)
class Status:
    state: State
    cause: Cause
    count: int = 0
    of: int = 0
    code: str = ""  # of the error, as in errors.py
    detail: str = ""  # what was said, in English
    at: datetime | None = None

    @property
    def attention(self) -> bool:
        return self.state in ATTENTION


def status_of(seen: Seen, now: datetime) -> Status:
    """The first of these that holds, the gravest first."""
    if not seen.enabled:
        return Status(State.OFF, Cause.SWITCHED_OFF)
    if seen.inactive_reason:
        return Status(State.INACTIVE, Cause.INACTIVE, detail=seen.inactive_reason)
    if seen.keys and len(seen.refused) >= seen.keys:
        return Status(State.DOWN, Cause.KEYS_REFUSED, seen.keys, seen.keys, "upstream_auth", seen.refused[0])
    failed = _failed_in_a_row(seen.checks, now)
    found = _checks_down(failed, seen) or _circuits(seen) or _calls(seen)
    if found:
        return found
    if failed:
        last = failed[0]
        return Status(State.DEGRADED, Cause.CHECK_FAILED, len(failed), 0, last.code, last.message, last.at)
    if seen.refused:
        return Status(State.DEGRADED, Cause.SOME_KEYS_REFUSED, len(seen.refused), seen.keys, detail=seen.refused[0])
    return _quiet(seen, now)


def _failed_in_a_row(checks: Sequence[Check], now: datetime) -> list[Check]:
    """The failed checks since the last good one, newest first; none when the newest is too old."""
    if not checks or checks[0].at < now - FRESH:
        return []
    failed = []
    for check in checks:
        if check.ok:
            break
        failed.append(check)
    return failed


def _checks_down(failed: list[Check], seen: Seen) -> Status | None:
    if len(failed) < IN_A_ROW:
        return None
    last = failed[0]
    if seen.answered_at is not None and seen.answered_at > failed[IN_A_ROW - 1].at:
        cause, state = Cause.CHECKS_FAIL_CALLS_ANSWERED, State.DEGRADED  # what is asked may be broken, and the rest not
    else:
        cause, state = Cause.CHECKS_FAILED, State.DOWN
    return Status(state, cause, len(failed), 0, last.code, last.message, last.at)


def _circuits(seen: Seen) -> Status | None:
    if not seen.open_circuits:
        return None
    state = State.DOWN if seen.open_circuits >= seen.models or _share(seen) >= DOWN_SHARE else State.DEGRADED
    return Status(state, Cause.CIRCUITS_OPEN, seen.open_circuits, seen.models, at=seen.closes_at)


def _calls(seen: Seen) -> Status | None:
    share = _share(seen)
    if share >= DOWN_SHARE:
        return Status(State.DOWN, Cause.CALLS_FAIL, seen.failures, seen.calls)
    if share >= DEGRADED_SHARE and seen.failures >= FEWEST_FAILURES:
        return Status(State.DEGRADED, Cause.CALLS_FAIL, seen.failures, seen.calls)
    return None


def _share(seen: Seen) -> float:
    return seen.failures / seen.calls if seen.calls >= FEWEST else 0.0


def _quiet(seen: Seen, now: datetime) -> Status:
    """Nothing is wrong; is anything known?"""
    last = seen.checks[0] if seen.checks else None
    if last is not None and last.at >= now - FRESH:
        cause = Cause.ADDRESS_ANSWERS if last.address_only else Cause.KEY_ACCEPTED
        return Status(State.HEALTHY, cause, at=last.at)
    if seen.answered_at is not None:
        return Status(State.HEALTHY, Cause.CALLS_ANSWERED, seen.calls - seen.failures, at=seen.answered_at)
    if last is not None:
        return Status(State.UNKNOWN, Cause.STALE, at=last.at)
    return Status(State.UNKNOWN, Cause.NEVER_CHECKED)


# -- the strip ------------------------------------------------------------------------------


def bar(checks: int, failed_checks: int, calls: int, failures: int) -> str:
    """One bar of a strip: "" good, "w" some failures, "b" down, "n" nothing known."""
    if not checks and not calls:
        return "n"
    worst = max(failed_checks / checks if checks else 0.0, failures / calls if calls else 0.0)
    if worst >= DOWN_SHARE:
        return "b"
    return "w" if failed_checks or worst >= BAR_SHARE else ""
