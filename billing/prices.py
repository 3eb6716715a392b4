"""What does a model cost, from when on, and who says so? Prices as lists have them, and the rows made of them.

A row is never edited: a change is a new one, and the newest that has begun is the price. A price that somebody typed
stays until somebody decides otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from billing.costs import EVERY_DAY, Rates, amount, with_variants
from billing.models import Price
from providers.models import LanguageModel, configuration_changed

SINCE = datetime(2025, 1, 1, tzinfo=UTC)  # before any call, so that the one that found the model is priced too


@dataclass(frozen=True, slots=True)
class Listed:
    """A price as a list has it. The fields are those of a row."""

    currency: str
    input_per_million: Decimal
    output_per_million: Decimal
    cached_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None
    per_request: Decimal = Decimal(0)
    batch_share: Decimal | None = None
    tiers: tuple[Mapping[str, Any], ...] = ()
    windows: tuple[Mapping[str, Any], ...] = ()
    valid_from: datetime | None = None  # None: as long as anybody knows
    source: str = ""

    def values(self) -> dict[str, Any]:
        """As JSON keeps it: amounts and moments as text, what is not known left out."""
        kept = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: value if isinstance(value, str) else _plain(value)
            for name, value in kept.items()
            if value is not None
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Listed:
        """A ValueError says what cannot be read."""
        known = {name: value for name, value in values.items() if name in _NAMES}
        for name in AMOUNTS & known.keys():
            known[name] = amount(known[name])
        if "batch_share" in known:
            known["batch_share"] = _share(known["batch_share"])
        if "valid_from" in known:
            known["valid_from"] = datetime.fromisoformat(known["valid_from"])
        listed = cls(**known | {name: tuple(known.get(name, ())) for name in ("tiers", "windows")})
        rates_of(listed)
        return listed

    def row(self, model: LanguageModel, **more: Any) -> Price:
        kept: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        kept |= {"tiers": list(self.tiers), "windows": list(self.windows), "source": self.source[:200]}
        return Price(**kept | {"model": model, "valid_from": self.valid_from or SINCE} | more)


def _share(text: Any) -> Decimal:
    share = amount(text)
    if not 0 < share <= 1 or share != round(share, 3):
        raise ValueError(f"'{text}' is not a share: write 0.5 for half.")
    return share


_NAMES = frozenset(each.name for each in fields(Listed))
AMOUNTS = frozenset(name for name in _NAMES if name.endswith("_per_million")) | {"per_request"}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.isoformat() if isinstance(value, datetime) else list(value)


def rates_of(price: Price | Listed) -> Rates:
    """What is reckoned with. A ValueError says what in the row cannot be read."""
    kept = price if isinstance(price, Price) else None
    rates = Rates(
        price_id=kept.pk if kept else 0,
        currency=price.currency,
        input=price.input_per_million,
        output=price.output_per_million,
        cached=price.cached_per_million,
        cache_write=price.cache_write_per_million,
        reasoning=price.reasoning_per_million,
        audio_input=price.audio_input_per_million,
        audio_output=price.audio_output_per_million,
        per_request=price.per_request,
        batch_share=price.batch_share,
        valid_from=price.valid_from.timestamp() if price.valid_from else 0.0,
        valid_until=kept.valid_until.timestamp() if kept and kept.valid_until else None,
    )
    return with_variants(rates, price.tiers, price.windows) if price.tiers or price.windows else rates


# -- rows ---------------------------------------------------------------------------


def row_at(rows: Iterable[Price], moment: datetime) -> Price | None:
    """Of all rows of a model, the one by which a call that begins at this moment is paid."""
    begun = [row for row in rows if row.valid_from <= moment and (row.valid_until is None or moment < row.valid_until)]
    return max(begun, key=lambda row: (row.valid_from, row.pk), default=None)


def price_at(model: LanguageModel, moment: datetime) -> Price | None:
    return row_at(model.prices.all(), moment)


def unpriced() -> QuerySet[LanguageModel]:
    """Models that may be called and have no price: a fault to show, since nobody can say what they cost."""
    return LanguageModel.objects.filter(active=True, prices=None, provider__enabled=True)


def set_price(model: LanguageModel, listed: Listed, *, by: int | None = None, now: datetime | None = None) -> Price:
    """A new row from its moment on: now, unless it says when. One announced for the same moment gives way."""
    rates_of(listed)
    now = now or timezone.now()
    begins = max(listed.valid_from or now, now)
    with transaction.atomic():
        LanguageModel.objects.select_for_update().get(pk=model.pk)  # two people at once: one after the other
        model.prices.filter(valid_from=begins).filter(valid_from__gt=now).delete()
        if by is not None:  # what a list has announced must not replace what a person decides: it is proposed again
            model.prices.filter(valid_from__gt=begins, set_by_id=None).delete()
        row = replace(listed, valid_from=begins).row(model, set_by_id=by)
        row.save(force_insert=True)
    return row


def keep_first_prices(found: Iterable[tuple[LanguageModel, Iterable[Listed]]]) -> int:
    """Rows for models that have none. How many models were priced."""
    rows = [(model, [step.row(model) for step in steps]) for model, steps in found]
    with transaction.atomic():
        priced = set(Price.objects.filter(model__in=[model.pk for model, _ in rows]).values_list("model_id", flat=True))
        new = [row for model, steps in rows if model.pk not in priced for row in steps]
        Price.objects.bulk_create(new, ignore_conflicts=True)  # another process may have read the same list
        if new:
            configuration_changed()
    return len({row.model_id for row in new})


# -- comparing ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate that changes. `variant` says for which prompts or hours: see `variants`."""

    variant: tuple[Any, ...]
    bucket: int  # place in costs.BUCKETS; -1: per request
    old: int | None  # nano-units; None: there was none
    new: int | None

    @property
    def percent(self) -> float | None:
        return (self.new - self.old) / self.old * 100 if self.old and self.new is not None else None


