"""Is it on for this ask? A flag decides about a provider, a model or a door of the gateway.

Rules come first, in order; then the share, by a place that the same unit always has under the same salt. A flag that is
switched off is off for everybody, at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from routing import conditions
from routing.asks import Ask
from routing.bucketing import place
from routing.decisions import Candidate, Decision, Problem
from routing.snapshot import FlagEntry, FlagRule, Flags

Fault = tuple[str, str]

UNITS = ("user", "team", "key", "session", "request")
DOORS = ("chat", "messages", "responses", "embeddings", "plain")  # what `feature:` may name
HEADS = ("provider:", "model:", "feature:")
MOST_RULES = 20


def verdict(flag: FlagEntry, ask: Ask, now: datetime) -> tuple[bool, str]:
    """On or off, and why."""
    if not flag.enabled:
        return False, "it is switched off"
    rule = _rule_for(flag, ask, now)
    if rule is not None:
        return rule.on, f"rule {flag.rules.index(rule) + 1}: {rule.words}"
    if flag.share >= 100:
        return True, "on for everybody"
    whose = flag.unit if ask.unit(flag.unit) else f"request, as there is no {flag.unit}"
    return is_on(flag, ask, now), f"on for {flag.share:g} % by {whose}"


def is_on(flag: FlagEntry, ask: Ask, now: datetime) -> bool:
    """The same without the words, which nobody reads while it is on."""
    if not flag.enabled:
        return False
    rule = _rule_for(flag, ask, now) if flag.rules else None
    if rule is not None or flag.share >= 100:
        return rule is None or rule.on
    # Where there is no such unit, each request is on its own.
    return place(ask.unit(flag.unit) or ask.request_id, f"flag {flag.key}#{flag.salt}") * 100 < flag.share


def _rule_for(flag: FlagEntry, ask: Ask, now: datetime) -> FlagRule | None:
    for rule in flag.rules:
        if rule.test is None or rule.test(ask, now):
            return rule
    return None


def off(flags: Flags, governed: str, ask: Ask, now: datetime) -> str:
    """Why what is governed is off for this ask; empty: it is on."""
    return _off(flags.by_governed.get(governed, ()), ask, now)


def _off(governing: Iterable[FlagEntry], ask: Ask, now: datetime) -> str:
    for flag in governing:
        if not is_on(flag, ask, now):
            return f"flag '{flag.key}': {verdict(flag, ask, now)[1]}"
    return ""


def by_flags(decision: Decision, flags: Flags, ask: Ask, now: datetime) -> Decision:
    """Without the candidates that a flag is off for."""
    concerned = any(
        model.string in flags.of_models or model.provider.slug in flags.of_providers for model in decision.usable
    )
    if not concerned:
        return decision
    candidates = tuple([_judged(each, flags, ask, now) for each in decision.candidates])
    if all(new is old for new, old in zip(candidates, decision.candidates, strict=True)):
        return decision
    left = replace(decision, candidates=candidates)
    if left.usable:
        return left
    verdicts = "; ".join(f"{each.model.string}: {each.verdict}" for each in candidates)
    return replace(left, problem=Problem(503, "no_usable_provider", f"Nobody can answer for this now. {verdicts}."))


def _judged(candidate: Candidate, flags: Flags, ask: Ask, now: datetime) -> Candidate:
    if not candidate.usable:
        return candidate
    model = candidate.model
    governing = (*flags.of_models.get(model.string, ()), *flags.of_providers.get(model.provider.slug, ()))
    why = _off(governing, ask, now)
    return replace(candidate, usable=False, verdict=why, because="unavailable") if why else candidate


# -- as a file or a row has them ------------------------------------------------------


def faults(told: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """Of the fields governs, share, unit and rules."""
    governs, share = told.get("governs", ""), told.get("share", 100)
    if not isinstance(governs, str) or not governs.startswith(HEADS) or not governs.partition(":")[2].strip():
        yield f"{path}.governs", "must be provider:<slug>, model:<provider:model> or feature:<name>"
    elif governs.startswith("feature:") and governs.partition(":")[2] not in DOORS:
        yield f"{path}.governs", f"there is no feature of that name: there is {', '.join(DOORS)}"
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 100:
        yield f"{path}.share", "must be a number from 0 to 100"
    if told.get("unit", "team") not in UNITS:
        yield f"{path}.unit", f"must be one of {', '.join(UNITS)}"
    rules = told.get("rules", [])
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        yield f"{path}.rules", f"must be a list of {MOST_RULES} rules at most"
        return
    for number, rule in enumerate(rules):
        where = f"{path}.rules[{number}]"
        if not isinstance(rule, dict) or not isinstance(rule.get("on"), bool) or not rule.keys() <= {"on", "when"}:
            yield where, "must be an object with on (true or false), and when"
        else:
            yield from conditions.faults(rule.get("when"), f"{where}.when")


def compiled(key: str, told: Mapping[str, Any], *, enabled: bool, salt: int) -> FlagEntry:
    """Of one without faults."""
    rules = tuple(
        FlagRule(rule["on"], conditions.compiled(rule.get("when")), conditions.in_words(rule.get("when")))
        for rule in told.get("rules", ())
    )
    share, unit = float(told.get("share", 100)), told.get("unit", "team")
    return FlagEntry(key, told["governs"], enabled, share, unit, salt, rules)


def reads(told: Mapping[str, Any]) -> frozenset[str]:
    return frozenset().union(*(conditions.reads(rule.get("when")) for rule in told.get("rules", ())))
