"""What does the public price list say? The data of genai-prices, as prices of our own.

The package brings its data along; a newer copy may be fetched from where its project publishes it. It is imported here
when it is needed, and by nothing else: with its data it weighs more than what else a worker does with prices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from billing.costs import DECIMALS, amount
from billing.prices import Listed

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

PACKAGE = "genai-prices"
THOUSAND = 1000

_BUCKETS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}


class FeedBroken(Exception):
    """The published list is not one. The words are for people."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A list of prices, and what to call it where a price says its source."""

    providers: list[Provider]
    source: str

    def steps(self, provider_id: str, model_id: str, *, embedding: bool = False) -> list[Listed]:
        """What a model cost, costs and will cost, in order of time. Empty: the list does not know."""
        provider = next((each for each in self.providers if each.id == provider_id), None)
        model = provider.find_model(model_id, all_providers=self.providers) if provider else None
        if model is None:
            return []
        source = self.source if model.id == model_id else f"{self.source}: {model.id}"
        return [replace(step, source=source) for step in _steps(model, embedding)]


def bundled() -> Feed:
    from genai_prices.data import providers

    return Feed(providers, f"{PACKAGE} {version(PACKAGE)}")


def published(text: bytes, day: datetime) -> Feed:
    """The file its project publishes, which changes between releases of the package."""
    from genai_prices.types import _providers_from_raw  # as the package's own updater reads it
    from pydantic import ValidationError

    try:
        raw = json.loads(text, parse_float=Decimal)
        if not isinstance(raw, list) or not raw:
            raise FeedBroken("The price list is not a list of providers.")
        return Feed(_providers_from_raw(raw), f"{PACKAGE}, published {day:%Y-%m-%d}")
    except (ValueError, TypeError, ValidationError) as error:
        raise FeedBroken(f"The price list cannot be read: {str(error).splitlines()[0][:200]}") from error


def _steps(model: ModelInfo, embedding: bool) -> list[Listed]:
    """The list gives prices under conditions, of which the last that holds counts: dates, then hours of the day."""
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    given = model.prices if isinstance(model.prices, list) else None
    if given is None:
        one = _listed(model.prices, embedding)  # type: ignore[arg-type]
        return [_with_batch(one, model)] if one else []
    steps: list[Listed] = []
    windows: list[dict[str, Any]] = []
    for each in given:
        listed = _listed(each.prices, embedding)
        if listed is None:
            return []
        if isinstance(each.constraint, TimeOfDateConstraint):
            windows.append({**_hours(each.constraint.start_time, each.constraint.end_time), **_amounts(each.prices, 0)})
        elif isinstance(each.constraint, StartDateConstraint):
            begins = datetime.combine(each.constraint.start_date, time(), UTC)
            steps = [*(step for step in steps if step.valid_from != begins), replace(listed, valid_from=begins)]
        else:
            steps = [listed]
    if not steps:
        return []
    steps.sort(key=lambda step: step.valid_from.timestamp() if step.valid_from else 0.0)
    # Hours cannot carry a date there: they belong to the newest prices. The last that covers a moment counts.
    steps[-1] = _with_batch(replace(steps[-1], windows=tuple(reversed(windows))), model)
    return steps


def _listed(prices: ModelPrice, embedding: bool) -> Listed | None:
    """None when the model is not sold by the token, or something it costs is not known."""
    rates = _amounts(prices, 0)
    if embedding:
        rates.setdefault("output", "0")
    if "input" not in rates or "output" not in rates:
        return None
    requests = getattr(prices, "requests_kcount", None)
    return Listed(
        currency="USD",
        **{f"{name}_per_million": amount(rate) for name, rate in rates.items()},  # type: ignore[arg-type]
        per_request=amount(_rounded(requests / THOUSAND)) if isinstance(requests, Decimal) else Decimal(0),
        tiers=tuple({"above": above, **_amounts(prices, above + 1)} for above in _thresholds(prices)),
    )


def _amounts(prices: ModelPrice, prompt: int) -> dict[str, str]:
    """Rates for a prompt of so many tokens, as text."""
    found = {}
    for theirs, ours in _BUCKETS.items():
        price = getattr(prices, theirs, None)
        if price is not None:
            found[ours] = _rounded(_at(price, prompt))
    return found


def _at(price: Any, prompt: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    fitting = [tier.price for tier in price.tiers if prompt > tier.start]
    rate: Decimal = fitting[-1] if fitting else price.base
    return rate


def _rounded(rate: Decimal) -> str:
    """Some are the result of a division, with more decimals than anybody is billed by."""
    return f"{round(rate, DECIMALS).normalize():f}"


def _thresholds(prices: ModelPrice) -> list[int]:
    found = {tier.start for name in _BUCKETS for tier in getattr(getattr(prices, name, None), "tiers", ())}
    return sorted(found)


def _hours(begins: time, ends: time) -> dict[str, str]:
    return {"from": f"{_utc(begins):%H:%M}", "to": f"{_utc(ends):%H:%M}"}


def _utc(moment: time) -> time:
    whole = datetime.combine(datetime(2000, 1, 2), moment)
    return whole.astimezone(UTC).time() if moment.tzinfo else moment


def _with_batch(listed: Listed, model: ModelInfo) -> Listed:
    """What a batch pays, where it is the same share of everything."""
    for variant in model.price_variants or ():
        if variant.when == {"processing": "batch"}:
            shares = set(_shares(_amounts(variant.prices, 0), listed))
            if len(shares) == 1:
                share = shares.pop()
                return replace(listed, batch_share=share) if 0 < share <= 1 else listed
    return listed


def _shares(batch: dict[str, str], listed: Listed) -> Iterable[Decimal]:
    for name, rate in batch.items():
        full = getattr(listed, f"{name}_per_million")
        if full:
            yield round(Decimal(rate) / full, 3)
