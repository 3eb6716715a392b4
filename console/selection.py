"""Which models does a page of the list hold, in what order, and how many are there? The database says, page by page.

Nothing here reads every model: a filter is a condition, an order is an index, and a count is kept until the
configuration changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from billing.models import Price
from console.lineup import FRESH_SECONDS, LONG, closed_providers, first_tokens
from console.models import User
from console.paging import SIZE, Page, opened, page_of
from providers.models import LanguageModel, Provider, current_revision
from providers.registry import KINDS, Place

# What a chip narrows the list to.
TRAITS: Mapping[str, str | Promise] = {
    "tools": _("Tools"),
    "vision": pgettext_lazy("of a model", "Vision"),
    "json": _("JSON schema"),
    "reasoning": _("Reasoning"),
    "embeddings": _("Embeddings"),
    "eu": _("EU hosted"),
    "long": _("Over 200k"),
    "local": _("Local"),
}
STATES: Mapping[str, str | Promise] = {
    "": _("Offered"),
    "preview": _("Preview"),
    "stable": _("Stable"),
    "deprecated": _("Deprecated"),
    "retired": _("Retired"),
    "unpriced": _("Without a price"),
    "off": _("Switched off"),
    "all": _("All of them"),
}
SORTS = ("name", "context", "input", "output", "first")
ABILITY = {"tools": "tools", "vision": "vision", "json": "structured_output", "reasoning": "reasoning"}
FEW = 1000
HIGHEST = Decimal(10) ** 9  # no column of a price holds more
KNOWN, UNKNOWN = "k", "u"  # how a cursor begins: among those that have what is sorted by, or after them


class Wanted(Protocol):
    """What a list is narrowed to and sorted by: console/views/lineup.py reads it from an address."""

    q: str
    traits: list[str]
    provider: str
    use: str
    state: str
    sort: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The models that somebody sees, and the providers that have them."""

    models: QuerySet[LanguageModel]
    providers: Mapping[int, Provider]
    now: datetime
    key: str = field(default="", compare=False)  # the same for everybody who sees the same

    def those(self, fits: Any) -> list[int]:
        return [pk for pk, provider in self.providers.items() if fits(provider)]

    @property
    def off(self) -> list[int]:
        return self.those(lambda provider: not provider.enabled)


def scope_of(person: User, now: datetime) -> Scope:
    closed = closed_providers(person)
    rows = LanguageModel.objects.alias(known=Cast("capabilities", TextField()))
    having = Provider.objects.filter(Exists(LanguageModel.objects.filter(provider=OuterRef("pk"))))
    if closed is not None:
        rows = rows.filter(active=True, only_as_fallback=False).exclude(provider__in=closed)
        having = having.exclude(pk__in=closed)
    key = "all" if closed is None else hashlib.sha256(repr(closed).encode()).hexdigest()[:16]
    return Scope(rows, {provider.pk: provider for provider in having}, now, key)


# -- narrowing ------------------------------------------------------------------------------


def narrowed(scope: Scope, wanted: Wanted) -> QuerySet[LanguageModel]:
    rows = scope.models.filter(_state(scope, wanted.state))
    for trait in wanted.traits:
        rows = rows.filter(_trait(scope, trait))
    for word in wanted.q.split():
        rows = rows.filter(_word(scope, word))
    if wanted.provider:
        rows = rows.filter(provider__in=scope.those(lambda provider: provider.slug == wanted.provider))
    return rows.filter(use=wanted.use) if wanted.use else rows


def _state(scope: Scope, state: str) -> Q:
    if state == "all":
        return Q()
    if state == "unpriced":
        return Q(~Exists(_holding(scope.now).filter(model=OuterRef("pk"))))
    if state == "off":
        return Q(active=False) | Q(provider__in=scope.off)
    if state:
        return Q(stage=state)
    return Q(active=True) & ~Q(stage=LanguageModel.Stage.RETIRED) & ~Q(provider__in=scope.off)


def _trait(scope: Scope, trait: str) -> Q:
    if trait == "embeddings":
        return Q(use=LanguageModel.Use.EMBEDDING)
    if trait == "long":
        return Q(context__gt=LONG)
    if trait == "eu":
        return Q(provider__in=scope.those(lambda provider: provider.kind in KINDS and KINDS[provider.kind].eu))
    if trait == "local":
        local = [slug for slug, kind in KINDS.items() if kind.place is Place.LOCAL]
        return Q(provider__in=scope.those(lambda provider: provider.kind in local))
    if connection.features.supports_json_field_contains:
        return Q(capabilities__contains=[ABILITY[trait]])
    return Q(known__contains=f'"{ABILITY[trait]}"')  # SQLite looks into no list: its text holds the name


