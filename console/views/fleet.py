"""Can every provider we rely on answer right now? The page of all of them, and checking them on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from console import checks, fleet, statuses
from console.access import can, needs
from console.fleet import Row
from console.house import organisation_of
from console.views.access import reasons_for
from console.views.answers import from_htmx, go
from providers.adapters import speaks
from providers.models import LanguageModel, Provider
from providers.registry import KINDS, Kind, Place

SIZE = 10
TILES = 9
STATES = ("", "attention", "eu", "local")
FIRST = "-spend"


@dataclass(frozen=True, slots=True)
class Column:
    key: str
    label: str | Promise
    css: str
    value: Callable[[Row], Any]


def _spend(row: Row) -> int:
    """In the house's currency where there is any, else whatever there is: currencies are not added up."""
    return row.spent[0][0] if row.spent else 0


COLUMNS = (
    Column("name", gettext_lazy("Provider"), "", lambda row: row.provider.name.lower()),
    Column("status", gettext_lazy("Status"), "", lambda row: list(statuses.LABELS).index(row.status.state)),
    Column("", gettext_lazy("Last 24 hours"), "p3", lambda row: 0),
    Column("first", gettext_lazy("First token"), "n p2", lambda row: row.figures.day.median_ms or 0),
    Column("errors", gettext_lazy("Errors"), "n p2", lambda row: row.figures.day.error_share or 0),
    Column("requests", gettext_lazy("Requests"), "n p3", lambda row: row.figures.day.calls),
    Column("spend", gettext_lazy("Spend"), "n p1", _spend),
)
SORTS = {column.key: column for column in COLUMNS if column.key}


