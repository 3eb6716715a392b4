"""The page of all models, and the drawer of one with everything that is known of it and may be set by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from billing.prices import set_price
from console import dossier, lineup
from console.access import can, needs
from console.audit import Named, fields_of, record
from console.forms.lineup import AliasForm, OverrideForm, PriceForm
from console.house import organisation_of
from console.lineup import TRAITS, Row
from console.models import User
from console.prices import proposals_for
from console.views.access import reasons_for
from console.views.answers import from_htmx, go, person_of
from console.views.undo import with_undo
from providers import facts
from providers.models import LanguageModel, ModelAlias

SIZE = 12
MOST_COMPARED = 4
LONGEST = 100
FIRST = "input"
LAST = 10**18  # of prices nobody knows, which stand at the end

STATES: Mapping[str, tuple[str | Promise, Callable[[Row], bool]]] = {
    "": (gettext_lazy("Offered"), lambda row: not row.off and row.model.stage != LanguageModel.Stage.RETIRED),
    "preview": (gettext_lazy("Preview"), lambda row: row.model.stage == LanguageModel.Stage.PREVIEW),
    "stable": (gettext_lazy("Stable"), lambda row: row.model.stage == LanguageModel.Stage.STABLE),
    "deprecated": (gettext_lazy("Deprecated"), lambda row: row.model.stage == LanguageModel.Stage.DEPRECATED),
    "retired": (gettext_lazy("Retired"), lambda row: row.model.stage == LanguageModel.Stage.RETIRED),
    "unpriced": (gettext_lazy("Without a price"), lambda row: row.cost is None),
    "off": (gettext_lazy("Switched off"), lambda row: row.off),
    "all": (gettext_lazy("All of them"), lambda row: True),
}
USES = {"": gettext_lazy("Every use"), **dict(LanguageModel.Use.choices)}


@dataclass(frozen=True, slots=True)
class Column:
    key: str  # empty: no order by it
    label: str | Promise
    css: str = ""
    value: Callable[[Row], Any] = lambda row: 0


COLUMNS = (
    Column("name", gettext_lazy("Model"), "", lambda row: row.name.lower()),
    Column("context", gettext_lazy("Context"), "n p3", lambda row: row.model.context or 0),
    Column("", gettext_lazy("Tools"), "c p3"),
    Column("", gettext_lazy("Vision"), "c p3"),
    Column("", gettext_lazy("JSON"), "c p3"),
    Column("", gettext_lazy("Reasons"), "c p3"),
    Column("", gettext_lazy("EU"), "c p3"),
    Column("input", gettext_lazy("In"), "n", lambda row: row.cost.input if row.cost else LAST),
    Column("", gettext_lazy("Cached"), "n p2"),
    Column("output", gettext_lazy("Out"), "n", lambda row: row.cost.output if row.cost else LAST),
    Column("first", gettext_lazy("First token"), "n p2", lambda row: row.first_ms or LAST),
    Column("at", gettext_lazy("Providers"), "n p3", lambda row: row.at),
)
SORTS = {column.key: column for column in COLUMNS if column.key}


@needs("models.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    template = "models/live.html" if from_htmx(request) else "models/list.html"
    answer = render(request, template, listed(request))
    answer["Vary"] = "HX-Request"
    return answer


@needs("models.see")
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    return _shown(request, _row(request, pk))


# -- what may be changed ---------------------------------------------------------------------


@needs("models.change")
@require_POST
def override(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(request, pk)
    form = OverrideForm(request.POST, model=row.model)
    if not form.is_valid():
        return _shown(request, row, status=422, override=form, open="override")
    before = dict(row.model.overrides)
    with transaction.atomic():
        facts.set_override(row.model, **form.values)
        after = dict(row.model.overrides)
        if before != after:
            _note(request, row.model, before, after)
    messages.success(request, _("%(name)s is saved.") % {"name": row.name})
    return _done(request, pk)


@needs("models.change")
@require_POST
def offer(request: HttpRequest, pk: int) -> HttpResponse:
    """On, off, or only as a fallback."""
    row = _row(request, pk)
    model = row.model
    before = fields_of(model, "active", "only_as_fallback")
    after = {name: request.POST.get(name, "") == "on" if name in _sent(request) else before[name] for name in before}
    if after == before:
        return _done(request, pk)
    with transaction.atomic():
        model.active, model.only_as_fallback = after["active"], after["only_as_fallback"]
        model.save(update_fields=["active", "only_as_fallback"])
        _note(request, model, before, after)
    back = {"sent": ",".join(sorted(before)), **{name: "on" for name, value in before.items() if value}}
    _undo(request, _offered(row), reverse("model-offer", args=[pk]), back)
    return _done(request, pk)


def _sent(request: HttpRequest) -> list[str]:
    """What the form is about: a box that is not ticked is not sent."""
    return request.POST.get("sent", "").split(",")


def _offered(row: Row) -> str:
    if not row.model.active:
        words = _("%(name)s is switched off.")
    elif row.model.only_as_fallback:
        words = _("%(name)s is only a fallback now.")
    else:
        words = _("%(name)s is offered everywhere.")
    return words % {"name": row.name}


@needs("models.change")
@require_POST
def add_alias(request: HttpRequest, pk: int) -> HttpResponse:
    row = _row(request, pk)
    form = AliasForm(request.POST)
    if form.is_valid():
        try:
            with transaction.atomic():
                alias = ModelAlias(name=form.cleaned_data["name"], model=row.model)
                alias.save()
                record(person_of(request), "add", _alias(alias), after={"model": row.string}, request=request)
            messages.success(request, _("“%(alias)s” means %(model)s.") % {"alias": alias.name, "model": row.string})
            return _done(request, pk)
        except IntegrityError:  # somebody took the name in the same moment
            form.add_error("name", _("This name is taken."))
    return _shown(request, row, status=422, alias_form=form, open="alias")


@needs("models.change")
@require_POST
def remove_alias(request: HttpRequest, pk: int, alias: int) -> HttpResponse:
    row = _row(request, pk)
    found = get_object_or_404(ModelAlias, pk=alias, model=row.model)
    with transaction.atomic():
        record(person_of(request), "remove", _alias(found), before={"model": row.string}, request=request)
        found.delete()
    words = _("“%(alias)s” means nothing any more.") % {"alias": found.name}
    _undo(request, words, reverse("model-alias-add", args=[pk]), {"name": found.name})
    return _done(request, pk)


@needs("models.change")
@require_POST
def price(request: HttpRequest, pk: int) -> HttpResponse:
    """A new row of the price history; the old ones stay what they were."""
    row = _row(request, pk)
    form = PriceForm(request.POST)
    if not form.is_valid():
        return _shown(request, row, status=422, price_form=form, open="price")
    with transaction.atomic():
        kept = set_price(row.model, form.listed, by=person_of(request).pk)
        named = Named("price", str(kept.pk), row.string)
        record(person_of(request), "create", named, after=form.listed.values(), request=request)
    messages.success(request, _("%(name)s has its new price.") % {"name": row.name})
    return _done(request, pk)


def _alias(alias: ModelAlias) -> Named:
    return Named("alias", str(alias.pk), alias.name)


def _note(request: HttpRequest, model: LanguageModel, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    record(person_of(request), "change", model, before=before, after=after, request=request)


# -- the drawer ------------------------------------------------------------------------------


def _row(request: HttpRequest, pk: int) -> Row:
    person, now = person_of(request), timezone.now()
    model = lineup.visible_models(person).filter(pk=pk).first()
    if model is None:
        raise Http404
    served = {model.provider_id}
    if model.canonical:
        others = lineup.visible_models(person).filter(canonical=model.canonical, active=True)
        served |= set(others.values_list("provider_id", flat=True))
    row = Row(model, lineup.costs_at(now, [pk]).get(pk), len(served))
    row.first_ms = lineup.first_tokens(now).get(row.string)
    return row


def _shown(request: HttpRequest, row: Row, *, status: int = 200, **more: Any) -> HttpResponse:
    """The drawer for htmx, a page of its own for whoever has no script or follows a link."""
    person = person_of(request)
    context = dossier.about(row, person, timezone.now()) | {
        "may_change": can(person, "models.change"),
        "may_play": can(person, "play.use"),
        "open": "",
        "alone": _is_alone(request),
        "saved": status == 200 and request.method == "POST" and not _from_matrix(request),
        "priced": lineup.priced([row])[0],
    }
    if context["may_change"]:
        currency = row.cost.currency if row.cost else organisation_of(request).currency
        context |= {
            "override": OverrideForm(model=row.model),
            "alias_form": AliasForm(),
            "price_form": PriceForm(initial={"currency": currency}),
        }
    within = "models/_alone.html" if context["alone"] else "models/drawer.html"
    answer = render(request, within if from_htmx(request) else "models/detail.html", context | more, status=status)
    answer["Vary"] = "HX-Request"
    return answer


def _done(request: HttpRequest, pk: int) -> HttpResponse:
    """After a change: the drawer anew with its row behind it, or the page of the model."""
    if from_htmx(request) and not _is_alone(request):
        return _shown(request, _row(request, pk))
    wanted = request.POST.get("next", "")
    safe = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return redirect(wanted) if safe and not from_htmx(request) else go(request, "model-detail", pk)


def _undo(request: HttpRequest, words: str, address: str, fields: Mapping[str, Any]) -> None:
    """A notice whose way back leads to where it was read."""
    here = urlsplit(request.headers.get("HX-Current-URL", ""))
    back = {"next": here.path + (f"?{here.query}" if here.query else "")} if here.path else {}
    with_undo(request, words, address, {**fields, **back})


def _is_alone(request: HttpRequest) -> bool:
    """Not in a drawer over the list, but the page of the model itself."""
    here = request.headers.get("HX-Current-URL")
    return here is None or urlsplit(here).path != reverse("model-list")


def _from_matrix(request: HttpRequest) -> bool:
    """Where the rows behind the drawer are not those of the list of prices."""
    return "view" in parse_qs(urlsplit(request.headers.get("HX-Current-URL", "")).query)


# -- the list --------------------------------------------------------------------------------


def listed(request: HttpRequest) -> dict[str, Any]:
    person, now = person_of(request), timezone.now()
    rows = lineup.rows_of(person, now)
    times = lineup.first_tokens(now)
    for row in rows:
        row.first_ms = times.get(row.string)
    view = View(request.GET, rows)
    found = view.sorted([row for row in rows if view.keeps(row)])
    pages = max(1, -(-len(found) // SIZE))
    page = min(view.page, pages)
    on_page = found[(page - 1) * SIZE : page * SIZE]
    may_change = can(person, "models.change")
    compared = [row for row in rows if row.model.pk in view.models][:MOST_COMPARED]
    context = {
        "rows": lineup.priced(on_page),
        "all": rows,
        "offered": sum(STATES[""][1](row) for row in rows),
        "providers": len({row.model.provider_id for row in rows if STATES[""][1](row)}),
        "found": len(found),
        "view": view,
        "chips": view.chips(rows),
        "columns": view.columns(),
        "abilities": [*lineup.ABILITIES.values(), _("Embeddings")],
        "seg": view.seg(),
        "page": page,
        "pages": pages,
        "previous": view.query(page=page - 1) if page > 1 else "",
        "next": view.query(page=page + 1) if page < pages else "",
        "compared": lineup.priced(compared) if view.shows == "compare" else [],
        "may_change": may_change,
        "may_connect": can(person, "providers.change"),
    }
    return context | _prices(person) | _needed(request, may_change)


def _prices(person: User) -> dict[str, Any]:
    """Changes to decide on: for those who see what all of it costs."""
    return proposals_for(person) if can(person, "providers.see") else {}


def _needed(request: HttpRequest, may_change: bool) -> dict[str, Any]:
    return {} if may_change else {"needed": reasons_for(request, "models.change")["needed"]}


class View:
    """What of the list is asked for: the words of its address, made sense of."""

    def __init__(self, given: Any, rows: list[Row]) -> None:
        self.q = given.get("q", "").strip()[:LONGEST]
        self.traits = [trait for trait in TRAITS if trait in given.getlist("can")]
        slugs = {row.model.provider.slug: row.model.provider.name for row in rows}
        self.provider = given.get("provider", "") if given.get("provider", "") in slugs else ""
        self.use = given.get("use", "") if given.get("use", "") in USES else ""
        self.state = given.get("state", "") if given.get("state", "") in STATES else ""
        self.shows = given.get("view", "") if given.get("view", "") in ("matrix", "compare") else ""
        sort = given.get("sort", FIRST)
        self.sort = sort if sort.removeprefix("-") in SORTS else FIRST
        page = given.get("page", "1")
        self.page = max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1
        self.models = {int(pk) for pk in given.getlist("model") if pk.isdecimal() and len(pk) < 19}
        if self.shows == "compare" and not any(row.model.pk in self.models for row in rows):
            self.shows = ""
        self.providers = sorted(slugs.items(), key=lambda each: each[1].lower())
        self.uses = list(USES.items())
        self.states = [(key, words) for key, (words, _fits) in STATES.items()]

    @property
    def narrowed(self) -> bool:
        return bool(self.q or self.traits or self.provider or self.use or self.state)

    def query(self, **change: Any) -> str:
        """The address of the list with something changed; what is usual is left out."""
        words: dict[str, Any] = {
            "q": self.q,
            "can": self.traits,
            "provider": self.provider,
            "use": self.use,
            "state": self.state,
            "view": "" if self.shows == "compare" else self.shows,
            "sort": self.sort,
            "page": 1,
        }
        usual: dict[str, Any] = dict.fromkeys(words, "") | {"can": [], "sort": FIRST, "page": 1}
        kept = {name: value for name, value in (words | change).items() if value != usual[name]}
        return "?" + urlencode(kept, doseq=True)

    def keeps(self, row: Row) -> bool:
        model = row.model
        text = f"{row.name} {row.string} {model.provider.name} {model.canonical}".lower()
        return (
            all(word in text for word in self.q.lower().split())
            and all(TRAITS[trait][1](row) for trait in self.traits)
            and self.provider in ("", model.provider.slug)
            and self.use in ("", model.use)
            and STATES[self.state][1](row)
        )

    def sorted(self, rows: list[Row]) -> list[Row]:
        """Equal ones stay in order of priority. What nobody knows stands last, whichever way it is turned."""
        value = SORTS[self.sort.removeprefix("-")].value
        down = self.sort.startswith("-")
        known = sorted((row for row in rows if value(row) != LAST), key=value, reverse=down)
        return known + [row for row in rows if value(row) == LAST]

    def chips(self, rows: list[Row]) -> list[dict[str, Any]]:
        offered = [row for row in rows if STATES[self.state][1](row)]
        return [
            {
                "word": word,
                "href": self.query(can=[t for t in TRAITS if (t in self.traits) != (t == trait)]),
                "count": sum(fits(row) for row in offered),
                "on": trait in self.traits,
            }
            for trait, (word, fits) in TRAITS.items()
        ]

    def columns(self) -> list[dict[str, Any]]:
        told = []
        for column in COLUMNS:
            on = bool(column.key) and self.sort.removeprefix("-") == column.key
            down = self.sort.startswith("-")
            upwards_first = column.key not in ("context", "at")
            other = f"-{column.key}" if (on and not down) or (not on and not upwards_first) else column.key
            told.append(
                {
                    "label": column.label,
                    "css": column.css,
                    "href": self.query(sort=other) if column.key else "",
                    "sort": ("descending" if down else "ascending") if on else "none",
                }
            )
        return told

    def seg(self) -> list[dict[str, Any]]:
        return [
            {"word": _("Prices"), "href": self.query(view=""), "on": not self.shows},
            {"word": _("Abilities"), "href": self.query(view="matrix"), "on": self.shows == "matrix"},
        ]
