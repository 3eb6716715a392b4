"""May one request cost so much? The maximum of a tier against what each candidate is expected to cost.

How long the answer gets is not known before. What the request allows is one bound, and what answers of its complexity
usually take is the other; the smaller one is reckoned with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from billing.costs import likely
from routing.asks import Ask
from routing.decisions import Candidate, Decision, Problem
from routing.obstacles import obstacle
from routing.snapshot import ModelEntry, Snapshot, TierEntry

NANO = 1_000_000_000
OUTPUT_TOKENS: Mapping[str, int] = {"low": 50, "medium": 200, "high": 600}  # by complexity


def expected_output(ask: Ask) -> int:
    usual = OUTPUT_TOKENS.get(ask.complexity, OUTPUT_TOKENS["medium"])
    return min(usual, ask.output_tokens) if ask.output_tokens else usual


def expected_cost(model: ModelEntry, ask: Ask, now: float) -> int | None:
    """In nano-units of the currency of its price; None when nobody knows the price."""
    rates = model.rates_at(now)
    return None if rates is None else likely(ask.input_tokens, expected_output(ask), rates)


def money(nano: int, currency: str = "USD") -> str:
    text = f"{nano / NANO:.9f}".rstrip("0").rstrip(".")
    return f"{text} {currency}"


def within_cap(decision: Decision, ask: Ask, snapshot: Snapshot, now: float) -> Decision:
    """Without the candidates over the maximum; when that leaves none, with the next cheaper model that can do it."""
    tier = snapshot.routing.tiers.get(decision.tier)
    if tier is None or tier.most_nano is None:
        return decision
    candidates = tuple([_judged(each, tier, ask, now) for each in decision.candidates])
    if all(new is old for new, old in zip(candidates, decision.candidates, strict=True)):
        return decision
    if any(each.usable for each in candidates):
        return replace(decision, candidates=candidates)
    cheaper = _next_cheaper(tier, ask, snapshot, now, {each.model.string for each in candidates})
    if cheaper is not None:
        model, cost = cheaper
        words = f"next cheaper model within the maximum of tier {tier.slug}: about {money(cost, tier.currency)}"
        return replace(decision, candidates=(*candidates, Candidate(model, True, words)))
    return replace(decision, candidates=candidates, problem=_refusal(tier, candidates, ask, now))


def _judged(candidate: Candidate, tier: TierEntry, ask: Ask, now: float) -> Candidate:
    if not candidate.usable:
        return candidate
    against = _over(candidate.model, tier, ask, now)
    return replace(candidate, usable=False, verdict=against, because="over_budget") if against else candidate


def _over(model: ModelEntry, tier: TierEntry, ask: Ask, now: float) -> str:
    assert tier.most_nano is not None
    rates = model.rates_at(now)
    if rates is None:
        return f"its price is not known, and tier {tier.slug} has a maximum"
    cost = likely(ask.input_tokens, expected_output(ask), rates)
    if rates.currency != tier.currency and cost:
        return f"its price is in {rates.currency}, and the maximum of tier {tier.slug} in {tier.currency}"
    if cost <= tier.most_nano:
        return ""
    most = money(tier.most_nano, tier.currency)
    return f"about {money(cost, rates.currency)}, over the maximum of tier {tier.slug}, {most}"


def _next_cheaper(
    tier: TierEntry, ask: Ask, snapshot: Snapshot, now: float, without: set[str]
) -> tuple[ModelEntry, int] | None:
    """The dearest that fits: nearest to what was meant."""
    best: tuple[ModelEntry, int] | None = None
    for model in snapshot.models.values():
        if (
            not model.offered
            or model.string in without
            or obstacle(model, ask)
            or not ask.needs.isdisjoint(model.lacks)
        ):
            continue
        if model.context and ask.input_tokens + ask.output_tokens > model.context:
            continue
        cost = expected_cost(model, ask, now)
        if cost is not None and not _over(model, tier, ask, now) and (best is None or cost > best[1]):
            best = model, cost
    return best


def _is_capable(model: ModelEntry, ask: Ask) -> bool:
    fits = not model.context or ask.input_tokens + ask.output_tokens <= model.context
    return fits and ask.needs.isdisjoint(model.lacks)


def _refusal(tier: TierEntry, candidates: tuple[Candidate, ...], ask: Ask, now: float) -> Problem:
    assert tier.most_nano is not None
    over = [each for each in candidates if each.because == "over_budget"]
    costs = [cost for each in over if (cost := expected_cost(each.model, ask, now)) is not None]
    most = money(tier.most_nano, tier.currency)
    told = f"at least {money(min(costs), tier.currency)}" if costs else "an amount that is not known"
    message = f"This request would cost {told}, and a request of tier '{tier.slug}' may cost {most} at most."
    return Problem(402, "tier_cap", message, param="budget_tier")
