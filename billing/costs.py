"""What did these tokens cost? Exact arithmetic over disjoint buckets, rounded once.

A rate has at most nine decimals, so per million tokens it is a whole number of nano-units: cost is a sum of products of
integers, divided once by a million. Half of a nano-unit goes to the even neighbour, so that many entries do not drift.

A price may have other rates for long prompts (tiers: the whole request takes those of the longest it exceeds) and for
certain hours (windows: the first that covers the moment the attempt began). As a row keeps them, amounts as text:

    tiers    [{"above": 200000, "input": "4", "output": "18", "cached": "0.4"}]
    windows  [{"from": "01:00", "to": "04:00", "days": [1, 2, 3, 4, 5], "input": "0.3", "output": "1.2"}]

Hours are UTC, days count from Monday; without them every day is meant. What a tier or window leaves out is as the row
has it. A window may have tiers of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from providers.chat import Usage

NANO = 10**9
MILLION = 10**6
DECIMALS = 9
# What fits a row of the ledger: some nine billion of a currency. Only a made-up number of tokens costs more.
MOST_NANO = 2**63 - 1

REPORTED_CURRENCY = "USD"  # of what providers say a call cost

# A prompt is estimated before it is sent; the tokenizer of its model may find a quarter more in it.
MARGIN = 4

DAY, MINUTES = 86_400, 60
EPOCH_DAY = 3  # the epoch began on a Thursday, Monday being 0
EVERY_DAY = frozenset(range(1, 8))


@dataclass(frozen=True, slots=True)
class Rates:
    """A price as a decision needs it. Amounts are per million tokens in `currency`; None falls back as noted."""

    price_id: int
    currency: str
    input: Decimal
    output: Decimal
    cached: Decimal | None = None  # None: as input
    cache_write: Decimal | None = None  # None: as input
    reasoning: Decimal | None = None  # None: as output
    per_request: Decimal = Decimal(0)
    valid_from: float = 0.0  # seconds since the epoch
    valid_until: float | None = None
    audio_input: Decimal | None = None  # None: as input
    audio_output: Decimal | None = None  # None: as output
    tiers: tuple[Tier, ...] = ()  # the longest first
    windows: tuple[Window, ...] = ()
    batch_share: Decimal | None = None  # what a batch pays of the price
    label: str = ""  # which of the row's rates these are, for the formula
    # The same in nano-units per million tokens, in the order of the buckets, and per request: what is reckoned with.
    nano: tuple[int, int, int, int, int, int, int] = field(init=False, repr=False, compare=False)
    nano_per_request: int = field(init=False, repr=False, compare=False)
    dearest: tuple[int, int] = field(init=False, repr=False, compare=False)  # of what goes in, and of what comes out

    def __post_init__(self) -> None:
        inputs, outputs = _nano(self.input), _nano(self.output)
        nano = (
            inputs,
            inputs if self.cached is None else _nano(self.cached),
            inputs if self.cache_write is None else _nano(self.cache_write),
            outputs,
            outputs if self.reasoning is None else _nano(self.reasoning),
            outputs if self.audio_output is None else _nano(self.audio_output),
            inputs if self.audio_input is None else _nano(self.audio_input),
        )
        object.__setattr__(self, "nano", nano)
        object.__setattr__(self, "nano_per_request", _nano(self.per_request))
        object.__setattr__(self, "dearest", (max(*nano[:3], nano[6]), max(nano[3:6])))

    def at(self, moment: float) -> Rates:
        """The rates of an attempt that begins now, in seconds since the epoch."""
        for window in self.windows:
            if window.covers(moment):
                return window.rates
        return self

    def for_prompt(self, tokens: int) -> Rates:
        for tier in self.tiers:
            if tokens > tier.above:
                return tier.rates
        return self


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of the whole request when its prompt is longer."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Window:
    """Rates of certain hours (UTC). One that ends before it begins goes on past midnight, into the next day."""

    begins: int  # minute of the day
    ends: int
    days: frozenset[int]  # 1 is Monday; of the day on which it begins
    rates: Rates

    def covers(self, moment: float) -> bool:
        day, second = divmod(int(moment), DAY)
        minute, weekday = second // MINUTES, (day + EPOCH_DAY) % 7 + 1
        if self.begins < self.ends:
            return weekday in self.days and self.begins <= minute < self.ends
        yesterday = weekday - 1 or 7
        return (weekday in self.days and minute >= self.begins) or (yesterday in self.days and minute < self.ends)


class Cost(msgspec.Struct, frozen=True):
    amount_nano: int
    formula: str  # how the amount came about, in words that can be reckoned again


BUCKETS = ("input", "cached", "cache write", "output", "reasoning", "audio", "audio input")
Tokens = tuple[int, ...]  # in the order of the buckets, whose last may be missing


def cost(usage: Usage, rates: Rates, *, batch: bool = False) -> Cost:
    if rates.tiers:
        rates = rates.for_prompt(usage.input + usage.cached + usage.cache_write)
    tokens: Tokens = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.audio)
    inputs, cached, cache_write, output, reasoning, audio, audio_input = rates.nano
    millionths = (
        usage.input * inputs
        + usage.cached * cached
        + usage.cache_write * cache_write
        + usage.output * output
        + usage.reasoning * reasoning
        + usage.audio * audio
    )
    if usage.audio_input:
        spoken = min(usage.audio_input, usage.input)
        millionths += spoken * (audio_input - inputs)
        tokens = (usage.input - spoken, *tokens[1:], spoken)
    share = rates.batch_share if batch else None
    if share is None:
        amount = rates.nano_per_request + _divided(millionths, MILLION)
    else:
        amount = rates.nano_per_request + _divided(millionths * int(share * 1000), MILLION * 1000)
    if amount > MOST_NANO:
        amount = MOST_NANO
    return Cost(amount, _formula(tokens, rates, amount, share))


def reported_cost(nano: int, listed: Cost | None, currency: str) -> Cost:
    """What the provider says it cost, beside what the list says. Other currencies cannot be set against each other."""
    amount = min(nano, MOST_NANO)
    said = f"reported by the provider: {decimal(amount)} {REPORTED_CURRENCY}"
    if listed is None:
        return Cost(amount, f"{said}; no list price")
    if currency != REPORTED_CURRENCY:
        return Cost(listed.amount_nano, f"{listed.formula}; {said}")
    return Cost(amount, f"{said}; by the list it would be {listed.formula}")


def worst_case(input_tokens: int, output_tokens: int, rates: Rates) -> int:
    """In nano-units: every token in the dearest bucket it may turn out to belong to, the prompt a little longer."""
    most = _dearest(input_tokens, output_tokens, rates)
    for tier in rates.tiers:
        if input_tokens + input_tokens // MARGIN > tier.above:
            most = max(most, _dearest(input_tokens, output_tokens, tier.rates))
    return most


def likely(input_tokens: int, output_tokens: int, rates: Rates) -> int:
    """In nano-units: what a request costs that turns out as expected, with nothing cached."""
    applied = next((tier.rates for tier in rates.tiers if input_tokens > tier.above), rates)
    amount = input_tokens * applied.nano[0] + output_tokens * applied.nano[3]
    return min(applied.nano_per_request - (-amount // MILLION), MOST_NANO)


def _dearest(input_tokens: int, output_tokens: int, rates: Rates) -> int:
    going_in, coming_out = rates.dearest
    return min(rates.nano_per_request - (-(input_tokens * going_in + output_tokens * coming_out) // MILLION), MOST_NANO)


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


def _formula(tokens: Tokens, rates: Rates, amount: int, share: Decimal | None) -> str:
    """`off-peak: (1200 input x 2.5 + 50 output x 10) / 1M = 0.0035 USD`"""
    words = _words(rates.nano)
    parts = [f"{count}{words[number]}" for number, count in enumerate(tokens) if count]
    reckoned = f"({' + '.join(parts)}) / 1M" if parts else ""
    if share is not None and parts:
        reckoned += f" x {share.normalize():f} in a batch"
    if rates.nano_per_request:
        reckoned += f"{' + ' if reckoned else ''}{decimal(rates.nano_per_request)} a request"
    if rates.label:
        reckoned = f"{rates.label}: {reckoned or 'no tokens'}"
    return f"{reckoned or 'no tokens'} = {decimal(amount)} {rates.currency}"


@lru_cache(4096)
def _words(nano: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f" {name} x {decimal(rate)}" for name, rate in zip(BUCKETS, nano, strict=True))


def decimal(nano: int) -> str:
    """Nano-units as people write them: no zeros at the end, no exponent."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO)
    return f"{sign}{whole}.{rest:09d}".rstrip("0") if rest else f"{sign}{whole}"


