"""When is a target left alone for a while, and when is it tried again? A pure transition, and the states of a process.

    closed --(5 failures in a row, or half of 20 in 30 s, or a refusal that waiting does not mend)--> open
    open   --(30 s, doubling to 300 s)--> trying: one request goes through
    trying --(answered)--> closed;  --(failed)--> open, for longer

A target that works has no state at all, so that a good request costs one look at an empty table. What other processes
know, and what a person decided, comes in through `told` and wins when it is newer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from providers.errors import BadCredentials, BadRequest, ModelNotFound, ProviderError, RateLimited

SAME = 0.001  # seconds: two moments nearer than this are one
PROBE_SECONDS = 30.0  # the longest a trial may keep others out without telling how it ended
EVERYBODY_OUT_SECONDS = 1.0  # between two trials when no target is left


class Rules(msgspec.Struct, frozen=True):
    in_a_row: int = 5
    hopeless: int = 5  # for how many failures one counts that waiting does not mend
    share: float = 0.5
    of: int = 20
    window_seconds: float = 30.0
    first_seconds: float = 30.0
    longest_seconds: float = 300.0


DEFAULT = Rules()
OWN = {"circuit_failures": "in_a_row", "circuit_seconds": "first_seconds"}  # among the options of a provider


def rules_from(options: Mapping[str, Any]) -> Rules | None:
    """A provider's own; None where it has none."""
    own = {field: options[name] for name, field in OWN.items() if isinstance(options.get(name), int | float)}
    if not own:
        return None
    rules = msgspec.structs.replace(DEFAULT, **own)
    # One that is hopeless opens the circuit at once, however patient a provider's rules are.
    longest = max(rules.longest_seconds, rules.first_seconds)
    return msgspec.structs.replace(rules, hopeless=rules.in_a_row, longest_seconds=longest)


class Outcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    HOPELESS = "hopeless"  # a key that is refused, a model that is not there: the next try would say the same


class State(msgspec.Struct, frozen=True):
    """Of a target about which there is something to remember."""

    since: float = 0.0  # the window began
    in_a_row: int = 0
    failed: int = 0  # in the window
    answered: int = 0
    until: float = 0.0  # closed while this is nought
    opened_at: float = 0.0
    openings: int = 0  # without an answer in between
    probe_until: float = 0.0  # somebody is trying
    reason: str = ""

    @property
    def open(self) -> bool:
        return self.until > 0


def outcome_of(error: BaseException | None) -> Outcome | None:
    """None: says nothing about the target. A request that is wrong, a limit that is known, a client that left."""
    if error is None:
        return Outcome.OK
    if not isinstance(error, ProviderError) or isinstance(error, BadRequest | RateLimited):
        return None
    if isinstance(error, BadCredentials) and error.upstream_status in (None, 401):
        return Outcome.HOPELESS
    if isinstance(error, ModelNotFound) and error.param in (None, "model"):
        return Outcome.HOPELESS
    # Other refusals of this sort may be about what was asked: 403 for a topic, 402 for a long answer, 404 for a file.
    return Outcome.FAILED


def after(
    state: State, outcome: Outcome, now: float, *, reason: str = "", draw: float = 0.5, rules: Rules = DEFAULT
) -> State | None:
    """The state after one more answer; None when there is nothing left to remember."""
    if outcome is Outcome.OK:
        if state.open or now - state.since > rules.window_seconds:
            return None
        return msgspec.structs.replace(state, in_a_row=0, answered=state.answered + 1)
    if state.open:
        # Failures of requests that were under way when it opened say nothing new; that of the trial does.
        return _opened(state, now, reason, draw, rules) if now >= state.until else state
    if now - state.since > rules.window_seconds:
        state = State(since=now, in_a_row=state.in_a_row, openings=state.openings)
    weight = rules.hopeless if outcome is Outcome.HOPELESS else 1
    state = msgspec.structs.replace(state, in_a_row=state.in_a_row + weight, failed=state.failed + 1)
    counted = state.failed + state.answered
    too_many = counted >= rules.of and state.failed >= rules.share * counted
    if too_many or state.in_a_row >= rules.in_a_row:
        return _opened(state, now, reason, draw, rules)
    return state


