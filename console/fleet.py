"""The fleet as a page shows it: every provider with its status and its figures, and the totals of all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from django.core.cache import cache
from django.db.models import Count, OuterRef, Prefetch, Q, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import RedisError

from billing import hours
from billing.hours import HOUSE, Figures, Lately
from console import charts, formats, statuses
from providers import health
from providers.models import Credential, HealthCheck, Provider
from providers.registry import KINDS, Kind, Place
from providers.status import FRESH, Cause, Check, Seen, State, Status, status_of
from routing.models import Circuit

log = logging.getLogger(__name__)
T = TypeVar("T")

SPENT_SECONDS = 60  # how old the sums of the month may be
ATTENTION, ATTENTION_SECONDS = "fleet.attention", 20
CACHE_AWAY = (RedisError, OSError)
ABOUT_KEYS = frozenset({Cause.INACTIVE, Cause.KEYS_REFUSED, Cause.SOME_KEYS_REFUSED})
SLOW_SHARE = 0.02  # of errors, from which the figure is coloured


@dataclass(slots=True)
class Row:
    """One provider in the table."""

    provider: Provider
    mark: Kind | str
    status: Status
    figures: Figures = field(default_factory=Figures)
    spent: list[tuple[int, str]] = field(default_factory=list)  # this month, largest first
    bars: Sequence[str] = ()
    models: int = 0  # that are on
    checked_at: datetime | None = None

    @property
    def kind(self) -> Kind | None:
        return self.mark if isinstance(self.mark, Kind) else None

    @property
    def initials(self) -> str:
        return self.kind.initials if self.kind else self.provider.name[:2].capitalize()

    @property
    def label(self) -> str:
        return statuses.label(self.status)

    @property
    def tone(self) -> str:
        return statuses.tone(self.status)

    @property
    def why(self) -> str:
        return statuses.sentence(self.status)

    @property
    def is_eu(self) -> bool:
        return self.kind is not None and self.kind.eu

    @property
    def is_local(self) -> bool:
        return self.kind is not None and self.kind.place is Place.LOCAL

    @property
    def where(self) -> str:
        """Where it runs, as far as that is known."""
        region = self.provider.options.get("region")
        if isinstance(region, str) and region:
            return region
        if self.kind is None:
            return ""
        if self.kind.place is Place.INSIDE:
            return _("pretends to answer, at no cost")
        if self.is_local:
            return _("on this network")
        if self.is_eu:
            return _("hosted in the EU")
        return _("resells the models of others") if self.kind.gathers else _("direct")

    @property
    def waits(self) -> int | None:
        """Seconds until an open circuit is tried again, unless somebody holds it open."""
        closes = self.status.at if self.status.cause is Cause.CIRCUITS_OPEN else None
        if closes is None or closes.year == 9999:
            return None
        return max(0, round((closes - timezone.now()).total_seconds()))

    @property
    def remedy(self) -> tuple[str, str]:
        """The one thing to do about it, and where."""
        name = "provider-credentials" if self.status.cause in ABOUT_KEYS else "provider-detail"
        words = _("See the keys") if self.status.cause in ABOUT_KEYS else _("Open")
        return words, reverse(name, args=[self.provider.slug])

    @property
    def ailing(self) -> str:
        """The tone of its figures."""
        share = self.figures.day.error_share or 0
        if self.status.state is State.DOWN:
            return "bad"
        return "warn" if share >= SLOW_SHARE else ""

    def strip(self) -> SafeString:
        amber, red = list(self.bars).count("w"), list(self.bars).count("b")
        if all(bar == "n" for bar in self.bars):
            label = _("Last 24 hours: nothing known")
        else:
            label = _("Last 24 hours: %(amber)d degraded and %(red)d failed intervals of %(all)d") % {
                "amber": amber,
                "red": red,
                "all": len(self.bars),
            }
        return charts.strip(self.bars, label)

    def spark(self) -> SafeString | str:
        """First tokens of the day; nothing where there are too few hours to see a line."""
        values = [median for hour in self.figures.hours if (median := hour.median_ms) is not None]
        return charts.spark(values, {"bad": "bad", "warn": "warn"}.get(self.ailing, "d8")) if len(values) > 2 else ""


def rows_of(now: datetime, currency: str = "") -> list[Row]:
    """All of them, in order of priority, with everything but their strips."""
    found = judged(now)
    figures = hours.fleet(now, [row.provider.pk for row in found])
    spent = month_spent(now)
    for row in found:
        row.figures = figures[row.provider.pk]
        amounts = spent.get(row.provider.pk, {})
        row.spent = sorted(
            ((nano, name) for name, nano in amounts.items()), key=lambda each: (each[1] != currency, -each[0])
        )
    return found


def draw(rows: Iterable[Row], now: datetime) -> None:
    """Their strips: only of those that are shown."""
    shown = {row.provider.pk: row for row in rows}
    for number, bars in hours.strips(now, {pk: row.figures for pk, row in shown.items()}).items():
        shown[number].bars = bars


def judged(now: datetime, only: Collection[int] | None = None) -> list[Row]:
    """Each with its status, from what was written in the last minutes."""
    latest = HealthCheck.objects.filter(provider=OuterRef("pk")).order_by("-at")
    active = Count("models", filter=Q(models__active=True))
    rows = Provider.objects.annotate(
        models_on=active, last_check=Subquery(latest.values("pk")[:1]), checked_at=Subquery(latest.values("at")[:1])
    ).by_priority()
    if only is not None:
        rows = rows.filter(pk__in=only)
    providers: list[Any] = list(rows.prefetch_related(Prefetch("credentials", Credential.objects.order_by("pk"))))
    ids = [provider.pk for provider in providers]
    checks = _checks(now, providers)
    calls = hours.lately(now, ids)
    circuits = _circuits(now)
    return [
        Row(
            provider,
            KINDS.get(provider.kind, provider.name),
            status_of(_seen(provider, now, checks, calls, circuits), now),
            models=provider.models_on,
            checked_at=provider.checked_at,
        )
        for provider in providers
    ]


def _seen(
    provider: Any,
    now: datetime,
    checks: Mapping[int, list[Check]],
    calls: Mapping[int, Lately],
    circuits: Mapping[str, list[datetime]],
) -> Seen:
    keys = health.usable_keys(provider, now)
    lately = calls.get(provider.pk, Lately())
    opened = circuits.get(provider.slug, [])
    return Seen(
        enabled=provider.enabled,
        inactive_reason=health.unasked_because(provider, now) or provider.inactive_reason,
        checks=checks.get(provider.pk, []),
        calls=lately.calls,
        failures=lately.failures,
        answered_at=lately.answered_at,
        keys=len(keys),
        refused=[key.problem for key in keys if key.problem],
        models=provider.models_on,
        open_circuits=len(opened),
        closes_at=min(opened, default=None),
    )


def _checks(now: datetime, providers: Sequence[Any]) -> dict[int, list[Check]]:
    """Those of the last minutes, newest first, and of each provider at least the last one there is."""
    last = [provider.last_check for provider in providers if provider.last_check]
    recent = Q(provider_id__in=[provider.pk for provider in providers], at__gte=now - FRESH)
    found: dict[int, list[Check]] = {}
    for row in HealthCheck.objects.filter(recent | Q(pk__in=last)).order_by("-at", "-pk"):
        code = "" if row.ok else row.code
        check = Check(row.at, row.ok, code, row.message, row.code == health.ADDRESS_ONLY)
        found.setdefault(row.provider_id, []).append(check)
    return found


def _circuits(now: datetime) -> dict[str, list[datetime]]:
    """When each open circuit is tried again, by the slug of its provider."""
    found: dict[str, list[datetime]] = {}
    for target, until in Circuit.objects.filter(until__gt=now).values_list("target", "until"):
        if until is not None:
            found.setdefault(target.partition(":")[0], []).append(until)
    return found


def month_spent(now: datetime) -> dict[int, dict[str, int]]:
    """By provider and currency since the month began here; summed at most once a minute."""
    begins = timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return _kept(f"fleet.spent.{begins:%Y-%m}", SPENT_SECONDS, lambda: hours.spent(begins, now))


def attention_count(now: datetime) -> int:
    """How many need somebody: for the mark in the navigation, looked at a few times a minute."""
    return _kept(ATTENTION, ATTENTION_SECONDS, lambda: sum(row.status.attention for row in judged(now)))


def forget() -> None:
    """Something was changed by hand: the mark in the navigation is reckoned anew."""
    try:
        cache.delete(ATTENTION)
    except CACHE_AWAY as error:
        log.warning("the cache cannot be reached: %s", error)


def _kept(key: str, seconds: int, work: Callable[[], T]) -> T:
    """Worked out anew where the cache cannot be reached: pages do not depend on it."""
    try:
        found: T | None = cache.get(key)
        if found is None:
            found = work()
            cache.set(key, found, seconds)
        return found
    except CACHE_AWAY as error:
        log.warning("the cache cannot be reached: %s", error)
        return work()


# -- totals ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Totals:
    """The row of figures above the table."""

    healthy: int
    on: int
    others: list[str]  # "1 degraded", "2 failing"
    figures: Figures
    rerouted: int
    rerouted_most: str  # who was left most often, and how often

    @property
    def first(self) -> tuple[str, str]:
        """The median first token: its number, and the unit, which is set smaller."""
        value, _, unit = formats.duration(self.figures.day.median_ms).partition(formats.SPACE)
        return value, unit

    @property
    def share(self) -> float | None:
        day = self.figures.day
        return (day.calls - day.failures) / day.calls if day.calls else None

    @property
    def first_share(self) -> float | None:
        """Of requests that the first attempt answered."""
        day = self.figures.day
        return (day.calls - day.failures - day.rerouted) / day.calls if day.calls else None

    def sparks(self) -> dict[str, SafeString]:
        """Where there are enough hours to see a line."""
        periods = self.figures.hours
        lines: dict[str, tuple[list[float], str]] = {
            "first": ([m for hour in periods if (m := hour.median_ms) is not None], "d1"),
            "share": ([1 - share for hour in periods if (share := hour.error_share) is not None], "d6"),
            "rerouted": ([hour.rerouted for hour in periods] if self.rerouted else [], "d3"),
        }
        return {name: charts.spark(values, line) for name, (values, line) in lines.items() if len(values) > 2}


def totals(rows: Sequence[Row], now: datetime) -> Totals:
    figures = hours.fleet(now, [])[HOUSE]
    on = [row for row in rows if row.status.state is not State.OFF]
    most = max(rows, key=lambda row: row.figures.day.rerouted, default=None)
    named = most.figures.day.rerouted if most else 0
    words = (
        _("%(n)s from %(name)s") % {"n": formats.number(named), "name": most.provider.name} if most and named else ""
    )
    healthy = sum(row.status.state is State.HEALTHY for row in on)
    return Totals(healthy, len(on), _others(on), figures, figures.day.rerouted, words)


def _others(on: Sequence[Row]) -> list[str]:
    def counted(state: State) -> int:
        return sum(row.status.state is state for row in on)

    degraded, failing = counted(State.DEGRADED), counted(State.DOWN)
    inactive, unknown = counted(State.INACTIVE), counted(State.UNKNOWN)
    told = [
        (degraded, ngettext("%(n)d degraded", "%(n)d degraded", degraded)),
        (failing, ngettext("%(n)d failing", "%(n)d failing", failing)),
        (inactive, ngettext("%(n)d inactive", "%(n)d inactive", inactive)),
        (unknown, ngettext("%(n)d not checked", "%(n)d not checked", unknown)),
    ]
    return [words % {"n": count} for count, words in told if count]