def _word(scope: Scope, word: str) -> Q:
    """Anywhere in a name of the model or of its provider; `openai:gpt` stands across both."""
    low = word.lower()
    named = scope.those(lambda provider: low in f"{provider.name} {provider.slug}".lower())
    found = Q(name__icontains=word) | Q(model_id__icontains=word) | Q(canonical__icontains=word)
    slug, colon, rest = low.partition(":")
    if colon:
        across = scope.those(lambda provider: provider.slug.endswith(slug))
        found |= Q(provider__in=across, model_id__istartswith=rest)
    return found | Q(provider__in=named) if named else found


def _holding(now: datetime) -> QuerySet[Price]:
    return Price.objects.filter(_begun(now))


def _begun(now: datetime, of: str = "") -> Q:
    ends = f"{of}valid_until"
    return Q(**{f"{of}valid_from__lte": now}) & (Q(**{ends: None}) | Q(**{f"{ends}__gt": now}))


# -- one page -------------------------------------------------------------------------------


def page_at(scope: Scope, wanted: Wanted, cursor: str) -> Page[LanguageModel]:
    """What nobody knows stands last, whichever way the list is turned."""
    rows = narrowed(scope, wanted)
    if wanted.q or wanted.traits or wanted.provider or wanted.use or wanted.state not in ("", "all"):
        rows = _few(scope, rows)
    key, down = wanted.sort.removeprefix("-"), wanted.sort.startswith("-")
    part, _dot, seen = cursor.partition(".")
    if key == "first":
        known, unknown = _by_first_token(scope, rows, down, "" if part == UNKNOWN else seen)
    else:
        known, unknown = _by_value(scope, rows, wanted.state, key, down, "" if part == UNKNOWN else seen)
    if part == UNKNOWN:
        rest = page_of(unknown, ("shown", "id"), seen)
        page = Page(rest.rows, rest.next and f"{UNKNOWN}.{rest.next}", False)
    else:
        page = _filled(known(), unknown)
    for model in page.rows:
        model.provider = scope.providers[model.provider_id]
    return page


def _few(scope: Scope, rows: QuerySet[LanguageModel]) -> QuerySet[LanguageModel]:
    """A filter may leave a handful anywhere: those are looked for once, not along the whole order of an index."""
    numbers = list(rows.order_by().values_list("pk", flat=True)[: FEW + 1])
    return scope.models.filter(pk__in=numbers) if len(numbers) <= FEW else rows


def _filled(page: Page[LanguageModel], unknown: QuerySet[LanguageModel]) -> Page[LanguageModel]:
    """Up to its size with those that have no value."""
    if page.next:
        return Page(page.rows, f"{KNOWN}.{page.next}", page.is_first)
    left = SIZE - len(page.rows)
    if not left:
        return Page(page.rows, f"{UNKNOWN}." if unknown.exists() else "", page.is_first)
    rest = page_of(unknown, ("shown", "id"), size=left)
    return Page(page.rows + rest.rows, rest.next and f"{UNKNOWN}.{rest.next}", page.is_first)


def _by_value(
    scope: Scope, rows: QuerySet[LanguageModel], state: str, key: str, down: bool, seen: str
) -> tuple[Any, Any]:
    if key == "name":
        known, unknown, by = rows, rows.none(), ("shown", "id")
    elif key == "context":
        known, unknown, by = rows.filter(context__isnull=False), rows.filter(context=None), ("context", "id")
    else:
        known, unknown, by = _priced(scope, rows, key), rows.filter(_state(scope, "unpriced")), ("amount", "of")
        seen = seen if _is_amount(opened(seen, 2)) else ""
        if state == "unpriced":
            known = known.none()
    if down:
        by = (f"-{by[0]}", f"-{by[1]}")
    return lambda: page_of(known, by, seen), unknown


def _is_amount(seen: list[Any]) -> bool:
    """Of a cursor that is made up: Postgres refuses a number that no price has."""
    try:
        return bool(seen) and 0 <= Decimal(seen[0]) <= HIGHEST
    except InvalidOperation:
        return False