def variants(rates: Rates) -> dict[tuple[Any, ...], Rates]:
    """All rates of a price: (), ("tier", above), ("window", begins, ends), ("window", begins, ends, "tier", above)."""
    found: dict[tuple[Any, ...], Rates] = {(): rates}
    found |= {("tier", tier.above): tier.rates for tier in reversed(rates.tiers)}
    for window in rates.windows:
        key = ("window", window.begins, window.ends)
        found[key] = window.rates
        found |= {(*key, "tier", tier.above): tier.rates for tier in reversed(window.rates.tiers)}
    return found


def differences(old: Rates | None, new: Rates) -> list[Difference]:
    """What a new price changes, in the order of the buckets."""
    before, after = variants(old) if old else {}, variants(new)
    found = []
    for key in [*after, *(key for key in before if key not in after)]:
        one, two = before.get(key), after.get(key)
        for bucket in range(len(new.nano)):
            pair = (one.nano[bucket] if one else None, two.nano[bucket] if two else None)
            if pair[0] != pair[1] and not _falls_back(bucket, one, two):
                found.append(Difference(key, bucket, *pair))
    once = (old.nano_per_request if old else 0, new.nano_per_request)
    return [*found, Difference((), -1, *once)] if once[0] != once[1] else found


# Where a bucket without a rate of its own gets it from, by place.
_FALLBACK = {1: 0, 2: 0, 4: 3, 5: 3, 6: 0}


def _falls_back(bucket: int, one: Rates | None, two: Rates | None) -> bool:
    """Whether it only follows another bucket, on both sides: no news of its own."""
    other = _FALLBACK.get(bucket)
    return other is not None and all(each is None or each.nano[bucket] == each.nano[other] for each in (one, two))


def same(one: Rates, two: Rates) -> bool:
    """Whether two prices come to the same. Days only count where both know of them: not every list does."""
    if one.currency != two.currency or differences(one, two) or differences(two, one):
        return False
    pairs = zip(one.windows, two.windows, strict=True) if len(one.windows) == len(two.windows) else ()
    return all(a.days == b.days or EVERY_DAY in (a.days, b.days) for a, b in pairs)


# -- the catalogue ------------------------------------------------------------------

_CATALOGUE = {
    "input_usd_per_mtok": "input",
    "output_usd_per_mtok": "output",
    "cached_input_usd_per_mtok": "cached",
    "cache_write_usd_per_mtok": "cache_write",
    "output_reasoning_usd_per_mtok": "reasoning",
    "input_audio_usd_per_mtok": "audio_input",
    "output_audio_usd_per_mtok": "audio_output",
}


def steps_of(entry: Mapping[str, Any], *, source: str = "", batch: float | None = None) -> list[Listed]:
    """What the catalogue says a model cost, costs and will cost, in order of time. Empty: it does not know."""
    usual = _catalogue_rates(entry)
    peaks = [window for window in entry.get("price_windows") or () if isinstance(window["utc_hours"], list)]
    for window in entry.get("price_windows") or ():
        if not isinstance(window["utc_hours"], list):  # "otherwise"
            usual |= _catalogue_rates(window)
    if "output" not in usual and entry.get("kind") == "embedding":
        usual["output"] = "0"
    if "input" not in usual or "output" not in usual:
        return []
    said = entry.get("price_source") or source
    now = _listed(usual, said, batch)
    now = replace(
        now,
        tiers=tuple(
            {"above": tier["above_input_tokens"], **_catalogue_rates(tier)}
            for tier in entry.get("tiers") or ()
            if tier.get("applies_to", "whole_request") == "whole_request"
        ),
        windows=tuple(
            {"from": hours[:5], "to": hours[6:], "days": window["weekdays"], **_catalogue_rates(window)}
            for window in peaks
            for hours in window["utc_hours"]
        ),
    )
    steps = [_listed(usual | _catalogue_rates(past), said, batch, past.get("from")) for past in _past(entry)]
    steps.append(replace(now, valid_from=_from(_present(entry))))
    steps += [
        _listed(usual | _catalogue_rates(change), said, batch, change["from"])
        for change in entry.get("price_changes") or ()
    ]
    return steps


def _past(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [past for past in entry.get("price_history") or () if past.get("until")]


def _present(entry: Mapping[str, Any]) -> str | None:
    """Since when the present price holds, where the history says so."""
    return next((step.get("from") for step in entry.get("price_history") or () if not step.get("until")), None)


def _listed(rates: Mapping[str, str], source: str, batch: float | None, begins: str | None = None) -> Listed:
    return Listed(
        currency="USD",
        **{f"{name}_per_million": amount(rate) for name, rate in rates.items()},  # type: ignore[arg-type]
        batch_share=Decimal(str(batch)) if batch is not None else None,
        valid_from=_from(begins),
        source=source,
    )


def _from(day: str | None) -> datetime | None:
    return datetime.combine(date.fromisoformat(day), time(), UTC) if day else None


def _catalogue_rates(entry: Mapping[str, Any]) -> dict[str, str]:
    """Amounts as text; what is null there is not known, and left out."""
    return {ours: str(entry[theirs]) for theirs, ours in _CATALOGUE.items() if entry.get(theirs) is not None}


def at_moment(steps: Iterable[Listed], moment: datetime) -> Listed | None:
    """The step that holds at a moment."""
    begun = [step for step in steps if (step.valid_from or SINCE) <= moment]
    return begun[-1] if begun else None
