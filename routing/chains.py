"""Who answers first, and who steps in for what? The chain of a route, as a file or a row has it, and as values.

    {"first": {"target": "openai:gpt-6-luna"},
     "fallbacks": [{"target": "anthropic:claude-haiku-5-5"},
                   {"target": "gemini:gemini-3.8-flash", "on": ["context_length"]}],
     "attempts": 3, "seconds": 60, "first_token_seconds": 8}

`first` may also be a weighted split (`{"split": [{"target": ..., "weight": 80}, ...]}`) or the best of a set
(`{"best": "cheapest", "of": [...]}`). A target is a model string, an alias, or a bare id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
)
from routing.refusal import PassedOver

Fault = tuple[str, str]  # where, and what is wrong
Judge = Callable[[str], str]  # what is wrong with a target; empty: nothing

BEST = ("cheapest", "fastest", "least_busy")
WHOLE = 100.0
MOST_TARGETS = 20
MOST_ATTEMPTS = 10
MOST_SECONDS = 3600.0

# What may have to happen before a fallback is asked. Without any, it steps in for all but the last two: an answer that
# was refused for what was asked would be refused elsewhere too, unless somebody knows better.
TRIGGERS = (
    "unavailable",  # switched off, not connected, its circuit is open, its limit is reached
    "rate_limited",
    "server_error",
    "timeout",
    "first_token",  # it did not begin in time
    "auth",  # its key, or its account
    "not_found",
    "over_budget",  # over the tier's maximum, or what is left of a budget
    "context_length",
    "content_filter",
)
EXPLICIT = frozenset({"context_length", "content_filter"})
_STATUS = re.compile(r"[45](xx|\d\d)\Z")


@dataclass(frozen=True, slots=True)
class Fallback:
    target: str
    on: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Chain:
    how: str  # "target", "split", or one of BEST
    first: tuple[str, ...]
    weights: tuple[float, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    attempts: int | None = None
    seconds: float | None = None
    first_token_seconds: float | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        return self.first + tuple(each.target for each in self.fallbacks)


def read(chain: Mapping[str, Any]) -> Chain:
    """Of one without faults."""
    first = chain["first"]
    if "split" in first:
        how, names = "split", tuple(each["target"] for each in first["split"])
    elif "best" in first:
        how, names = first["best"], tuple(first["of"])
    else:
        how, names = "target", (first["target"],)
    return Chain(
        how,
        names,
        tuple(float(each["weight"]) for each in first.get("split", ())),
        tuple(Fallback(each["target"], frozenset(each.get("on", ()))) for each in chain.get("fallbacks", ())),
        chain.get("attempts"),
        chain.get("seconds"),
        chain.get("first_token_seconds"),
    )


# -- what is wrong with one ---------------------------------------------------------


def faults(chain: Any, path: str = "chain", *, judge: Judge = lambda target: "") -> list[Fault]:
    return list(_faults(chain, path, judge))


def _faults(chain: Any, path: str, judge: Judge) -> Iterator[Fault]:
    if not isinstance(chain, dict) or not chain:
        yield path, "is empty: it needs a first target"
        return
    yield from _unknown(chain, {"first", "fallbacks", "attempts", "seconds", "first_token_seconds"}, path)
    yield from _first_faults(chain.get("first"), f"{path}.first", judge)
    fallbacks = chain.get("fallbacks", [])
    if not isinstance(fallbacks, list):
        yield f"{path}.fallbacks", "must be a list"
        return
    for number, each in enumerate(fallbacks):
        yield from _fallback_faults(each, f"{path}.fallbacks[{number}]", judge)
    yield from _number_faults(chain, path)
    yield from _twice(chain, path)


def _unknown(told: Mapping[str, Any], known: set[str], path: str) -> Iterator[Fault]:
    for name in sorted(told.keys() - known):
        yield f"{path}.{name}", f"is not known here: there is {', '.join(sorted(known))}"


def _first_faults(first: Any, path: str, judge: Judge) -> Iterator[Fault]:
    ways = [name for name in ("target", "split", "best") if isinstance(first, dict) and name in first]
    if len(ways) != 1:
        yield path, "must have one of target, split, best"
    elif ways == ["target"]:
        yield from _unknown(first, {"target"}, path)
        yield from _target_faults(first["target"], f"{path}.target", judge)
    elif ways == ["best"]:
        yield from _unknown(first, {"best", "of"}, path)
        if first["best"] not in BEST:
            yield f"{path}.best", f"must be {' or '.join(BEST)}"
        yield from _set_faults(first.get("of"), f"{path}.of", judge)
    else:
        yield from _unknown(first, {"split"}, path)
        yield from _split_faults(first["split"], f"{path}.split", judge)


def _set_faults(targets: Any, path: str, judge: Judge) -> Iterator[Fault]:
    if not isinstance(targets, list) or not 0 < len(targets) <= MOST_TARGETS:
        yield path, f"must be a list of 1 to {MOST_TARGETS} targets"
        return
    for number, target in enumerate(targets):
        yield from _target_faults(target, f"{path}[{number}]", judge)


def _split_faults(split: Any, path: str, judge: Judge) -> Iterator[Fault]:
    if not isinstance(split, list) or not 0 < len(split) <= MOST_TARGETS:
        yield path, f"must be a list of 1 to {MOST_TARGETS} targets with their weights"
        return
    total = 0.0
    for number, each in enumerate(split):
        where = f"{path}[{number}]"
        if not isinstance(each, dict):
            yield where, "must be an object with target and weight"
            return
        yield from _unknown(each, {"target", "weight"}, where)
        yield from _target_faults(each.get("target"), f"{where}.target", judge)
        weight = each.get("weight")
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= WHOLE:
            yield f"{where}.weight", "must be a number from 0 to 100"
            return
        total += weight
    if abs(total - WHOLE) > 0.001:
        yield path, f"the weights must sum to 100, not to {total:g}"


def _fallback_faults(fallback: Any, path: str, judge: Judge) -> Iterator[Fault]:
    if not isinstance(fallback, dict):
        yield path, "must be an object with target, and on where it is not meant for every failure"
        return
    yield from _unknown(fallback, {"target", "on"}, path)
    yield from _target_faults(fallback.get("target"), f"{path}.target", judge)
    on = fallback.get("on", [])
    if not isinstance(on, list):
        yield f"{path}.on", "must be a list"
        return
    for number, trigger in enumerate(on):
        if trigger not in TRIGGERS and not (isinstance(trigger, str) and _STATUS.match(trigger)):
            yield f"{path}.on[{number}]", f"must be one of {', '.join(TRIGGERS)}, or a status such as 429 or 5xx"


def _target_faults(target: Any, path: str, judge: Judge) -> Iterator[Fault]:
    if not isinstance(target, str) or not target.strip():
        yield path, "must name a model"
        return
    said = judge(target)
    if said:
        yield path, said


def _number_faults(chain: Mapping[str, Any], path: str) -> Iterator[Fault]:
    attempts = chain.get("attempts")
    if attempts is not None and not (type(attempts) is int and 1 <= attempts <= MOST_ATTEMPTS):
        yield f"{path}.attempts", f"must be a whole number from 1 to {MOST_ATTEMPTS}"
    for name in ("seconds", "first_token_seconds"):
        value = chain.get(name)
        if value is not None and (not _is_number(value) or not 0 < value <= MOST_SECONDS):
            yield f"{path}.{name}", f"must be a number of seconds, {MOST_SECONDS:g} at most"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _twice(chain: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """A target that stands in a chain twice would be asked again for nothing."""
    try:
        targets = read(chain).targets
    except (KeyError, TypeError, ValueError):
        return  # what is wrong was said already
    if not all(isinstance(each, str) for each in targets):
        return  # so was that
    for target in sorted({each for each in targets if targets.count(each) > 1}):
        yield path, f"'{target}' stands in it twice"


# -- what happened, in the words of `on` -------------------------------------------------


def happened(error: ProviderError) -> frozenset[str]:
    """The triggers that a failure sets off."""
    if isinstance(error, PassedOver):
        return frozenset({error.because, "unavailable", str(error.status)})
    status = error.upstream_status or error.status
    names = {str(status), f"{status // 100}xx", _name_of(error)}
    if isinstance(error, TimedOut):
        names.add("first_token")  # before the first token nobody can tell what would have come after it
    return frozenset(names)


def _name_of(error: ProviderError) -> str:
    if isinstance(error, RateLimited):
        return "rate_limited"
    if isinstance(error, BadCredentials | QuotaExhausted):
        return "auth"
    if isinstance(error, ModelNotFound):
        return "not_found"
    if isinstance(error, ContextTooLong):
        return "context_length"
    if isinstance(error, Refused):
        return "content_filter"
    if isinstance(error, BadRequest):
        return "bad_request"
    if isinstance(error, TimedOut):
        return "timeout"
    return "unavailable" if isinstance(error, Overloaded) and not error.sent else "server_error"


def steps_in(on: frozenset[str], what: frozenset[str]) -> bool:
    """Whether a fallback is meant for what happened."""
    if on:
        return not on.isdisjoint(what)
    return what.isdisjoint(EXPLICIT) and "bad_request" not in what
