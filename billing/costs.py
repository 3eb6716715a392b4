"""What did these tokens cost? Exact arithmetic over disjoint buckets, rounded once.

A rate has at most nine decimals, so per million tokens it is a whole number of nano-units: cost is a sum of products of
integers, divided once by a million. Half of a nano-unit goes to the even neighbour, so that many entries do not drift.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

import msgspec

from providers.chat import Usage

NANO = 10**9
MILLION = 10**6
DECIMALS = 9
# What fits a row of the ledger: some nine billion of a currency. Only a made-up number of tokens costs more.
MOST_NANO = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Rates:
    """A price as a decision needs it. Amounts are per million tokens in `currency`; None falls back as noted."""

    price_id: int
    currency: str
    input: Decimal
    output: Decimal  # audio too
    cached: Decimal | None = None  # None: as input
    cache_write: Decimal | None = None  # None: as input
    reasoning: Decimal | None = None  # None: as output
    per_request: Decimal = Decimal(0)
    valid_from: float = 0.0  # seconds since the epoch
    valid_until: float | None = None
    # The same in nano-units per million tokens, in the order of the buckets, and per request: what is reckoned with.
    nano: tuple[int, int, int, int, int, int] = field(init=False, repr=False, compare=False)
    nano_per_request: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        inputs, outputs = _nano(self.input), _nano(self.output)
        nano = (
            inputs,
            inputs if self.cached is None else _nano(self.cached),
            inputs if self.cache_write is None else _nano(self.cache_write),
            outputs,
            outputs if self.reasoning is None else _nano(self.reasoning),
            outputs,
        )
        object.__setattr__(self, "nano", nano)
        object.__setattr__(self, "nano_per_request", _nano(self.per_request))


class Cost(msgspec.Struct, frozen=True):
    amount_nano: int
    formula: str  # how the amount came about, in words that can be reckoned again


BUCKETS = ("input", "cached", "cache write", "output", "reasoning", "audio")


def cost(usage: Usage, rates: Rates) -> Cost:
    tokens = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.audio)
    amount = amount_nano(tokens, rates)
    return Cost(amount, _formula(tokens, rates, amount))


def amount_nano(tokens: tuple[int, int, int, int, int, int], rates: Rates) -> int:
    inputs, cached, cache_write, output, reasoning, audio = rates.nano
    millionths = (
        tokens[0] * inputs
        + tokens[1] * cached
        + tokens[2] * cache_write
        + tokens[3] * output
        + tokens[4] * reasoning
        + tokens[5] * audio
    )
    return min(rates.nano_per_request + _divided(millionths, MILLION), MOST_NANO)


def worst_case(input_tokens: int, output_tokens: int, rates: Rates) -> int:
    """In nano-units: every token in the dearest bucket it may turn out to belong to."""
    inputs, cached, cache_write, output, reasoning, audio = rates.nano
    dearest = input_tokens * max(inputs, cached, cache_write) + output_tokens * max(output, reasoning, audio)
    return min(rates.nano_per_request - (-dearest // MILLION), MOST_NANO)


def _divided(amount: int, by: int) -> int:
    whole, rest = divmod(amount, by)
    twice = rest * 2
    return whole + 1 if twice > by or (twice == by and whole & 1) else whole


def _nano(amount: Decimal) -> int:
    """The amount in nano-units, which must be a whole number of them."""
    numerator, denominator = amount.as_integer_ratio()
    nano, rest = divmod(numerator * NANO, denominator)
    if rest:
        raise ValueError(f"A price has at most {DECIMALS} decimals, and {amount} has more.")
    return nano


def _formula(tokens: tuple[int, int, int, int, int, int], rates: Rates, amount: int) -> str:
    """`(1200 input x 2.5 + 50 output x 10) / 1M = 0.0035 USD`"""
    words = _words(rates.nano)
    parts = [f"{count}{words[number]}" for number, count in enumerate(tokens) if count]
    reckoned = f"({' + '.join(parts)}) / 1M" if parts else ""
    if rates.nano_per_request:
        reckoned += f"{' + ' if reckoned else ''}{decimal(rates.nano_per_request)} a request"
    return f"{reckoned or 'no tokens'} = {decimal(amount)} {rates.currency}"


@lru_cache(4096)
def _words(nano: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f" {name} x {decimal(rate)}" for name, rate in zip(BUCKETS, nano, strict=True))


def decimal(nano: int) -> str:
    """Nano-units as people write them: no zeros at the end, no exponent."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO)
    return f"{sign}{whole}.{rest:09d}".rstrip("0") if rest else f"{sign}{whole}"
