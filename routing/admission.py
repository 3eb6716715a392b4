"""May this request go on, as far as limits and budgets are concerned? What it holds of them until it is over.

Once a request: one of the requests a minute, and one of those at once, of its key and its team. Once an attempt: its
tokens, what its provider allows, and what it may cost at most. A provider that is at its limit is passed over, as is a
model that costs more than is left; the next candidate may do. When all that is needed is at hand, nothing is awaited.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from billing.ids import milliseconds_of
from billing.pools import Pool
from billing.records import Opened, Settled
from billing.rows import CHARGED
from billing.slices import Short, Slices, Unavailable
from billing.terms import MINUTE, REQUESTS, RUNNING, TOKENS, Allowance, Bounds, Key, Terms
from providers.chat import Fields
from providers.errors import ProviderError
from routing.caps import money
from routing.decisions import Decision
from routing.refusal import PassedOver, Refusal
from routing.settlement import DEFAULT_OUTPUT, asked_for, choices_in
from routing.snapshot import ModelEntry, TierEntry

if TYPE_CHECKING:
    from routing.gateway import Gateway

SOON = 1.0  # seconds: until running requests may have ended

WORDS = {REQUESTS: "requests a minute", TOKENS: "tokens a minute", RUNNING: "requests at once"}
OVER_BUDGET = frozenset({"insufficient_quota", "budget_reserved"})
PERIODS = {"day": "a day", "week": "a week", "month": "a month", "total": "in all"}


def gate_of(gateway: Gateway, allowance: Allowance | None, team_id: int | None) -> Gate | None:
    """None: nothing is limited for this caller."""
    slices = gateway.slices
    if slices is None:
        return None
    teams = gateway.snapshots.current.team_bounds
    team = teams.get(team_id) if teams and team_id is not None else None
    if allowance is None and team is None:
        return None
    return Gate(slices, allowance, team)


class Gate:
    """Of one call."""

    __slots__ = ("_attempt", "_call", "_entered", "_limits", "_money", "budget", "slices")

    def __init__(self, slices: Slices, allowance: Allowance | None = None, team: Bounds | None = None) -> None:
        own = allowance.bounds if allowance is not None else None
        self.slices = slices
        self.budget: Terms | None = allowance.budget if allowance is not None else None
        self._limits = tuple(each for each in (own, team) if each is not None)
        self._entered = False
        self._call: list[Pool] = []  # one of each
        self._attempt: list[tuple[Pool, int, bool]] = []  # what is held, and whether tokens will be counted
        self._money: tuple[Pool, int] | None = None

    # -- once a request -----------------------------------------------------------------

    async def enter(self, request_id: str) -> None:
        if self._entered:
            return
        now = time.time()
        try:
            for bounds in self._limits:
                for key, limit in bounds.entering:
                    pool = self.slices.at_once(key, limit, 1, now)
                    self._call.append(pool or await self.slices.hold(key, limit, 1, now))
        except Short as short:
            self.leave(counts=False)
            raise _limited(short, request_id) from None
        self._entered = True

    def leave(self, *, counts: bool) -> None:
        """The request is over. One that was refused, and asked nobody, does not count."""
        for pool in self._call:
            pool.settle(1, 1 if counts and pool.key[2] == REQUESTS else 0)
        self._call = []

    # -- once an attempt ------------------------------------------------------------------

    async def reserve(self, opened: Opened, provider: Bounds | None, tokens: int) -> int | None:
        """The number of the budget's row where money is held. Raises PassedOver or Refusal, and holds nothing then."""
        try:
            if provider is not None:
                await self._at_provider(provider, opened, tokens)
            for bounds in self._limits:
                if bounds.tokens is not None:
                    await self._tokens(bounds.tokens_key, bounds.tokens, tokens, opened)
            if self.budget is not None:
                return await self._reserve_money(self.budget, opened)
            return None
        except BaseException:
            self.settle(None)
            raise

    async def _at_provider(self, bounds: Bounds, opened: Opened, tokens: int) -> None:
        now = time.time()
        try:
            for key, limit in bounds.entering:
                pool = self.slices.at_once(key, limit, 1, now)
                self._attempt.append((pool or await self.slices.hold(key, limit, 1, now), 1, False))
            if bounds.tokens is not None:
                if opened.input_estimate > bounds.tokens:
                    raise _at_limit(opened.provider, bounds.tokens, TOKENS, MINUTE)
                amount, key, limit = min(tokens, bounds.tokens), bounds.tokens_key, bounds.tokens
                pool = self.slices.at_once(key, limit, amount, now)
                self._attempt.append((pool or await self.slices.hold(key, limit, amount, now), amount, True))
        except Short as short:
            raise _at_limit(opened.provider, short.pool.limit, short.pool.key[2], _wait(short)) from None

    async def _tokens(self, key: Key, limit: int, tokens: int, opened: Opened) -> None:
        if opened.input_estimate > limit:
            raise Refusal(
                429,
                "rate_limit_exceeded",
                f"This request has about {opened.input_estimate:,} tokens, and {limit:,} tokens a minute are allowed.",
                request_id=opened.request_id,
                spent=True,
            )
        now, amount = time.time(), min(tokens, limit)
        try:
            pool = self.slices.at_once(key, limit, amount, now) or await self.slices.hold(key, limit, amount, now)
        except Short as short:
            raise _limited(short, opened.request_id) from None
        self._attempt.append((pool, amount, True))

    async def _reserve_money(self, budget: Terms, opened: Opened) -> int | None:
        if opened.demo != budget.demo:
            return None  # what is made up costs nobody anything
        amount = opened.reserved_nano
        if amount is None:
            words = f"The price of {opened.provider}:{opened.model} is not known, and this key has a budget."
            raise PassedOver(words, status=402, code="price_unknown", because="over_budget")
        if not amount:
            return None
        if opened.currency != budget.currency:
            words = f"The price of {opened.provider}:{opened.model} is in {opened.currency}, and the budget of this key"
            raise PassedOver(
                f"{words} in {budget.currency}.", status=402, code="currency_mismatch", because="over_budget"
            )
        window = budget.window(milliseconds_of(opened.request_id) / 1000)
        key, limit, now = budget.key(window), budget.limit_nano, time.time()
        pool = self.slices.at_once(key, limit, amount, now)
        if pool is None:
            try:
                pool = await self.slices.hold(
                    key,
                    limit,
                    amount,
                    now,
                    starts_at=window.starts_at,
                    ends_at=window.ends_at,
                    currency=budget.currency,
                    demo=budget.demo,
                )
            except Unavailable:
                words = "The budget of this key cannot be read at the moment. Try again shortly."
                raise Refusal(
                    503,
                    "ledger_unavailable",
                    words,
                    request_id=opened.request_id,
                    retry_after=SOON,
                    retryable=True,
                ) from None
            except Short as short:
                raise _over(budget, short) from None
        self._money = (pool, amount)
        return pool.pot_id

    def settle(self, settled: Settled | None, *, written: bool = True) -> None:
        """The attempt is over, or never was. One whose settlement is not written yet may cost all that was held."""
        for pool, amount, counted in self._attempt:
            if counted:
                pool.settle(amount, _tokens_of(settled))
            else:
                pool.settle(amount, 1 if settled is not None and pool.key[2] == REQUESTS else 0)
        self._attempt = []
        held, self._money = self._money, None
        if held is not None:
            pool, amount = held
            actual = 0
            if settled is not None and settled.billed in CHARGED:
                actual = settled.amount_nano or 0
            pool.settle(amount, actual if written else max(actual, amount))


