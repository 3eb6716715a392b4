"""The page of all models: what of the list an address asks for, and one page of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from console import lineup, selection
from console.access import can, needs
from console.lineup import Row
from console.prices import proposals_for
from console.selection import SORTS, STATES, TRAITS, Scope
from console.views.access import reasons_for
from console.views.answers import from_htmx, person_of
from providers.models import LanguageModel

MOST_COMPARED = 4
LONGEST = 100
FIRST = "input"
USES = {"": gettext_lazy("Every use"), **dict(LanguageModel.Use.choices)}


@dataclass(frozen=True, slots=True)
class Column:
    key: str  # empty: no order by it
    label: str | Promise
    css: str = ""


COLUMNS = (
    Column("name", gettext_lazy("Model")),
    Column("context", gettext_lazy("Context"), "n p3"),
    Column("", gettext_lazy("Tools"), "c p3"),
    Column("", gettext_lazy("Vision"), "c p3"),
    Column("", gettext_lazy("JSON"), "c p3"),
    Column("", gettext_lazy("Reasons"), "c p3"),
    Column("", gettext_lazy("EU"), "c p3"),
    Column("input", gettext_lazy("In"), "n"),
    Column("", gettext_lazy("Cached"), "n p2"),
    Column("output", gettext_lazy("Out"), "n"),
    Column("first", gettext_lazy("First token"), "n p2"),
    Column("", gettext_lazy("Providers"), "n p3"),
)
DOWN_FIRST = ("context",)  # the largest is what one looks for


@needs("models.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    part = from_htmx(request)
    context = listed(request)
    if not part:
        context |= _prices(request)
    answer = render(request, "models/live.html" if part else "models/list.html", context)
    answer["Vary"] = "HX-Request"
    return answer


def listed(request: HttpRequest) -> dict[str, Any]:
    """What the table and its filters show."""
    scope = selection.scope_of(person_of(request), timezone.now())
    view = View(request.GET, scope)
    compared = _compared(scope, view)
    if view.shows == "compare" and not compared:
        view.shows = ""
        messages.info(request, _("Tick up to four models in the list to compare them."))
    revision = selection.revision_now()
    context: dict[str, Any] = {
        "totals": selection.totals(scope, revision),
        "view": view,
        "chips": view.chips(selection.chip_counts(scope, revision, view.state)),
        "columns": view.columns(),
        "abilities": [*lineup.ABILITIES.values(), _("Embeddings")],
        "seg": view.seg(),
        "compared": lineup.priced(compared) if view.shows == "compare" else [],
        "may_change": can(person_of(request), "models.change"),
        "may_connect": can(person_of(request), "providers.change"),
    }
    return context if view.shows == "compare" else context | _page(scope, view, revision)


def _page(scope: Scope, view: View, revision: int) -> dict[str, Any]:
    page = selection.page_at(scope, view, view.after)
    whole = page.is_first and not page.next
    return {
        "rows": lineup.priced(_rows(scope, page.rows)),
        "found": len(page.rows) if whole else selection.found(scope, revision, view),
        "first": "" if page.is_first else view.query(),
        "next": view.query(after=page.next) if page.next else "",
        "turned": page.next or not page.is_first,
    }


def _rows(scope: Scope, models: list[LanguageModel]) -> list[Row]:
    costs = lineup.costs_at(scope.now, [model.pk for model in models])
    served, times = selection.served(scope, models), lineup.first_tokens(scope.now)
    rows = [Row(model, costs.get(model.pk), served.get(model.canonical, 1)) for model in models]
    for row in rows:
        row.first_ms = times.get(row.string)
    return rows


def _compared(scope: Scope, view: View) -> list[Row]:
    if view.shows != "compare":
        return []
    chosen = scope.models.filter(pk__in=view.models).select_related("provider")
    return _rows(scope, list(chosen.order_by("provider__priority", "provider__slug", "model_id")[:MOST_COMPARED]))


def _prices(request: HttpRequest) -> dict[str, Any]:
    """Changes to decide on: for those who see what all of it costs."""
    person = person_of(request)
    context = proposals_for(person) if can(person, "providers.see") else {}
    return (
        context
        if can(person, "models.change")
        else context | {"needed": reasons_for(request, "models.change")["needed"]}
    )


class View:
    """What of the list is asked for: the words of its address, made sense of."""

    def __init__(self, given: Any, scope: Scope) -> None:
        self.q = given.get("q", "").replace("\0", "").strip()[:LONGEST]
        self.traits = [trait for trait in TRAITS if trait in given.getlist("can")]
        slugs = {provider.slug: provider.name for provider in scope.providers.values()}
        self.provider = given.get("provider", "") if given.get("provider", "") in slugs else ""
        self.use = given.get("use", "") if given.get("use", "") in USES else ""
        self.state = given.get("state", "") if given.get("state", "") in STATES else ""
        self.shows = given.get("view", "") if given.get("view", "") in ("matrix", "compare") else ""
        sort = given.get("sort", FIRST)
        self.sort = sort if sort.removeprefix("-") in SORTS else FIRST
        self.after = given.get("after", "")
        self.models = [int(pk) for pk in given.getlist("model")[:LONGEST] if pk.isdecimal() and len(pk) < 19]
        self.providers = sorted(slugs.items(), key=lambda each: each[1].lower())
        self.uses = list(USES.items())
        self.states = list(STATES.items())

    def query(self, **change: Any) -> str:
        """The address of the list with something changed; what is usual is left out, from its first page."""
        words: dict[str, Any] = {
            "q": self.q,
            "can": self.traits,
            "provider": self.provider,
            "use": self.use,
            "state": self.state,
            "view": "" if self.shows == "compare" else self.shows,
            "sort": self.sort,
            "after": "",
        }
        usual: dict[str, Any] = dict.fromkeys(words, "") | {"can": [], "sort": FIRST}
        kept = {name: value for name, value in (words | change).items() if value != usual[name]}
        return "?" + urlencode(kept, doseq=True)

    def chips(self, counts: dict[str, int]) -> list[dict[str, Any]]:
        return [
            {
                "word": word,
                "href": self.query(can=[t for t in TRAITS if (t in self.traits) != (t == trait)]),
                "count": counts[trait],
                "on": trait in self.traits,
            }
            for trait, word in TRAITS.items()
        ]

    def columns(self) -> list[dict[str, Any]]:
        told = []
        for column in COLUMNS:
            on = bool(column.key) and self.sort.removeprefix("-") == column.key
            down = self.sort.startswith("-")
            upwards_first = column.key not in DOWN_FIRST
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