# -- what a row keeps ---------------------------------------------------------------

TOO_LARGE = 10**9  # has more digits than a row keeps
RATES = ("input", "output", "cached", "cache_write", "reasoning", "audio_input", "audio_output")
PEAK, OFF_PEAK, OTHER_HOURS = "peak", "off-peak", "other hours"


def with_variants(rates: Rates, tiers: Iterable[Any], windows: Iterable[Any]) -> Rates:
    """The rates with those of long prompts and of certain hours. A ValueError says what cannot be read."""
    hours = [_hours(each) for each in _several(windows)]
    names = [_name(rates, each) for each in hours]
    usual = {PEAK: OFF_PEAK, OFF_PEAK: PEAK}.get(names[0], OTHER_HOURS) if len(set(names)) == 1 else OTHER_HOURS
    made = tuple(
        Window(
            each["begins"],
            each["ends"],
            each["days"],
            _with_tiers(_varied(rates, each["rates"], name), each["tiers"] or tiers),
        )
        for each, name in zip(hours, names, strict=True)
    )
    return _with_tiers(replace(rates, windows=made, label=usual if made else rates.label), tiers)


def _with_tiers(rates: Rates, tiers: Iterable[Any]) -> Rates:
    made = []
    for tier in _several(tiers):
        if not isinstance(tier, Mapping) or type(tier.get("above")) is not int or tier["above"] < 0:
            raise ValueError("A tier needs `above`, a number of tokens.")
        name = f"long prompts (over {tier['above']})"
        label = f"{rates.label}, {name}" if rates.label else name
        made.append(Tier(tier["above"], _varied(replace(rates, windows=()), tier, label)))
    made.sort(key=lambda tier: -tier.above)
    return replace(rates, tiers=tuple(made))


