"""What thirty days of calls and checks say of one provider, and what here relies on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.hours import BOUNDS, median
from billing.models import Organisation, ProviderHour, Team
from console.charts import Axis, Series, lines, strip
from console.formats import duration, pct
from providers.models import HealthCheck, ModelAlias, Provider
from providers.status import bar

DAYS = 30
MS_STEPS = (200, 400, 800, 1000, 2000, 4000, 8000, 20_000, 40_000, 60_000)
SHARE_STEPS = (0.04, 0.08, 0.2, 0.4, 0.8, 1.0)
TICKS = 4


@dataclass
class Day:
    calls: int = 0
    failures: int = 0
    tokens: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    amounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    checks: int = 0
    failed_checks: int = 0

    def add(self, hour: ProviderHour) -> None:
        self.calls += hour.attempts
        self.failures += hour.failures
        for place, count in enumerate(hour.first_tokens[: len(self.tokens)]):
            self.tokens[place] += count
        for currency, nano in hour.amounts.items():
            self.amounts[currency] += nano

    @property
    def share(self) -> float | None:
        return self.failures / self.calls if self.calls else None


@dataclass(frozen=True, slots=True)
class Use:
    """Something that stops, or falls back, when the provider does."""

    what: str | Promise
    name: str
    model: str


def figures_of(provider: Provider, now: datetime) -> dict[str, Any]:
    """For templates/providers/_figures.html; empty while nothing is known."""
    days = _days(provider, now)
    if not any(day.calls or day.checks for day in days.values()):
        return {}
    whole, today, month = Day(), list(days.values())[-1], Day()
    for at, day in days.items():
        _merge(whole, day)
        if at.month == timezone.localtime(now).month:
            _merge(month, day)
    return {
        "median_ms": median(whole.tokens),
        "failed_today": today.share,
        "failed_usually": whole.share,
        "calls_month": month.calls,
        "spent_month": sorted(((nano, currency) for currency, nano in month.amounts.items()), reverse=True),
        "succeeded": None if whole.share is None else 1 - whole.share,
        "strip": _strip(days.values()),
        "first_day": date_format(next(iter(days)), "j M"),
        "first_tokens": _first_tokens(days),
        "errors": _errors(days),
    }


def uses_of(provider: Provider) -> list[Use]:
    """Names that lead here: aliases, and the defaults of teams and the house. Also under a former slug."""
    slugs = [provider.slug, *provider.former_slugs.values_list("slug", flat=True)]
    named = Q()
    for slug in slugs:
        named |= Q(default_model__startswith=f"{slug}:")
    found = [
        Use(gettext_lazy("Alias"), alias.name, alias.model.model_id)
        for alias in ModelAlias.objects.filter(model__provider=provider).select_related("model")[:50]
    ]
    aliases = {use.name for use in found}
    teams = Team.objects.filter(named | Q(default_model__in=aliases), archived_at=None).order_by("name")[:50]
    found += [Use(gettext_lazy("Default of a team"), team.name, team.default_model) for team in teams]
    house = Organisation.objects.filter(named | Q(default_model__in=aliases), id=1).first()
    return found + ([Use(gettext_lazy("Default of all"), house.name, house.default_model)] if house else [])


# -- days ---------------------------------------------------------------------------------


def _days(provider: Provider, now: datetime) -> dict[date, Day]:
    """Of the page's time zone, oldest first, each there even when nothing happened."""
    today = timezone.localdate(now)
    days = {today - timedelta(days=back): Day() for back in range(DAYS - 1, -1, -1)}
    since = now - timedelta(days=DAYS)
    for hour in ProviderHour.objects.filter(provider_id=provider.pk, hour__gte=since):
        day = days.get(timezone.localdate(hour.hour))
        if day is not None:
            day.add(hour)
    checks = HealthCheck.objects.filter(provider=provider, at__gte=since).order_by().annotate(day=TruncDate("at"))
    for row in checks.values("day").annotate(all=Count("id"), failed=Count("id", filter=Q(ok=False))):
        day = days.get(row["day"])
        if day is not None:
            day.checks, day.failed_checks = row["all"], row["failed"]
    return days


def _merge(into: Day, day: Day) -> None:
    into.calls += day.calls
    into.failures += day.failures
    into.tokens = [one + two for one, two in zip(into.tokens, day.tokens, strict=True)]
    for currency, nano in day.amounts.items():
        into.amounts[currency] += nano


# -- drawings -----------------------------------------------------------------------------


def _strip(days: Iterable[Day]) -> SafeString:
    bars = [bar(day.checks, day.failed_checks, day.calls, day.failures) for day in days]
    label = _("30 days: %(good)d good, %(some)d with failures, %(down)d down, %(none)d without a call or check") % {
        "good": bars.count(""),
        "some": bars.count("w"),
        "down": bars.count("b"),
        "none": bars.count("n"),
    }
    return strip(bars, label, wide=True)


def _first_tokens(days: dict[date, Day]) -> SafeString:
    medians = [median(day.tokens) for day in days.values()]
    words = ["" if ms is None else duration(ms) for ms in medians]
    top = _top([float(ms) for ms in medians if ms is not None], MS_STEPS)
    ticks = [duration(top * tick / TICKS) if tick else "0" for tick in range(TICKS + 1)]
    return lines(
        _("Median time to the first token, last 30 days."),
        [Series(_("First token"), "d1", medians, words)],
        _axis(days, top, ticks),
        height=150,
    )


def _errors(days: dict[date, Day]) -> SafeString:
    shares = [day.share for day in days.values()]
    words = ["" if share is None else pct(share) for share in shares]
    top = _top([share for share in shares if share is not None], SHARE_STEPS)
    ticks = [pct(top * tick / TICKS) if tick else "0" for tick in range(TICKS + 1)]
    return lines(
        _("Share of attempts that failed, last 30 days."),
        [Series(_("Failed attempts"), "bad", shares, words)],
        _axis(days, top, ticks),
        height=150,
    )


def _top(values: Sequence[float], steps: Sequence[float]) -> float:
    """The lowest round end of the axis that holds them all."""
    most = max(values, default=0.0)
    return next((float(step) for step in steps if step >= most), float(steps[-1]))


def _axis(days: dict[date, Day], top: float, ticks: Sequence[str]) -> Axis:
    names = [date_format(day, "j M") for day in days]
    return Axis(top, ticks, [(place, names[place]) for place in (0, 9, 19, DAYS - 1)], names)
