"""Which model can do this, and at what price? Every model as the page of all of them shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.costs import NANO
from billing.models import Price, Request
from billing.prices import SINCE
from console import formats
from console.access import can, memberships_of
from console.models import User
from providers.models import LanguageModel, Provider
from providers.registry import KINDS, Kind, Place

LONG = 200_000
LATEST = 5_000  # requests whose first tokens are looked at
FRESH_SECONDS = 60
YES, NO, UNKNOWN = "yes", "no", "unknown"
AMOUNTS = ("input", "cached", "output")  # columns of a price

# What a model may be able to do, in the words of its rows, in the order of the pages.
ABILITIES: Mapping[str, Any] = {
    "tools": _("Tools"),
    "vision": pgettext_lazy("of a model", "Vision"),
    "structured_output": _("JSON schema"),
    "reasoning": _("Reasoning"),
    "streaming": _("Streaming"),
    "audio_input": _("Hears audio"),
    "pdf_input": _("Reads PDF"),
    "prompt_cache": _("Prompt cache"),
    "web_search": _("Web search"),
}
TICKED = ("tools", "vision", "structured_output", "reasoning")  # columns of the list of prices


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call that begins now is charged, for a million tokens."""

    currency: str
    input: Decimal
    output: Decimal
    cached: Decimal | None
    since: datetime | None  # None: as long as anybody knows
    source: str


@dataclass(frozen=True, slots=True)
class Mark:
    label: str | Promise
    state: str


@dataclass(slots=True)
class Row:
    """One model in the table."""

    model: LanguageModel
    cost: Cost | None
    at: int  # providers that serve the same model
    first_ms: int | None = None

    @property
    def kind(self) -> Kind | None:
        return KINDS.get(self.model.provider.kind)

    @property
    def mark(self) -> Kind | str:
        return self.kind or self.model.provider.name

    @property
    def string(self) -> str:
        return f"{self.model.provider.slug}:{self.model.model_id}"

    @property
    def name(self) -> str:
        return self.model.name or self.model.model_id

    @property
    def off(self) -> bool:
        return not (self.model.active and self.model.provider.enabled)

    @property
    def is_eu(self) -> bool:
        return self.kind is not None and self.kind.eu

    @property
    def is_local(self) -> bool:
        return self.kind is not None and self.kind.place is Place.LOCAL

    @property
    def embeds(self) -> bool:
        return bool(self.model.use == LanguageModel.Use.EMBEDDING)

    def can(self, ability: str) -> str:
        if ability in self.model.capabilities:
            return YES
        return NO if ability in self.model.lacks else UNKNOWN

    def marks(self, abilities: Iterable[str]) -> list[Mark]:
        return [Mark(ABILITIES[ability], self.can(ability)) for ability in abilities]

    @property
    def ticks(self) -> list[Mark]:
        return [*self.marks(TICKED), Mark(_("EU hosted"), YES if self.is_eu else NO)]

    @property
    def all_marks(self) -> list[Mark]:
        return [*self.marks(ABILITIES), Mark(_("Embeddings"), YES if self.embeds else NO)]

    @property
    def stage_tone(self) -> str:
        return {"deprecated": "warn", "retired": "bad", "preview": "info"}.get(self.model.stage, "")


def visible_models(person: User) -> QuerySet[LanguageModel]:
    """All of them to whoever runs the gateway; to others those that answer them."""
    rows = LanguageModel.objects.select_related("provider")
    closed = closed_providers(person)
    if closed is None:
        return rows
    return rows.filter(active=True, only_as_fallback=False).exclude(provider__in=closed)


def closed_providers(person: User) -> list[int] | None:
    """Numbers of those that do not answer this person. None: whoever runs the gateway sees all of them."""
    if can(person, "providers.see"):
        return None
    teams = {membership.team_id for membership in memberships_of(person)}
    told = Provider.objects.order_by("pk").values_list("pk", "enabled", "inactive_reason", "only_teams")
    return [pk for pk, on, reason, only in told if not on or reason or (only and teams.isdisjoint(only))]


def costs_at(now: datetime, only: Iterable[int] | None = None) -> dict[int, Cost]:
    """By model, what holds now."""
    holding = Price.objects.filter(Q(valid_until=None) | Q(valid_until__gt=now), valid_from__lte=now)
    if only is not None:
        holding = holding.filter(model__in=list(only))
    # The newest stands last and wins.
    return {row.model_id: _cost(row) for row in holding.order_by("valid_from", "pk")}


def _cost(row: Price) -> Cost:
    return Cost(
        currency=row.currency,
        input=row.input_per_million,
        output=row.output_per_million,
        cached=row.cached_per_million,
        since=None if row.valid_from == SINCE else row.valid_from,
        source=row.source,
    )


def first_tokens(now: datetime) -> dict[str, int]:
    """Medians of the latest requests, by `provider:model`. Looked up at most once a minute."""
    kept: dict[str, int] | None = cache.get("lineup.first_tokens")
    if kept is None:
        latest = Request.objects.real().filter(started_at__gte=now - timedelta(days=1)).order_by("-started_at")
        times: dict[str, list[int]] = {}
        for provider, model, ms in latest.values_list("provider", "model", "first_token_ms")[:LATEST]:
            if ms is not None:
                times.setdefault(f"{provider}:{model}", []).append(ms)
        kept = {string: round(median(each)) for string, each in times.items()}
        cache.set("lineup.first_tokens", kept, FRESH_SECONDS)
    return kept


# -- money in a column ----------------------------------------------------------------------


def places(amount: Decimal) -> int:
    """Decimals that an amount needs to be said in full, two at least."""
    return max(2, -int(amount.normalize().as_tuple().exponent))


def per_million(amount: Decimal | None, currency: str, decimals: int | None = None) -> str:
    """A price in words; what costs nothing is free, what nobody knows is a dash."""
    if amount is None:
        return "–"
    if not amount:
        return str(pgettext_lazy("price", "free"))
    return formats.money(int(amount * NANO), currency, places(amount) if decimals is None else decimals)


def priced(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows with their prices as a table shows them: each column on one precision, none loses a digit."""
    rows = list(rows)
    costs = [row.cost for row in rows if row.cost]
    decimals = {
        name: max((places(amount) for cost in costs if (amount := getattr(cost, name))), default=2) for name in AMOUNTS
    }
    return [{"row": row} | _words(row.cost, decimals) for row in rows]


def _words(cost: Cost | None, decimals: Mapping[str, int]) -> dict[str, str]:
    if cost is None:
        return {}
    return {
        name: per_million(amount, cost.currency, finest)
        for name, finest in decimals.items()
        for amount in [getattr(cost, name) or (None if name == "cached" else Decimal(0))]
    }
