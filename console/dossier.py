"""Everything that is known of one model: what it does and who says so, what it cost and costs, who calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Q, Sum
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import LedgerEntry, Organisation, Price, Request, Team
from billing.prices import SINCE, rates_of, row_at, variants
from console import formats
from console.access import can
from console.charts import Axis, Series, lines
from console.lineup import ABILITIES, NO, UNKNOWN, YES, Row, costs_at, per_million, visible_models
from console.models import User
from console.prices import BUCKETS, rate_words, variant_words
from providers import facts
from providers.models import LanguageModel
from routing.models import ApiKey

DAYS = 30
MOST_CALLERS = 10
MOST_SIBLINGS = 12
FRESH_SECONDS = 120
MONTHS = 12
TICKS = 4
STEPS = tuple(Decimal(step).scaleb(power) for power in range(-3, 4) for step in (1, 2, 4, 8))

SAYS: Mapping[str, str | Promise] = {
    facts.LIST: gettext_lazy("its provider’s list"),
    facts.CATALOGUE: gettext_lazy("the catalogue"),
    facts.HERE: gettext_lazy("set here"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    label: str | Promise
    state: str
    says: str | Promise  # who; empty when nobody does


@dataclass(frozen=True, slots=True)
class Past:
    """One dated price."""

    begins: datetime | None  # None: as long as anybody knows
    state: str  # future, now, past
    input: str
    output: str
    cached: str
    source: str
    more: list[str]  # other rates it has, in words


@dataclass(frozen=True, slots=True)
class CalledBy:
    team: str
    key: str
    calls: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Sibling:
    """The same model at another provider."""

    model: LanguageModel
    price: str


def about(row: Row, person: User, now: datetime) -> dict[str, Any]:
    """What templates/models/_drawer.html shows."""
    model = row.model
    known = facts.effective(model)
    prices = list(model.prices.order_by("-valid_from", "-pk"))
    aliases = list(model.aliases.all())
    context = {
        "row": row,
        "model": model,
        "facts": [] if row.embeds else [_fact(name, known) for name in ABILITIES],
        "sizes": {name: SAYS.get(known.said.get(name, ""), "") for name in ("context", "max_output")},
        "prices": _history(prices, now),
        "chart": _chart(row, prices, now),
        "legend": _legend(row),
        "aliases": aliases,
        "siblings": _siblings(row, person, now),
        "defaults": _defaults(row, [alias.name for alias in aliases]),
        "habits": habits(model.parameters),
        "ends_in": (model.retires_on - timezone.localdate(now)).days if model.retires_on else None,
    }
    if can(person, "requests.see_all"):
        context |= {"callers": callers(model, now), "may_see_callers": True}
    if can(person, "costs.see_all"):
        context["spent"] = _spent(model, now)
    return context


def _fact(name: str, known: facts.Facts) -> Fact:
    state = YES if name in known.can else NO if name in known.cannot else UNKNOWN
    says = SAYS.get(known.said.get(name, ""), "") if state != UNKNOWN else ""
    return Fact(name, ABILITIES[name], state, says)


# -- who calls it -----------------------------------------------------------------------------


def callers(model: LanguageModel, now: datetime) -> list[CalledBy]:
    """Who was answered by it in thirty days, most calls first. Kept for two minutes: it is read from many rows."""
    key = f"dossier.callers.{model.pk}"
    found: list[CalledBy] | None = cache.get(key)
    if found is None:
        found = _callers(model, now)
        cache.set(key, found, FRESH_SECONDS)
    return found


def _callers(model: LanguageModel, now: datetime) -> list[CalledBy]:
    since = now - timedelta(days=DAYS)
    answered = Request.objects.real().filter(
        started_at__gte=since, provider=model.provider.slug, model=model.model_id
    ).exclude(purpose="system")  # fmt: skip
    groups = list(
        answered.values("team_id", "key_id")
        .annotate(calls=Count("id"), last=Max("started_at"))
        .order_by("-calls")[:MOST_CALLERS]
    )
    teams = Team.objects.in_bulk([group["team_id"] for group in groups if group["team_id"]])
    keys = ApiKey.objects.in_bulk([group["key_id"] for group in groups if group["key_id"]])
    return [
        CalledBy(
            team=teams[group["team_id"]].name if group["team_id"] in teams else "",
            key=keys[group["key_id"]].name if group["key_id"] in keys else "",
            calls=group["calls"],
            last=group["last"],
        )
        for group in groups
    ]


def _spent(model: LanguageModel, now: datetime) -> list[tuple[int, str]]:
    """This month, by currency; largest first."""
    begins = timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    key = f"dossier.spent.{model.pk}.{begins:%Y-%m}"
    found: list[tuple[int, str]] | None = cache.get(key)
    if found is None:
        booked = LedgerEntry.objects.real().filter(
            started_at__gte=begins, provider_id=model.provider_id, model=model.model_id, amount_nano__isnull=False
        )
        sums = booked.values_list("currency").annotate(nano=Sum("amount_nano"))
        found = sorted(((nano, currency) for currency, nano in sums if currency), reverse=True)
        cache.set(key, found, FRESH_SECONDS)
    return found


def _defaults(row: Row, aliases: Sequence[str]) -> list[str]:
    """Whose default model it is, under any of its names."""
    names = Q(default_model=row.string) | Q(default_model__in=aliases)
    teams = list(Team.objects.filter(names, archived_at=None).order_by("name").values_list("name", flat=True)[:50])
    house = Organisation.objects.filter(names, id=1).exists()
    return ([_("everybody, where a team has none")] if house else []) + teams


def _siblings(row: Row, person: User, now: datetime) -> list[Sibling]:
    model = row.model
    if not model.canonical:
        return []
    others = visible_models(person).filter(canonical=model.canonical, active=True).exclude(provider=model.provider_id)
    found = list(others.order_by("provider__priority", "provider__slug", "model_id")[:MOST_SIBLINGS])
    costs = costs_at(now, [other.pk for other in found])
    return [Sibling(other, _pair(costs.get(other.pk))) for other in found]


def _pair(cost: Any) -> str:
    if cost is None:
        return ""
    return f"{per_million(cost.input, cost.currency)} / {per_million(cost.output, cost.currency)}"


# -- parameters -------------------------------------------------------------------------------


def habits(parameters: Mapping[str, Any]) -> list[str]:
    """What it does with the parameters of a request, in words."""
    told = []
    sampling = parameters.get("sampling_params")
    if sampling is False:
        told.append(_("Takes no temperature and no top_p: they are left out."))
    elif sampling == "only_when_effort_none":
        told.append(_("Takes temperature and top_p only without reasoning; else they are left out."))
    if parameters.get("temperature") == "only 1":
        told.append(_("Takes no temperature but 1: others are left out."))
    efforts = parameters.get("reasoning_efforts")
    if isinstance(efforts, list) and efforts:
        told.append(_("Knows these reasoning efforts: %(names)s.") % {"names": ", ".join(map(str, efforts))})
    if parameters.get("thinking_always_on"):
        told.append(_("Always thinks before it answers."))
    if parameters.get("forced_tool_choice") is False:
        told.append(_("Decides by itself whether to call a tool."))
    if parameters.get("assistant_prefill") is False:
        told.append(_("Does not go on from an answer begun for it."))
    tools = parameters.get("tools_on_chat_completions")
    if tools == "never_use_responses_api":
        told.append(_("Takes tools in the Responses format only, which is used by itself."))
    elif tools == "only_with_reasoning_effort_none":
        told.append(_("Takes tools while reasoning in the Responses format only, which is used by itself."))
    return told


# -- prices -----------------------------------------------------------------------------------


def _history(prices: Sequence[Price], now: datetime) -> list[Past]:
    people = User.objects.in_bulk([price.set_by_id for price in prices if price.set_by_id])
    holds = row_at(prices, now)
    return [_past(price, people, price is holds, now) for price in prices]


def _past(price: Price, people: Mapping[int, User], holds: bool, now: datetime) -> Past:
    typist = people.get(price.set_by_id) if price.set_by_id else None
    source = _("%(name)s, by hand") % {"name": typist} if typist else price.source
    return Past(
        begins=None if price.valid_from == SINCE else price.valid_from,
        state="now" if holds else "future" if price.valid_from > now else "past",
        input=per_million(price.input_per_million, price.currency),
        output=per_million(price.output_per_million, price.currency),
        cached=per_million(price.cached_per_million, price.currency),
        source=source,
        more=_more(price),
    )


def _more(price: Price) -> list[str]:
    """Rates that stand in no column: other buckets, long prompts, hours."""
    try:
        rates = rates_of(price)
    except ValueError as error:
        return [str(error)]
    told = []
    for extra, each in (
        (_("Cache write"), price.cache_write_per_million),
        (_("Reasoning"), price.reasoning_per_million),
        (_("Audio input"), price.audio_input_per_million),
        (_("Audio output"), price.audio_output_per_million),
        (_("Each request"), price.per_request or None),
    ):
        if each is not None:
            told.append(f"{extra} {per_million(each, price.currency)}")
    for variant, other in variants(rates).items():
        if variant:
            pairs = [f"{BUCKETS[place]} {rate_words(other.nano[place], price.currency)}" for place in (0, 3)]
            told.append(f"{variant_words(variant)}: {', '.join(pairs)}")
    if price.batch_share is not None:
        told.append(_("Batch: %(share)s of this") % {"share": formats.pct(price.batch_share)})
    return told


def _legend(row: Row) -> list[tuple[str, str]]:
    cost = row.cost
    if cost is None:
        return []
    output, given = per_million(cost.output, cost.currency), per_million(cost.input, cost.currency)
    return [
        ("var(--d1)", _("Output, %(price)s") % {"price": output}),
        ("var(--d2)", _("Input, %(price)s") % {"price": given}),
    ]


def _chart(row: Row, prices: Sequence[Price], now: datetime) -> SafeString | str:
    """Twelve months in steps; nothing where the price never changed in them, or its currency did."""
    ends = [_month_end(now, back) for back in range(MONTHS - 1, 0, -1)] + [now]
    held = [row_at(prices, end) for end in ends]
    known = [price for price in held if price is not None]
    if len({(price.input_per_million, price.output_per_million) for price in known}) < 2:
        return ""
    currency = known[-1].currency
    if any(price.currency != currency for price in known):
        return ""
    most = max(max(price.input_per_million, price.output_per_million) for price in known)
    top = next((step for step in STEPS if step >= most), most)
    ticks = [per_million(top * tick / TICKS, currency) if tick else "0" for tick in range(TICKS + 1)]
    months = [timezone.localtime(end).date() for end in ends]
    names = [date_format(month, "M Y") for month in months]
    axis = Axis(float(top), ticks, [(place, date_format(months[place], "M")) for place in (2, 5, 8, 11)], names)
    label = _("Price of %(model)s for a million tokens, last 12 months.") % {"model": row.name}
    return lines(
        label,
        [
            _series(_("Output"), "d1", [price.output_per_million if price else None for price in held], currency),
            _series(_("Input"), "d2", [price.input_per_million if price else None for price in held], currency),
        ],
        axis,
        height=148,
        steps=True,
    )


def _series(name: str, line: str, amounts: Sequence[Decimal | None], currency: str) -> Series:
    words = ["" if amount is None else per_million(amount, currency) for amount in amounts]
    return Series(name, line, [None if amount is None else float(amount) for amount in amounts], words)


def _month_end(now: datetime, back: int) -> datetime:
    """The last moment of the month that lies so many back."""
    local = timezone.localtime(now)
    months = local.year * 12 + local.month - 1 - back + 1
    first = local.replace(
        year=months // 12, month=months % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0
    )  # fmt: skip
    return first - timedelta(microseconds=1)