def _priced(scope: Scope, rows: QuerySet[LanguageModel], key: str) -> QuerySet[LanguageModel]:
    """Each with the price that holds now: the newest that has begun. Sorted by the columns of its row alone."""
    newer = _holding(scope.now).filter(model=OuterRef("pk"), valid_from__gt=OuterRef("price__valid_from"))
    holding = FilteredRelation("prices", condition=_begun(scope.now, "prices__"))
    joined = rows.alias(price=holding).filter(~Exists(newer), price__isnull=False)
    return joined.annotate(amount=F(f"price__{key}_per_million"), of=F("price__model_id"))


def _by_first_token(scope: Scope, rows: QuerySet[LanguageModel], down: bool, seen: str) -> tuple[Any, Any]:
    """Only as many are measured as `lineup.first_tokens` looks at."""
    measured = _measured(scope)

    def known() -> Page[LanguageModel]:
        there = set(rows.filter(pk__in=list(measured)).values_list("pk", flat=True))
        order = sorted(((ms, pk) for pk, ms in measured.items() if pk in there), reverse=down)
        ms, _dash, pk = seen.partition("-")
        at = (int(ms), int(pk)) if ms.isdecimal() and pk.isdecimal() else None
        after = [each for each in order if at is None or (each < at if down else each > at)]
        found = rows.in_bulk([pk for _ms, pk in after[:SIZE]])
        page = [found[pk] for _ms, pk in after[:SIZE] if pk in found]
        return Page(page, "{}-{}".format(*after[SIZE - 1]) if len(after) > SIZE else "", at is None)

    return known, rows.exclude(pk__in=list(measured))


def _measured(scope: Scope) -> dict[int, int]:
    """Medians by the number of the model."""
    times = first_tokens(scope.now)
    numbers = {provider.slug: pk for pk, provider in scope.providers.items()}
    named: dict[int, list[str]] = {}
    for string in times:
        slug, _colon, model_id = string.partition(":")
        if slug in numbers:
            named.setdefault(numbers[slug], []).append(model_id)
    condition = Q()
    for provider, ids in named.items():
        condition |= Q(provider=provider, model_id__in=ids)
    found = scope.models.filter(condition).values_list("pk", "provider_id", "model_id") if named else ()
    return {pk: times[f"{scope.providers[provider].slug}:{model_id}"] for pk, provider, model_id in found}


# -- how many -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Totals:
    models: int
    offered: int
    providers: int  # that offer one


def totals(scope: Scope, revision: int) -> Totals:
    offered = _state(scope, "")
    counted = _kept(scope, revision, "totals", lambda: scope.models.aggregate(
        models=Count("pk"),
        offered=Count("pk", filter=offered),
        providers=Count("provider", distinct=True, filter=offered),
    ))  # fmt: skip
    return Totals(**counted)


def chip_counts(scope: Scope, revision: int, state: str) -> dict[str, int]:
    """How many of a state each chip would leave."""
    fitting = {trait: Count("pk", filter=_trait(scope, trait)) for trait in TRAITS}
    rows = scope.models.filter(_state(scope, state))
    counted: dict[str, int] = _kept(scope, revision, f"chips.{state}", lambda: rows.aggregate(**fitting))
    return counted


def found(scope: Scope, revision: int, wanted: Wanted) -> int:
    said = repr((wanted.q.lower(), wanted.traits, wanted.provider, wanted.use, wanted.state))
    name = hashlib.sha256(said.encode()).hexdigest()[:24]
    count: int = _kept(scope, revision, f"found.{name}", lambda: narrowed(scope, wanted).count())
    return count


def revision_now() -> int:
    return current_revision()[0]


def _kept(scope: Scope, revision: int, name: str, count: Any) -> Any:
    """Counting reads every row, so it is done once a revision, and again when a price may have begun."""
    key = f"lineup.{name}.{scope.key}.{revision}"
    kept = cache.get(key)
    if kept is None:
        kept = count()
        cache.set(key, kept, FRESH_SECONDS)
    return kept


# -- beside a page --------------------------------------------------------------------------


def served(scope: Scope, models: Iterable[LanguageModel]) -> dict[str, int]:
    """By canonical name, how many providers serve the same model."""
    names = {model.canonical for model in models if model.canonical}
    rows = scope.models.filter(canonical__in=names, active=True)
    return dict(rows.values_list("canonical").annotate(n=Count("provider", distinct=True)).order_by())
