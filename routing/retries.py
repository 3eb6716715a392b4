"""After a failure: which target next, and how long to wait? Values only; time and dice are given.

Another target comes first and at once. The same one again only where waiting helps: it was too busy, or we could not
reach it. A Retry-After is obeyed once, when it is short enough; otherwise the waits are random and grow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from providers.errors import BadRequest, Overloaded, ProviderError, RateLimited, Unreachable
from routing.chains import happened, steps_in

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    attempts: int = 3  # in all
    base_seconds: float = 0.5  # of the first wait, doubling
    longest_seconds: float = 8.0  # of one wait, and the longest Retry-After that is obeyed
    share: float = 0.2  # of the running requests may be waiting for another try at the same target
    floor: int = 3  # however few are running


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Failure:
    target: int  # its place among the candidates
    error: ProviderError


class Step(msgspec.Struct, frozen=True):
    target: int
    wait_seconds: float = 0.0


def next_step(
    failures: Sequence[Failure],
    targets: int,
    *,
    seconds_left: float,
    draw: Callable[[], float],
    policy: Policy = DEFAULT,
    meant_for: Sequence[frozenset[str]] = (),
) -> Step | None:
    """None: the last error is the answer. `draw` gives a number from 0 to 1. `meant_for` says of each target what must
    have happened before it is asked; without it, or where that is empty, anything but a request that is wrong."""
    if len(failures) >= policy.attempts or seconds_left <= 0:
        return None
    tried = {failure.target for failure in failures}
    what = happened(failures[-1].error) if failures else NOTHING
    for target in range(targets):
        if target not in tried and steps_in(meant_for[target] if meant_for else NOTHING, what):
            return Step(target)
    if failures and isinstance(failures[-1].error, BadRequest):
        return None  # the request is wrong wherever it goes
    return _again(failures, seconds_left, draw, policy)


def _again(failures: Sequence[Failure], seconds_left: float, draw: Callable[[], float], policy: Policy) -> Step | None:
    latest = {failure.target: failure.error for failure in failures}
    rounds = len(failures) - len(latest)
    steps = []
    for target, error in latest.items():
        told = error.retry_after
        waited = [failure for failure in failures if failure.target == target and failure.error.retry_after is not None]
        if not _may_pass(error) or (told is not None and len(waited) > 1):
            continue
        limit = min(policy.longest_seconds, policy.base_seconds * 2**rounds)
        wait = told if told is not None else draw() * limit
        if wait <= policy.longest_seconds and wait < seconds_left:
            steps.append(Step(target, wait))
    return min(steps, key=lambda step: step.wait_seconds, default=None)


def _may_pass(error: ProviderError) -> bool:
    """Whether the same target may answer a moment later, and repeating costs nobody anything."""
    if isinstance(error, RateLimited | Overloaded):
        return True
    return isinstance(error, Unreachable) and not error.sent and error.reason == Unreachable.code


def may_wait(waiting: int, running: int, policy: Policy = DEFAULT) -> bool:
    """Whether one more request may wait for the same target: a storm of retries is worse than an error."""
    return waiting < max(policy.floor, policy.share * running)