def _tokens_of(settled: Settled | None) -> int:
    """Those in and out: cached ones and reasoning are among them, as those who sell them count."""
    return sum(settled.usage) if settled is not None else 0


def _wait(short: Short) -> float:
    if short.pool.key[2] == RUNNING:
        return SOON
    return max(SOON, min(short.pool.ends_at - time.time(), 60.0))


def _at_limit(provider: str, limit: int, what: str, wait: float) -> PassedOver:
    return PassedOver(
        f"{provider} is at its limit of {limit:,} {WORDS[what]}.",
        status=429,
        code="rate_limit_exceeded",
        because="rate_limited",
        provider=provider,
        retry_after=wait,
    )


def _limited(short: Short, request_id: str) -> Refusal:
    scope, _, what, _ = short.pool.key
    return Refusal(
        429,
        "rate_limit_exceeded",
        f"The limit of this {scope} is reached: {short.pool.limit:,} {WORDS[what]}. Try again in {_wait(short):.0f} s.",
        request_id=request_id,
        retry_after=_wait(short),
        retryable=True,
    )


def _over(budget: Terms, short: Short) -> PassedOver:
    """Spent, or only held: the second passes by itself."""
    limit, currency = budget.limit_nano, budget.currency
    gone = short.spent + short.amount > limit
    told = f"{money(short.spent, currency)} spent, {money(max(0, short.held), currency)} held by running requests, "
    told += f"{money(max(0, limit - short.spent - max(0, short.held)), currency)} left"
    words = f"The budget of this key is {money(limit, currency)} {PERIODS[budget.period]}: {told}."
    return PassedOver(
        f"{words} This request may cost {money(short.amount, currency)}.",
        status=402 if gone else 429,
        code="insufficient_quota" if gone else "budget_reserved",
        because="over_budget",
        retry_after=None if gone else SOON,
    )