def _varied(rates: Rates, values: Mapping[str, Any], label: str) -> Rates:
    changed = {name: amount(values[name]) for name in RATES if values.get(name) is not None}
    return replace(rates, label=label, tiers=(), **changed)  # type: ignore[arg-type]


def _hours(window: Any) -> dict[str, Any]:
    if not isinstance(window, Mapping):
        raise ValueError("A window is an object with `from` and `to`.")
    days = _several(window.get("days") or EVERY_DAY)
    if not all(type(day) is int for day in days) or not EVERY_DAY.issuperset(days):
        raise ValueError("The days of a window are numbers from 1, Monday, to 7.")
    return {
        "begins": _minute(window.get("from")),
        "ends": _minute(window.get("to")),
        "days": frozenset(days),
        "rates": window,
        "tiers": window.get("tiers") or (),
    }


def _several(values: Any) -> Iterable[Any]:
    if not isinstance(values, list | tuple | frozenset):
        raise ValueError("Tiers, windows and days are lists.")
    return values


def _minute(text: Any) -> int:
    hour, colon, minute = str(text).partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and int(hour) <= 24 and int(minute) < 60):
        raise ValueError(f"'{text}' is not a time of day: write 16:30.")
    return (int(hour) * 60 + int(minute)) % (24 * 60)


def _name(rates: Rates, hours: Mapping[str, Any]) -> str:
    varied = _varied(rates, hours["rates"], "")
    here, usual = varied.input + varied.output, rates.input + rates.output
    return PEAK if here > usual else OFF_PEAK if here < usual else OTHER_HOURS


def amount(text: Any) -> Decimal:
    """An amount of a price row: a number as text, neither negative nor finer than the ledger."""
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"'{text}' is not an amount.") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"'{text}' is not an amount of a price.")
    if value >= TOO_LARGE:
        raise ValueError(f"'{text}' is too large for a price.")
    _nano(value)
    return value
