"""What would happen to this request? Decided and walked as a real one, with nobody called.

The walk goes from candidate to candidate by the same rules as a call does; what each of them would answer is taken
from what the asker pretends. Nothing is pretended of the others: they answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from msgspec import structs

from providers.chat import Fields
from providers.errors import (
    BadCredentials,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    TimedOut,
    Unreachable,
)
from providers.tokens import count_request
from routing import intents
from routing.asks import Ask
from routing.caps import expected_cost, expected_output
from routing.completing import completed
from routing.deciding import Circumstances, decided
from routing.decisions import Candidate, Decision, Problem
from routing.retries import DEFAULT, Failure, Policy, next_step
from routing.snapshot import ModelEntry, Snapshot

# What may be pretended of a provider ("groq") or of a target ("groq:llama-3"): what its answer would be.
PRETENDED: Mapping[str, ProviderError] = {
    "down": Unreachable("pretended: it cannot be reached", sent=False),
    "slow": TimedOut("pretended: its first token does not come in time"),
    "rate_limited": RateLimited("pretended: it says 429"),
    "server_error": Overloaded("pretended: it says 503", upstream_status=503),
    "auth": BadCredentials("pretended: it refuses the key", upstream_status=401),
    "context_length": ContextTooLong("pretended: it finds the request too long"),
    "content_filter": Refused("pretended: it refuses what was asked"),
}
# And what would keep it from being asked at all.
KEPT = {
    "limited": ("pretended: its limit is reached", "unavailable"),
    "off": ("pretended: it is switched off", "unavailable"),
    "over_budget": ("pretended: nothing is left of the budget for it", "over_budget"),
}
CHOICES = (*PRETENDED, *KEPT)


@dataclass(frozen=True, slots=True)
class Question:
    ask: Ask
    fields: Fields
    now: datetime
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    pretend: Mapping[str, str] = field(default_factory=dict)  # of a provider's slug or a model string


@dataclass(frozen=True, slots=True)
class Tried:
    model: ModelEntry
    outcome: str  # answers, or the code of the error
    words: str
    waited_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    ask: Ask  # with what was worked out of it
    decision: Decision
    tried: tuple[Tried, ...]
    answered_by: ModelEntry | None
    problem: Problem | None  # what the client would get instead of an answer
    cost_nano: int | None = None
    currency: str = ""
    output_tokens: int = 0


def simulate(question: Question, snapshot: Snapshot, around: Circumstances, policy: Policy = DEFAULT) -> Simulated:
    ask, fields = question.ask, question.fields
    tokens = count_request("", fields)
    if ask.use_case and intents.is_open(ask.model):
        ask = completed(ask, fields, snapshot, lambda: tokens, question.headers, question.metadata)
    around = replace(around, now=question.now)
    decision = _without_kept(decided(ask, snapshot, around, fields, lambda: tokens), question.pretend)
    ask = structs.replace(ask, input_tokens=tokens)
    if decision.problem is not None:
        return Simulated(ask, decision, (), None, decision.problem)
    tried, answered, problem = _walked(decision, question.pretend, policy)
    if answered is None:
        return Simulated(ask, decision, tuple(tried), None, problem)
    rates = answered.rates_at(question.now.timestamp())
    cost = expected_cost(answered, ask, question.now.timestamp())
    currency = rates.currency if rates else ""
    return Simulated(ask, decision, tuple(tried), answered, None, cost, currency, expected_output(ask))


def _said(model: ModelEntry, pretend: Mapping[str, str]) -> str:
    return pretend.get(model.string) or pretend.get(model.provider.slug, "")


def _without_kept(decision: Decision, pretend: Mapping[str, str]) -> Decision:
    candidates: list[Candidate] = []
    for each in decision.candidates:
        kept = KEPT.get(_said(each.model, pretend)) if each.usable else None
        if kept is not None:
            each = replace(each, usable=False, verdict=kept[0], because=kept[1])
        candidates.append(each)
    left = replace(decision, candidates=tuple(candidates))
    if decision.problem is not None or left.usable:
        return left
    verdicts = "; ".join(f"{each.model.string}: {each.verdict}" for each in candidates)
    return replace(left, problem=Problem(503, "no_usable_provider", f"Nobody can answer for this now. {verdicts}."))


def _walked(
    decision: Decision, pretend: Mapping[str, str], policy: Policy
) -> tuple[list[Tried], ModelEntry | None, Problem | None]:
    usable = [each for each in decision.candidates if each.usable]
    chain = decision.route.chain if decision.route else None
    if chain is not None and chain.attempts is not None:
        policy = replace(policy, attempts=chain.attempts)
    failures: list[Failure] = []
    tried: list[Tried] = []
    target, waited = 0, 0.0
    while True:
        model = usable[target].model
        error = PRETENDED.get(_said(model, pretend))
        if error is None:
            tried.append(Tried(model, "answers", usable[target].verdict, waited))
            return tried, model, None
        tried.append(Tried(model, error.reason, error.message, waited))
        failures.append(Failure(target, error))
        step = next_step(
            failures,
            len(usable),
            seconds_left=model.provider.timeout_seconds,
            draw=lambda: 0.5,  # the middle of what a wait may be
            policy=policy,
            meant_for=[each.on for each in usable],
        )
        if step is None:
            return tried, None, _refusal(failures)
        target, waited = step.target, step.wait_seconds


def _refusal(failures: Sequence[Failure]) -> Problem:
    error = failures[-1].error
    return Problem(error.status, error.reason, error.message, retry_after=error.retry_after)
