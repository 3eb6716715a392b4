"""What did the calls of each hour say about each provider? Reckoned in the database, as often as one likes.

An hour is reckoned whole and its row replaced, so running twice, or in two processes, changes nothing. The rows of
provider `HOUSE` are of the house: there a row counts requests, however many attempts they took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, Exists, F, Func, IntegerField, Max, OuterRef, Q, Sum, Value, When

from billing.models import Attempt, LedgerEntry, ProviderHour, Request
from providers.errors import BadRequest, ContextTooLong, Refused
from providers.models import HealthCheck, Provider
from providers.status import TRAFFIC, bar

HOUSE = 0
HOUR = timedelta(hours=1)
HALF = timedelta(minutes=30)
LATELY, LATE = 2, 48  # hours back: what is still being written, and what a journal may bring afterwards
DAY_HOURS, BARS = 24, 48

# Upper bounds in milliseconds. A first token later than the last one is counted behind it.
BOUNDS = (
    50, 75, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 1000, 1250, 1500, 2000, 2500, 3000, 4000, 5000,
    7500, 10_000, 15_000, 20_000, 30_000, 60_000,
)  # fmt: skip
FAILED = Q(status__in=("failed", "interrupted"))
# What the caller got wrong says nothing about the provider.
CALLERS_OWN = Q(error_code__in=(BadRequest.code, ContextTooLong.code, Refused.code))
FAULT = FAILED & ~CALLERS_OWN
COUNTED = ~Q(status="cancelled") & ~CALLERS_OWN


# -- reckoning ------------------------------------------------------------------------------


def reckon(now: datetime, back: int = LATELY) -> int:
    """The running hour and those before it. How many rows were written."""
    hour = hour_of(now)
    ids = list(Provider.objects.values_list("pk", flat=True))
    return sum(_reckon_hour(hour - number * HOUR, ids) for number in range(back + 1))


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _reckon_hour(hour: datetime, ids: list[int]) -> int:
    during = Q(started_at__gte=hour, started_at__lt=hour + HOUR)
    rows: dict[int, ProviderHour] = defaultdict(lambda: ProviderHour(hour=hour))
    attempts = Attempt.objects.real().filter(during, provider_id__in=ids)
    for found in attempts.values("provider_id").annotate(**_counts("status")):
        _fill(rows[found["provider_id"]], found)
    for number, count in _rerouted(attempts):
        rows[number].rerouted = count
    house = Request.objects.real().filter(during, attempts__gt=0).exclude(purpose="system")
    counted = house.aggregate(**_counts("status"), rerouted=Count("status", filter=Q(status="ok", attempts__gt=1)))
    if counted["counted"]:
        _fill(rows[HOUSE], counted)
        rows[HOUSE].rerouted = counted["rerouted"]
    entries = LedgerEntry.objects.real().filter(during, amount_nano__isnull=False).exclude(currency="")
    for number, currency, nano in entries.values_list("provider_id", "currency").annotate(nano=Sum("amount_nano")):
        if number in rows or number in ids:
            rows[number].amounts[currency] = nano
    for number in rows:
        rows[number].provider_id = number
    return _write([rows[number] for number in sorted(rows)])


def _counts(column: str) -> dict[str, Any]:
    """Everything that is counted of one table, in one pass over its rows."""
    counts = {"counted": Count(column, filter=COUNTED), "faults": Count(column, filter=FAULT)}
    low = -1
    for place, bound in enumerate(BOUNDS):
        counts[f"t{place}"] = Count(column, filter=Q(first_token_ms__gt=low, first_token_ms__lte=bound))
        low = bound
    counts[f"t{len(BOUNDS)}"] = Count(column, filter=Q(first_token_ms__gt=low))
    return counts


def _fill(row: ProviderHour, found: Mapping[str, Any]) -> None:
    row.attempts, row.failures = found["counted"], found["faults"]
    row.first_tokens = [found[f"t{place}"] for place in range(len(BOUNDS) + 1)]


def _rerouted(attempts: Any) -> Iterable[tuple[int, int]]:
    """Requests that failed at a provider and were answered by another one."""
    elsewhere = Request.objects.filter(
        id=OuterRef("request_id"), started_at=OuterRef("started_at"), status="ok"
    ).exclude(provider=OuterRef("provider"))
    failed = attempts.filter(FAULT).filter(Exists(elsewhere))
    return failed.values_list("provider_id").annotate(count=Count("request_id", distinct=True))  # type: ignore[no-any-return]


def _write(rows: list[ProviderHour]) -> int:
    fields = ["attempts", "failures", "rerouted", "first_tokens", "amounts"]
    ProviderHour.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["provider_id", "hour"], update_fields=fields
    )
    return len(rows)


# -- reading --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """Some hours added up."""

    calls: int = 0
    failures: int = 0
    rerouted: int = 0
    first_tokens: Sequence[int] = ()
    amounts: Mapping[str, int] = field(default_factory=dict)

    @property
    def median_ms(self) -> int | None:
        return median(self.first_tokens)

    @property
    def error_share(self) -> float | None:
        return self.failures / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Figures:
    """One provider, or the house: the last day and the one before it."""

    day: Period = Period()
    before: Period = Period()
    hours: Sequence[Period] = ()  # of the last day, oldest first

    def median_change(self) -> int | None:
        now, then = self.day.median_ms, self.before.median_ms
        return None if now is None or then is None else now - then


@dataclass(frozen=True, slots=True)
class Lately:
    """The last minutes of calls to one provider."""

    calls: int = 0
    failures: int = 0
    answered_at: datetime | None = None


def fleet(now: datetime, ids: Sequence[int]) -> dict[int, Figures]:
    """The figures of these providers, and those of the house under `HOUSE`."""
    first = hour_of(now) - (DAY_HOURS - 1) * HOUR
    rows: dict[int, dict[datetime, ProviderHour]] = defaultdict(dict)
    since = first - DAY_HOURS * HOUR
    for row in ProviderHour.objects.filter(hour__gte=since, hour__lte=now, provider_id__in=[HOUSE, *ids]):
        rows[row.provider_id][row.hour] = row
    return {number: _figures(rows[number], first) for number in [HOUSE, *ids]}


def _figures(rows: Mapping[datetime, ProviderHour], first: datetime) -> Figures:
    hours = [_period([rows[at]] if (at := first + n * HOUR) in rows else []) for n in range(DAY_HOURS)]
    day = _period([row for at, row in rows.items() if at >= first])
    return Figures(day, _period([row for at, row in rows.items() if at < first]), hours)


def strips(now: datetime, figures: Mapping[int, Figures]) -> dict[int, list[str]]:
    """The last day of each in half hours, oldest first: what checks and calls say together, as `status.bar` puts it."""
    checks = checks_by_bar(now, list(figures))
    first = hour_of(now) - (DAY_HOURS - 1) * HOUR
    begins = [now_bar(now) - (BARS - 1 - place) * HALF for place in range(BARS)]
    drawn: dict[int, list[str]] = {}
    for number, each in figures.items():
        drawn[number] = []
        for place, at in enumerate(begins):
            asked, failed = checks.get(number, {}).get(place, (0, 0))
            # In the first half of an hour the day's oldest half hour belongs to an hour that is not counted any more.
            hour = int((hour_of(at) - first) / HOUR)
            calls = each.hours[hour] if 0 <= hour < len(each.hours) else Period()
            drawn[number].append(bar(asked, failed, calls.calls, calls.failures))
    return drawn


def _period(rows: Sequence[ProviderHour]) -> Period:
    tokens = [0] * (len(BOUNDS) + 1)
    amounts: dict[str, int] = defaultdict(int)
    for row in rows:
        for place, count in enumerate(row.first_tokens[: len(tokens)]):
            tokens[place] += count
        for currency, nano in row.amounts.items():
            amounts[currency] += nano
    return Period(
        sum(row.attempts for row in rows),
        sum(row.failures for row in rows),
        sum(row.rerouted for row in rows),
        tokens,
        dict(amounts),
    )


def median(counts: Sequence[int]) -> int | None:
    """As near as the bounds allow: within its bucket as if the values were spread evenly."""
    total = sum(counts)
    if not total:
        return None
    below, low = 0, 0
    for bound, count in zip(BOUNDS, counts, strict=False):
        if count and (below + count) * 2 >= total:
            return round(low + (bound - low) * (total / 2 - below) / count)
        below, low = below + count, bound
    return BOUNDS[-1]


def now_bar(now: datetime) -> datetime:
    """When the running half hour began."""
    return now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)


def checks_by_bar(now: datetime, ids: Sequence[int]) -> dict[int, dict[int, tuple[int, int]]]:
    """Checks and failed ones for each bar of the strip, counted in the database."""
    first = now_bar(now) - (BARS - 1) * HALF
    start = int(first.timestamp()) // 1800
    found: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
    rows = HealthCheck.objects.filter(provider_id__in=ids, at__gte=first).order_by().annotate(half=HalfHour("at"))
    counts = rows.values("provider_id", "half").annotate(all=Count("id"), failed=Count("id", filter=Q(ok=False)))
    for row in counts:
        place = row["half"] - start
        if 0 <= place < BARS:
            found[row["provider_id"]][place] = (row["all"], row["failed"])
    return found


class HalfHour(Func):
    """The number of the half hour since the epoch. Django's own truncation calls Python for each row on SQLite."""

    template = "CAST(FLOOR(EXTRACT(EPOCH FROM %(expressions)s) / 1800) AS INTEGER)"
    output_field = IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) / 1800"
        return super().as_sql(compiler, connection, template=template, **context)


def lately(now: datetime, ids: Sequence[int]) -> dict[int, Lately]:
    """How the calls of the last minutes went, from the attempts themselves."""
    recent = Attempt.objects.real().filter(provider_id__in=ids, started_at__gte=now - TRAFFIC)
    answered = Case(When(status="ok", then=F("started_at")), default=Value(None))
    counts = recent.values("provider_id").annotate(
        calls=Count("status", filter=COUNTED), failures=Count("status", filter=FAULT), answered_at=Max(answered)
    )
    return {row["provider_id"]: Lately(row["calls"], row["failures"], row["answered_at"]) for row in counts}


def spent(since: datetime, now: datetime) -> dict[int, dict[str, int]]:
    """Nano-units by provider and currency."""
    amounts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows = ProviderHour.objects.filter(hour__gte=hour_of(since), hour__lte=now).exclude(amounts={})
    for number, by_currency in rows.values_list("provider_id", "amounts").iterator():
        for currency, nano in by_currency.items():
            amounts[number][currency] += nano
    return {number: dict(found) for number, found in amounts.items()}
