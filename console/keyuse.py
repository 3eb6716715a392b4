"""How much is a key used? What it spent of its budget, its requests of a week, and what of the month went through keys.

Whatever is read here is of the keys of one page, by index, and stops counting at a bound: neither the number of keys
nor their past makes the page slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.utils import timezone

from billing.budgets import terms_of
from billing.costs import NANO
from billing.models import Budget, LedgerEntry, Organisation, Pot, Request, Slice
from billing.terms import MONEY
from billing.windows import Window, window_of
from console import formats
from routing.models import ApiKey

WEEK = timedelta(days=7)
MOST_COUNTED = 20_000  # requests of one key
FOOT_SECONDS = 300  # how old the figure of the month may be
NEARLY = 7  # a budget is nearly spent when less than a seventh of it is left


@dataclass(frozen=True, slots=True)
class Meter:
    """What was spent in the window that runs, of how much."""

    budget: Budget
    spent_nano: int
    window: Window

    @property
    def share(self) -> float:
        limit = int(self.budget.limit_nano)
        return self.spent_nano / limit if limit else 1.0

    @property
    def limit(self) -> str:
        """Without cents where there are none."""
        nano = int(self.budget.limit_nano)
        return formats.money(nano, self.budget.currency, None if nano % NANO else 0)

    @property
    def per_cent(self) -> str:
        return f"{min(100.0, max(0.0, self.share * 100)):.1f}%"

    @property
    def spent(self) -> bool:
        return self.spent_nano >= self.budget.limit_nano

    @property
    def tone(self) -> str:
        if self.spent:
            return "bad"
        return "warn" if self.share >= 1 - 1 / NEARLY else "accent"


def meters(keys: Iterable[int], now: datetime) -> dict[int, Meter]:
    """Of those that have a budget. At most four queries, however many."""
    budgets = {budget.scope_id: budget for budget in Budget.objects.filter(scope_kind="key", scope_id__in=list(keys))}
    if not budgets:
        return {}
    moment = now.timestamp()
    windows = {number: window_of(each.period, each.time_zone, moment) for number, each in budgets.items()}
    series = {number: terms_of(each).series(windows[number]) for number, each in budgets.items()}
    pots = {
        pot.scope_id: pot
        for pot in Pot.objects.filter(
            scope_kind="key", scope_id__in=list(budgets), what=MONEY, window__in=set(series.values())
        )
        if series[pot.scope_id] == pot.window
    }
    spent = {number: pot.spent for number, pot in pots.items()}
    if pots:
        # What the slices have settled is not in the ledger yet.
        settled = (
            Slice.objects.filter(pot__in=pots.values()).values_list("pot__scope_id").annotate(total=Sum("settled"))
        )
        for number, total in settled:
            spent[number] += total
    without = [number for number in budgets if number not in pots]
    if without:
        spent |= _booked([(budgets[number], windows[number]) for number in without])
    return {number: Meter(budget, spent.get(number, 0), windows[number]) for number, budget in budgets.items()}


def _booked(asked: Sequence[tuple[Budget, Window]]) -> dict[int, int]:
    """Straight from the ledger: nobody has called under these budgets in the window yet."""
    wanted = reduce(or_, (_in_window(budget, window) for budget, window in asked))
    sums = LedgerEntry.objects.filter(wanted).values_list("key_id").annotate(total=Sum("amount_nano"))
    return {number: int(total or 0) for number, total in sums}


def _in_window(budget: Budget, window: Window) -> Q:
    within = Q(key_id=budget.scope_id, currency=budget.currency, demo=budget.demo)
    if window.starts_at:
        within &= Q(started_at__gte=datetime.fromtimestamp(window.starts_at, timezone.get_default_timezone()))
    return within


def nearly_spent(now: datetime) -> QuerySet[Budget]:
    """Budgets of keys with less than a seventh left. The store knows by name which amount belongs to which window."""
    kinds = Budget.objects.filter(scope_kind="key").order_by().values_list(
        "currency", "period", "time_zone", "demo"
    )  # fmt: skip
    names = []
    for currency, period, zone, demo in kinds.distinct():
        named = Budget(scope_kind="key", scope_id=0, currency=currency, period=period, time_zone=zone, demo=demo)
        series = terms_of(named).series(window_of(period, zone, now.timestamp()))
        names.append(When(currency=currency, period=period, time_zone=zone, demo=demo, then=Value(series)))
    if not names:
        return Budget.objects.none()
    spent = Pot.objects.filter(
        scope_kind="key", scope_id=OuterRef("scope_id"), what=MONEY, window=OuterRef("series")
    ).values("spent")
    return (
        Budget.objects.filter(scope_kind="key")
        .annotate(series=Case(*names, output_field=CharField()))
        .annotate(used=Subquery(spent[:1]))
        .filter(used__gte=F("limit_nano") - F("limit_nano") / NEARLY)
    )


def requests_since(keys: Iterable[int], since: datetime, most: int = MOST_COUNTED) -> dict[int, int]:
    """How many requests came with each of these keys, counted up to a bound. One query, along the index."""
    numbers = list(keys)
    if not numbers:
        return {}
    request, key = Request._meta.db_table, ApiKey._meta.db_table
    places = ", ".join(["%s"] * len(numbers))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT k.id, (SELECT COUNT(*) FROM (SELECT 1 FROM {request} r WHERE r.key_id = k.id"  # noqa: S608
            f" AND r.started_at >= %s LIMIT %s) counted) FROM {key} k WHERE k.id IN ({places})",
            [connection.ops.adapt_datetimefield_value(since), most, *numbers],
        )
        return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Month:
    """What was spent this month, and what of it came with a key; by currency, the largest first."""

    amounts: list[tuple[str, int, int]]  # currency, through keys, altogether


def month_so_far(now: datetime) -> Month:
    """The one figure here that looks at a whole month: asked for beside the page, and at most every few minutes."""
    house = Organisation.get()
    window = window_of("month", house.time_zone, now.timestamp())
    name = f"keys.month.{window.name}.{house.time_zone}"
    kept: Month | None = cache.get(name)
    if kept is None:
        since = datetime.fromtimestamp(window.starts_at, timezone.get_default_timezone())
        entries = LedgerEntry.objects.real().filter(started_at__gte=since, amount_nano__isnull=False)
        sums = entries.exclude(currency="").values_list("currency").annotate(
            keys=Sum("amount_nano", filter=Q(key_id__isnull=False)), total=Sum("amount_nano")
        )  # fmt: skip
        kept = Month(sorted(((c, int(k or 0), int(t)) for c, k, t in sums), key=lambda each: -each[2]))
        cache.set(name, kept, FOOT_SECONDS)
    return kept


def models_used(key: int, since: datetime, most: int = 2_000) -> list[tuple[str, int]]:
    """Which models answered the latest requests of a key, the most used first."""
    latest = Request.objects.filter(key_id=key, started_at__gte=since).exclude(model="").order_by("-started_at")
    counts: dict[str, int] = {}
    for provider, model in latest.values_list("provider", "model")[:most]:
        counts[f"{provider}:{model}"] = counts.get(f"{provider}:{model}", 0) + 1
    return sorted(counts.items(), key=lambda each: -each[1])[:5]


def spent_since(key: int, since: datetime) -> list[tuple[str, int]]:
    """By currency, without what the demonstration answered."""
    entries: Any = LedgerEntry.objects.real().filter(key_id=key, started_at__gte=since, amount_nano__gt=0)
    return [
        (currency, int(total)) for currency, total in entries.values_list("currency").annotate(t=Sum("amount_nano"))
    ]
