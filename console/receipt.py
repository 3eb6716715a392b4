"""How did the amount come about? Each entry of the ledger with its arithmetic, to the last digit.

An entry keeps its formula as it was reckoned, with the rates of that moment; what is shown is read from there and added
up again. A formula that is cut, or that a provider's own word replaced, is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import LedgerEntry, Price
from console import formats

NANO = Decimal(10) ** 9
MILLION = Decimal(10) ** 6
WHOLE = re.compile(
    r"(?:(?P<label>.+?): )?"
    r"(?:no tokens|(?:\((?P<parts>\d[^()]*)\) / 1M)?(?: x (?P<share>[\d.]+) in a batch)?"
    r"(?:(?: \+ )?(?P<each>[\d.]+) a request)?)"
    r" = (?P<amount>[\d.]+) (?P<currency>\w+)"
)
PART = re.compile(r"(?P<count>\d+) (?P<bucket>[a-z ]+) x (?P<rate>[\d.]+)")
# As billing/costs.py calls the buckets.
BUCKETS: Mapping[str, str | Promise] = {
    "input": gettext_lazy("Input"),
    "cached": gettext_lazy("Input, cached"),
    "cache write": gettext_lazy("Input, written to the cache"),
    "output": gettext_lazy("Output"),
    "reasoning": gettext_lazy("Reasoning"),
    "audio": gettext_lazy("Audio"),
    "audio input": gettext_lazy("Audio input"),
}
SOURCES: Mapping[str, str | Promise] = {
    "provider": gettext_lazy("Tokens as the provider counted them."),
    "counted": gettext_lazy("Tokens as we counted them: the provider did not say."),
    "estimated": gettext_lazy("Nobody knows the tokens: the worst case was booked."),
}
COUNTS = ("input", "cached", "cache_write", "output", "reasoning", "audio")


@dataclass(frozen=True, slots=True)
class Item:
    words: str
    count: str = ""
    rate: str = ""
    amount: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One entry. Without items, `formula` says how it was reckoned."""

    entry: LedgerEntry
    attempt: int
    total: str
    currency: str
    items: tuple[Item, ...] = ()
    formula: str = ""
    remark: str = ""  # which of the rates these are, a batch
    source: str = ""
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Part:
    bucket: str
    count: int
    rate: Decimal

    @property
    def amount(self) -> Decimal:
        return self.count * self.rate / MILLION


@dataclass(frozen=True, slots=True)
class Reckoning:
    """A formula, taken apart."""

    parts: tuple[Part, ...]
    each: Decimal  # for the request itself
    share: Decimal  # of a batch
    label: str
    amount: Decimal
    currency: str

    @property
    def sum(self) -> Decimal:
        """Rounded once, as the ledger does."""
        tokens = sum((part.amount for part in self.parts), Decimal(0)) * self.share
        return tokens.quantize(1 / NANO, ROUND_HALF_EVEN) + self.each


def receipts_of(entries: Iterable[LedgerEntry]) -> list[Receipt]:
    entries = list(entries)
    prices = Price.objects.select_related("model__provider").in_bulk({entry.price_id for entry in entries} - {None})
    return [replace(receipt_of(entry), price=prices.get(entry.price_id or 0)) for entry in entries]


def receipt_of(entry: LedgerEntry) -> Receipt:
    number = int(entry.attempt_id.rpartition("-")[2] or 0)
    source = str(SOURCES.get(entry.usage_source, "")) if entry.kind == "charge" else ""
    if entry.amount_nano is None:
        return Receipt(entry, number, _("no price"), "", _counts(entry), source=source)
    amount = Decimal(entry.amount_nano) / NANO
    found = reckoned(entry.formula)
    if found is None or found.sum != amount or found.currency != entry.currency:
        total = formats.exact(amount, entry.currency) if entry.currency else formats.number(amount)
        return Receipt(entry, number, total, entry.currency, _counts(entry), entry.formula, source=source)
    decimals = _finest([part.amount for part in found.parts] + [found.each, amount])
    remark = found.label if found.share == 1 else _("%(share)s of the price, in a batch") % {"share": found.share}
    total = formats.exact(amount, entry.currency, decimals)
    return Receipt(entry, number, total, entry.currency, _items(found, decimals), remark=remark, source=source)


def reckoned(formula: str) -> Reckoning | None:
    """None: it is not one of ours, or not whole."""
    whole = WHOLE.fullmatch(formula)
    if whole is None:
        return None
    parts = []
    for text in (whole["parts"] or "").split(" + ") if whole["parts"] else []:
        part = PART.fullmatch(text)
        if part is None or part["bucket"] not in BUCKETS:
            return None
        parts.append(Part(part["bucket"], int(part["count"]), Decimal(part["rate"])))
    return Reckoning(
        tuple(parts),
        Decimal(whole["each"] or 0),
        Decimal(whole["share"] or 1),
        whole["label"] or "",
        Decimal(whole["amount"]),
        whole["currency"],
    )


def _items(found: Reckoning, decimals: int) -> tuple[Item, ...]:
    fine = _finest([part.rate for part in found.parts])
    items = [
        Item(
            str(BUCKETS[part.bucket]),
            formats.number(part.count),
            formats.exact(part.rate, found.currency, fine),
            formats.exact(part.amount, found.currency, decimals),
        )
        for part in found.parts
    ]
    if found.each:
        items.append(Item(_("The request itself"), amount=formats.exact(found.each, found.currency, decimals)))
    return tuple(items)


def _counts(entry: LedgerEntry) -> tuple[Item, ...]:
    """Tokens without money."""
    told = []
    for name in COUNTS:
        count = getattr(entry, f"{name}_tokens")
        if count:
            told.append(Item(str(BUCKETS[name.replace("_", " ")]), formats.number(count)))
    return tuple(told)


def _finest(amounts: Sequence[Decimal]) -> int:
    """Decimals that show every one of them in full, two at least."""
    return max([2, *(-int(amount.normalize().as_tuple().exponent) for amount in amounts)])