# -- what answers say of limits -----------------------------------------------------------


def limit_headers(
    slices: Slices, allowance: Allowance | None, team: Bounds | None, now: float
) -> list[tuple[bytes, bytes]]:
    """As OpenAI calls them. Of several limits the one that is nearest."""
    own = allowance.bounds if allowance is not None else None
    limits = [each for each in (own, team) if each is not None]
    headers: list[tuple[bytes, bytes]] = []
    for what in (REQUESTS, TOKENS):
        told = [
            _told(slices.pool(bounds.key(what)), limit, now)
            for bounds in limits
            if (limit := bounds.requests if what == REQUESTS else bounds.tokens) is not None
        ]
        if told:
            remaining, limit, seconds = min(told)
            name = what.encode()
            headers += [
                (b"x-ratelimit-limit-" + name, b"%d" % limit),
                (b"x-ratelimit-remaining-" + name, b"%d" % remaining),
                (b"x-ratelimit-reset-" + name, b"%ds" % seconds),
            ]
    return headers


def _told(pool: Pool | None, limit: int, now: float) -> tuple[int, int, int]:
    """What remains, of how much, and in how many seconds it is all there again."""
    if pool is None or now >= pool.ends_at or not pool.starts_at:
        return limit, limit, 0
    return min(limit, pool.remaining()), limit, max(0, round(pool.ends_at - now))


def tokens_at_most(fields: Fields, input_tokens: int, longest: int | None) -> int:
    """Those of the request and of its answer. One that leaves its length open is reckoned as a usual one."""
    output = asked_for(fields) or min(longest or DEFAULT_OUTPUT, DEFAULT_OUTPUT)
    return input_tokens + output * choices_in(fields)


# -- what comes of a no -------------------------------------------------------------------


def without(decision: Decision, model: ModelEntry, passed: PassedOver) -> Decision:
    """The decision as it is stored: this candidate was not asked, and why."""
    candidates = tuple(
        replace(each, usable=False, verdict=passed.message.rstrip("."), because=passed.because)
        if each.model.string == model.string
        else each
        for each in decision.candidates
    )
    return replace(decision, candidates=candidates)


def one_tier_down(tier: str, tiers: Mapping[str, TierEntry]) -> str:
    """The next cheaper one. Empty: there is none."""
    here = tiers.get(tier)
    below = [each for each in tiers.values() if here is not None and each.position < here.position]
    return max(below, key=lambda each: each.position).slug if below else ""


def telling(errors: Sequence[ProviderError]) -> ProviderError:
    """Of all that went wrong, what the client is told: a real failure, else the limit that passes first."""
    real = [error for error in errors if not isinstance(error, PassedOver)]
    if real:
        return real[-1]
    waits = [error for error in errors if isinstance(error, PassedOver) and error.retry_after is not None]
    return min(waits, key=lambda error: error.retry_after or 0.0, default=errors[0])