def _opened(state: State, now: float, reason: str, draw: float, rules: Rules) -> State:
    """Longer each time, and not for everybody at the same moment."""
    now = int(now * 1e6) / 1e6  # as the database keeps it, so that our own word does not come back as a newer one
    seconds: float = min(rules.first_seconds * 2**state.openings, rules.longest_seconds)
    until = now + seconds * (0.9 + 0.2 * draw)
    return State(since=now, until=until, opened_at=now, openings=state.openings + 1, reason=reason)


class Change(msgspec.Struct, frozen=True):
    """A circuit that opened or closed, for the other processes and for people."""

    target: str
    at: float
    until: float = 0.0  # nought: it closed
    reason: str = ""
    held: bool = False  # opened by a person: no trial closes it


class Breakers:
    """The states of this process. Times are those of the wall clock: other processes read them too."""

    def __init__(self, *, rules: Rules = DEFAULT, draw: Callable[[], float] = random.random) -> None:
        self.states: dict[str, State] = {}
        self.held: dict[str, Change] = {}
        self.changes: list[Change] = []  # not told to anybody yet
        self.rules = rules
        self._draw = draw
        self._last_resort = 0.0

    # -- asking ------------------------------------------------------------------------

    def shut(self, targets: Iterable[str], now: float) -> dict[str, float]:
        """Which of these are to be left alone now, and until when."""
        return {target: until for target in targets if (until := self._shut_until(target, now))}

    def _shut_until(self, target: str, now: float) -> float:
        held = self.held.get(target)
        if held is not None:
            return held.until
        state = self.states.get(target)
        if state is None or not state.open:
            return 0.0
        if now < state.until:
            return state.until
        return state.probe_until if now < state.probe_until else 0.0

    def claim(self, target: str, now: float) -> None:
        """It is asked now: if this is the trial of an open circuit, the others wait for how it ends."""
        state = self.states.get(target)
        if state is not None and state.open:
            self.states[target] = msgspec.structs.replace(state, probe_until=now + PROBE_SECONDS)

    def last_resort(self, targets: Iterable[str], now: float) -> str:
        """All are shut: the one that opens soonest may be tried all the same, once a second. Empty: wait."""
        possible = [target for target in targets if target not in self.held]
        if not possible or 0 <= now - self._last_resort < EVERYBODY_OUT_SECONDS:
            return ""
        self._last_resort = now
        target = min(possible, key=lambda target: self.states[target].until if target in self.states else 0.0)
        state = self.states.get(target)
        if state is not None:
            self.states[target] = msgspec.structs.replace(state, until=min(state.until, now))
        return target

    # -- being told --------------------------------------------------------------------

    def note(self, target: str, error: BaseException | None, now: float, rules: Rules | None = None) -> None:
        """`rules` are those of its provider, where it has its own."""
        outcome = outcome_of(error)
        state = self.states.get(target)
        if outcome is None:
            if state is not None and state.probe_until:
                self.states[target] = msgspec.structs.replace(state, probe_until=0.0)  # the next one may try
            return
        if state is None:
            if outcome is Outcome.OK:
                return
            state = State(since=now)
        reason = str(error)[:200] if error is not None else ""
        new = after(state, outcome, now, reason=reason, draw=self._draw(), rules=rules or self.rules)
        if new is None:
            del self.states[target]
        elif new is not state:
            self.states[target] = new
        if new is None and state.open:
            self.changes.append(Change(target, now))
        elif new is not None and new.open and new.opened_at != state.opened_at:
            self.changes.append(Change(target, now, new.until, new.reason))

    def hear(self, told: Mapping[str, Change]) -> None:
        """What the other processes and people say: a newer word replaces ours."""
        self.held = {target: change for target, change in told.items() if change.held}
        for target, change in told.items():
            state = self.states.get(target)
            if change.held or (state is not None and state.open and state.opened_at >= change.at - SAME):
                continue
            if change.until:
                self.states[target] = State(
                    since=change.at, until=change.until, opened_at=change.at, openings=1, reason=change.reason
                )
            elif state is not None and state.open:
                del self.states[target]

    def tidy(self, now: float) -> None:
        """Forget windows that are over, and targets that nobody has asked for since long."""
        over = [
            target
            for target, state in self.states.items()
            if (not state.open and now - state.since > self.rules.window_seconds)
            or (state.open and now - state.until > 10 * self.rules.longest_seconds)
        ]
        for target in over:
            del self.states[target]