@needs("providers.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return shown(request)


@needs("providers.change")
@require_POST
def check_all(request: HttpRequest) -> HttpResponse:
    """Begun, not done: the table follows as answers come."""
    checks.check_soon()
    messages.success(request, _("Every provider is being checked. The table follows."))
    return shown(request, status=202) if from_htmx(request) else go(request, "provider-list")


@needs("providers.change")
@require_POST
def check_one(request: HttpRequest, pk: int) -> HttpResponse:
    provider = get_object_or_404(Provider, pk=pk)
    now = timezone.now()
    made = checks.check_providers(now, only=[pk])
    fleet.forget()
    (row,) = fleet.judged(timezone.now(), only=[pk])
    words = {"name": provider.name, "why": row.why}
    if made and made[0].ok:
        messages.success(request, _("%(name)s answered in %(ms)d ms.") % {**words, "ms": made[0].duration_ms or 0})
    else:
        messages.error(request, _("%(name)s: %(why)s.") % words)
    return shown(request) if from_htmx(request) else go(request, "provider-list")


# -- the page ---------------------------------------------------------------------------------


def shown(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    """The page, or for htmx its parts that change: the table, the figures above it, and whatever is to be said."""
    template = "providers/live.html" if from_htmx(request) else "providers/list.html"
    answer = render(request, template, listed(request) | more, status=status)
    answer["Vary"] = "HX-Request"
    return answer


def listed(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    rows = fleet.rows_of(now, organisation_of(request).currency)
    view = View(request.GET)
    found = view.sorted(view.kept(rows))
    page = min(view.page, max(1, -(-len(found) // SIZE)))
    on_page = found[(page - 1) * SIZE : page * SIZE]
    fleet.draw(on_page, now)
    totals = fleet.totals(rows, now)
    may_change = can(request.user, "providers.change")
    context: dict[str, Any] = {
        "rows": on_page,
        "all": rows,
        "found": len(found),
        "totals": totals,
        "sparks": totals.sparks(),
        "chips": view.chips(rows),
        "columns": view.columns(now),
        "view": view,
        "page": page,
        "pages": max(1, -(-len(found) // SIZE)),
        "previous": view.query(page=page - 1) if page > 1 else "",
        "next": view.query(page=page + 1) if page * SIZE < len(found) else "",
        "here": view.query(page=page),
        "now": now,
        "may_change": may_change,
        "models": LanguageModel.objects.filter(
            active=True, provider__enabled=True, provider__inactive_reason=""
        ).count(),
        "kinds": sum(1 for kind in KINDS.values() if _connectable(kind)),
        "connected": len({row.provider.kind for row in rows if row.kind and _connectable(row.kind)}),
        "tiles": _ready(rows) if may_change else [],
        "may_play": can(request.user, "play.use"),
    }
    if not may_change:
        context["needed"] = reasons_for(request, "providers.change")["needed"]
    return context


class View:
    """What of the list is asked for: the words of its address, made sense of."""

    def __init__(self, given: Any) -> None:
        self.q = given.get("q", "").strip()[:100]
        state = given.get("state", "")
        self.state = state if state in STATES else ""
        sort = given.get("sort", FIRST)
        self.sort = sort if sort.removeprefix("-") in SORTS else FIRST
        page = given.get("page", "1")
        self.page = max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1

    def query(self, **change: Any) -> str:
        """The address of the list with something changed; what is usual is left out."""
        words = {"q": self.q, "state": self.state, "sort": self.sort, "page": 1} | change
        usual = {"q": "", "state": "", "sort": FIRST, "page": 1}
        return "?" + urlencode({name: value for name, value in words.items() if value != usual[name]})

    def kept(self, rows: Iterable[Row]) -> list[Row]:
        letters = self.q.lower()
        return [
            row
            for row in rows
            if letters in f"{row.provider.name} {row.provider.slug} {row.kind.name if row.kind else ''}".lower()
            and _fits(row, self.state)
        ]

    def sorted(self, rows: list[Row]) -> list[Row]:
        """Equal ones stay in order of priority."""
        column = SORTS[self.sort.removeprefix("-")]
        return sorted(rows, key=column.value, reverse=self.sort.startswith("-"))

    def chips(self, rows: list[Row]) -> list[dict[str, Any]]:
        words = {"": _("All"), "attention": _("Needs attention"), "eu": _("EU hosted"), "local": _("Local")}
        icons = {"eu": "globe", "local": "chip"}
        return [
            {
                "word": words[state],
                "href": self.query(state=state, page=1),
                "count": sum(_fits(row, state) for row in rows),
                "on": state == self.state,
                "icon": icons.get(state, ""),
            }
            for state in STATES
        ]

    def columns(self, now: Any) -> list[dict[str, Any]]:
        """The head of the table: where a click on each leads, and which one decides now."""
        told = []
        for column in COLUMNS:
            on = bool(column.key) and self.sort.removeprefix("-") == column.key
            down = self.sort.startswith("-")
            other = column.key if on and down else f"-{column.key}"
            if column.key == "name":
                other = "-name" if on and not down else "name"
            told.append(
                {
                    "key": column.key,
                    "label": column.label,
                    "css": column.css,
                    "href": self.query(sort=other, page=1) if column.key else "",
                    "sort": ("descending" if down else "ascending") if on else "none",
                    "month": now if column.key == "spend" else None,
                }
            )
        return told


def _fits(row: Row, state: str) -> bool:
    if state == "attention":
        return row.status.attention
    if state == "eu":
        return row.is_eu
    return row.is_local if state == "local" else True


def _connectable(kind: Kind) -> bool:
    """One of the vendors by name: not the pretended one, and not whatever else speaks a known format."""
    named = bool(kind.variable) or kind.place is Place.LOCAL
    return named and not kind.retired and kind.place is not Place.INSIDE and speaks(kind)


def _ready(rows: list[Row]) -> list[tuple[Kind, str]]:
    """Kinds that nobody has connected yet, with what connecting one takes."""
    there = {row.provider.kind for row in rows}
    ready = [kind for kind in KINDS.values() if _connectable(kind) and kind.slug not in there]
    ready.sort(key=lambda kind: kind.place is Place.LOCAL)
    return [(kind, _takes(kind)) for kind in ready[:TILES]]


def _takes(kind: Kind) -> str:
    if kind.place is Place.LOCAL:
        return _("A server of your own")
    if kind.parts:
        return _("Key, or several parts")
    return _("API key · hosted in the EU") if kind.eu else _("API key")
